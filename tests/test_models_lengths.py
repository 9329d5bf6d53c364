from Models import networks
from Models.lengths import Geometry, Ladder, Padded
from Models.wave_unet import wave_unet, wave_unet_lengths

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_oracle import outputs

PUBLISHED = Ladder(levels=12, down_size=15, up_size=5)
ODD = [1, 3, 5, 9, 15, 25]
LADDERS = st.builds(
    Ladder,
    st.integers(1, 4),
    st.sampled_from(ODD),
    st.sampled_from(ODD),
    stride=st.sampled_from([2, 2, 3, 4]),
    depth=st.integers(1, 3),
    resampling_size=st.sampled_from([1, 3, 7, 15]),
).filter(lambda ladder: ladder.stride_samples <= 81)


def simulated(ladder: Ladder, length: int) -> int | None:
    """The length of the sources by walking through the network; None where something does not fit in its middle."""
    skips = [length]
    for _ in range(ladder.levels):
        for _ in range(ladder.depth):
            length -= ladder.down_size - 1
        skips.append(length)
        length -= ladder.resampling_size - 1
        if length < 1 or (length - 1) % ladder.stride:
            return None
        length = len(range(0, length, ladder.stride))
    length -= ladder.depth * (ladder.down_size - 1)
    for _ in range(ladder.levels):
        length = length + (ladder.stride - 1) * (length - 1) - (ladder.resampling_size - 1)
        margin = skips.pop() - length
        if length < 1 or margin < 0 or margin % 2:
            return None
        for _ in range(ladder.depth):
            length -= ladder.up_size - 1
    return length if length >= 1 and (skips.pop() - length) % 2 == 0 else None


def test_the_published_lengths():
    # Stoller et al. 2018 and the lengths that the published code prints
    assert PUBLISHED.output_samples(16384) == 16389
    assert PUBLISHED.input_samples(16389) == 147443
    assert PUBLISHED.bottleneck_samples(16389) == 9
    assert PUBLISHED.output_samples(98560) == 102405
    assert PUBLISHED.input_samples(102405) == 233459
    assert PUBLISHED.bottleneck_samples(102405) == 30
    assert PUBLISHED.margin_samples == 65527
    assert PUBLISHED.stride_samples == 4096
    assert PUBLISHED.overlap_samples == 0


def test_the_published_ladder_layer_by_layer():
    assert PUBLISHED.encoder(9) == [147443, 147429, 73701, 36837, 18405, 9189, 4581, 2277, 1125, 549, 261, 117, 45]
    assert PUBLISHED.decoder(9) == [13, 21, 37, 69, 133, 261, 517, 1029, 2053, 4101, 8197, 16389]


@pytest.mark.parametrize("k", [1, 2, 16, 300])
def test_valid_lengths_are_a_stride_apart(k):
    assert PUBLISHED.input_samples(16389 + 4096 * k) == 147443 + 4096 * k
    assert PUBLISHED.output_samples(16389 + 4096 * k - 4095) == 16389 + 4096 * k
    assert PUBLISHED.output_samples(16389 + 4096 * k + 1) == 16389 + 4096 * (k + 1)


@settings(deadline=None, max_examples=60)
@given(LADDERS)
def test_it_knows_all_valid_lengths_and_no_other(ladder):
    margin = 2 * ladder.margin_samples
    valid = {}
    for length in range(1, margin + 6 * ladder.stride_samples):
        if (sources := simulated(ladder, length)) is not None:
            valid[sources] = length
    assert len(valid) >= 3
    for wanted in range(1, max(valid) + 1):
        fits = ladder.output_samples(wanted)
        assert fits == min(sources for sources in valid if sources >= wanted)
        assert ladder.input_samples(fits) == valid[fits] == fits + margin


@settings(deadline=None)
@given(LADDERS, st.integers(1, 5000))
def test_the_lists_are_what_the_walk_meets(ladder, wanted):
    sources = ladder.output_samples(wanted)
    bottleneck = ladder.bottleneck_samples(sources)
    encoder, decoder = ladder.encoder(bottleneck), ladder.decoder(bottleneck)
    assert len(encoder) == ladder.levels + 1 and len(decoder) == ladder.levels
    assert encoder[0] == ladder.input_samples(sources) and decoder[-1] == sources
    margins = ladder.skip_margins()
    meeting = [sources, *(length + ladder.depth * (ladder.up_size - 1) for length in decoder[::-1])]
    assert [down - 2 * margin for down, margin in zip(encoder, margins, strict=True)] == meeting
    assert margins[0] == ladder.margin_samples
    assert not (Geometry(ladder, "valid").sparing and any(margin % 2 for margin in margins[1:]))


