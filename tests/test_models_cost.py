from Models import networks
from Models.cost import cost
from Models.lengths import Ladder
from Models.networks import NETWORKS
from Models.wave_unet import wave_unet

import keras
import pytest


def wave_unet_multiplications(sources: int, spared: bool) -> int:
    """Of the published network: taps * features in * features out * samples out, layer by layer from its lengths."""
    ladder = Ladder(12, 15, 5)
    encoder, decoder, margins = ladder.encoder(9), ladder.decoder(9), ladder.skip_margins()
    widths = [1, *range(24, 313, 24)]
    total = 15 * widths[12] * widths[13] * 9
    for level in range(1, 13):
        full, middle = encoder[level], encoder[level] - 2 * margins[level]
        between = middle // 2 + middle % 2 * (margins[level] % 2)  # samples of the middle that no level below takes
        computed = (full + 1) // 2 + between if spared else full
        total += 15 * widths[level - 1] * widths[level] * computed
        total += 5 * (widths[level] + widths[level + 1]) * widths[level] * decoder[12 - level]
    return total + (24 + 1) * (sources - 1) * 16_389


def test_the_published_network():
    numbers = cost(wave_unet(13), Ladder(12, 15, 5), 16_384)
    assert (numbers.parameters, numbers.input_samples, numbers.output_samples) == (10_263_288, 147_443, 16_389)
    assert numbers.flops == 2 * wave_unet_multiplications(13, spared=True)
    published = 2 * wave_unet_multiplications(13, spared=False)
    assert published == pytest.approx(22.7e9, rel=0.005)
    assert numbers.flops < 0.62 * published  # what nobody uses is not computed
    static, moving = (
        cost(wave_unet(13, 1, shapes, conditioning="film", places=["every"]), Ladder(12, 15, 5), 16_384)
        for shapes in (None, {"labels": (1, 13)})
    )
    assert moving.flops == static.flops < 0.62 * published  # nor is it where context moves


def test_conditioning_costs_next_to_nothing_where_it_is_made_once():
    plain = cost(wave_unet(13), Ladder(12, 15, 5), 16_384)
    film = cost(wave_unet(13, conditioning="film"), Ladder(12, 15, 5), 16_384)
    assert film.flops == plain.flops + 2 * 13 * 2 * 312


@pytest.mark.parametrize("layer, flops", [
    (keras.layers.Conv1D(7, 3, name="one"), 2 * 3 * 5 * 7 * 98),
    (keras.layers.Conv1DTranspose(7, 4, 2, name="one"), 2 * 4 * 5 * 7 * 100),
    (keras.layers.Dense(7, name="one"), 2 * 5 * 7 * 100),
], ids=["convolution", "transposed", "dense"])  # fmt: skip
def test_a_layer_by_itself(layer, flops):
    class Whole:
        def output_samples(self, wanted_samples):
            return 100

        input_samples = output_samples

    mixture = keras.Input((None, 5), name="mixture")
    assert cost(keras.Model({"mixture": mixture}, layer(mixture)), Whole(), 1).flops == flops


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_has_a_cost_and_the_lengths_that_it_says(network):
    separator, lengths = networks.built(2, 1, network=network), networks.lengths(10_000, network=network)
    numbers = cost(separator, lengths, 10_000)
    assert numbers.output_samples >= 10_000 and numbers.flops > numbers.parameters
    shape = separator.compute_output_shape({"mixture": (1, numbers.input_samples, 1)})
    assert shape == ({"playing": (1, 2)} if network == "recogniser" else (1, numbers.output_samples, 2, 1))


def test_the_band_split_network():
    """From Luo and Yu's figure: 64 frames of 24 bands, 2 blocks of 2 layers, both ways, 4 gates, and a dense layer."""
    separator = networks.built(2, 1, network="band_split")
    numbers = cost(separator, networks.lengths(16_384, network="band_split"), 16_384)
    frames, bands, bins, width = 16_384 // 256, 24, 6 * 6 * (1 + 2 + 4 + 8), 32
    split = frames * (bins * 2 + bands) * width
    layers = 2 * 2 * frames * bands * (2 * 4 * width * (width + width) + 2 * width * width)
    masks = frames * (bands * width * 2 * width + 2 * width * bins * 2 * 2)
    assert numbers.flops == 2 * (split + layers + masks)