@pytest.mark.parametrize(
    "levels, down_size, up_size",
    [(1, 1, 1), (1, 15, 5), (2, 3, 7), (3, 5, 3), (3, 1, 5), (4, 9, 1), (5, 15, 5), (7, 3, 3)],
)
def test_a_built_model_has_these_lengths(levels, down_size, up_size):
    ladder = Ladder(levels, down_size, up_size)
    model = wave_unet(2, levels=levels, filters=1, down_size=down_size, up_size=up_size)
    for wanted in (1, ladder.stride_samples + 1, 700):
        length = ladder.output_samples(wanted)
        mixture = np.zeros((1, ladder.input_samples(length), 1), np.float32)
        assert outputs(model, mixture).shape == (1, length, 2, 1)


def test_the_published_model_has_the_published_lengths():
    model = wave_unet(2, filters=1)
    assert outputs(model, np.zeros((1, 147443, 1), np.float32)).shape == (1, 16389, 2, 1)
    assert outputs(model, np.zeros((1, 147443 + 4096, 1), np.float32)).shape == (1, 16389 + 4096, 2, 1)


def test_the_published_model_without_a_margin_keeps_the_length():
    model = wave_unet(2, filters=1, padding="same")
    assert outputs(model, np.zeros((1, 16384, 1), np.float32)).shape == (1, 16384, 2, 1)


def test_a_length_that_fits_nothing_is_named_with_the_next_that_does():
    with pytest.raises(ValueError, match=r"such as 16389.*Received: 16384$"):
        PUBLISHED.input_samples(16384)


@pytest.mark.parametrize(
    "numbers",
    [(0, 15, 5), (3, 14, 5), (3, 15, 4), (3, -1, 5), (3, 15, -3), (3, 15, 5, 1), (3, 15, 5, 2, 0), (3, 15, 5, 2, 1, 8)],
)
def test_ladders_that_cannot_be_built(numbers):
    with pytest.raises(ValueError, match="at least one level, a stride above 1 and odd filter sizes. Received"):
        Ladder(*numbers)


# ---------------------------------------------------------------- separators that pad


@pytest.mark.parametrize(
    "samples, stride, overlap",
    [(16384, 4096, 4096), (8192, 4096, 2048), (16, 4, 4), (24, 4, 4), (8, 4, 2), (7, 1, 1), (98304, 768, 24576)],
)
def test_a_padded_separator_knows_one_length(samples, stride, overlap):
    lengths = Padded(samples, stride)
    assert lengths.margin_samples == 0 and lengths.stride_samples == stride
    for wanted in (1, samples, samples + 1):
        assert lengths.output_samples(wanted) == lengths.input_samples(samples) == samples
    assert lengths.overlap_samples == overlap


def test_a_padded_separator_has_samples_to_fade():
    with pytest.raises(ValueError, match="at least 4 samples.*Received: 3"):
        networks.lengths(3, network="wave_unet", padding="same", levels=1, stride=3)


# ---------------------------------------------------------------- the lengths of a configuration


def test_lengths_by_name_and_choices():
    assert networks.lengths(16384, network="wave_unet") == PUBLISHED
    assert networks.lengths(5, network="wave_unet", resampling="learned", output="direct") == PUBLISHED
    assert networks.lengths(16384, network="wave_unet", padding="same") == Padded(16384, 4096)
    assert networks.lengths(16385, network="wave_unet", padding="same") == Padded(5 * 4096, 4096)
    assert networks.lengths(1, network="wave_unet", padding="same", levels=3, stride=4) == Padded(64, 64)


@pytest.mark.parametrize("resampling, size", [("linear", 1), ("learned", 1), ("lowpass", 9), ("strided", 9)])
def test_only_filters_lose_samples_in_resampling(resampling, size):
    choices = {"levels": 2, "down_size": 5, "up_size": 3, "stride": 4, "depth": 2, "resampling_size": 9}
    expected = Ladder(2, 5, 3, stride=4, depth=2, resampling_size=size)
    assert wave_unet_lengths(1, resampling=resampling, **choices) == expected
