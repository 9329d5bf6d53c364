from Models.lengths import Ladder
from Models.wave_unet import wave_unet

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_oracle import outputs

PUBLISHED = Ladder(levels=12, down_size=15, up_size=5)
LADDERS = st.builds(
    Ladder, st.integers(1, 5), st.sampled_from([1, 3, 5, 9, 15, 25]), st.sampled_from([1, 3, 5, 7, 15, 25])
)


def simulated(ladder: Ladder, length: int) -> int | None:
    """The length of the sources by walking through the network; None where something does not fit in its middle."""
    skips = [length]
    for _ in range(ladder.levels):
        length -= ladder.down_size - 1
        skips.append(length)
        if length < 1 or length % 2 == 0:
            return None
        length = (length + 1) // 2
    length -= ladder.down_size - 1
    for _ in range(ladder.levels):
        length = length + (length - 1)
        margin = skips.pop() - length
        if length < 1 or margin < 0 or margin % 2:
            return None
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
    assert PUBLISHED.context_samples == 65527
    assert PUBLISHED.stride_samples == 4096


def test_the_published_ladder_layer_by_layer():
    assert PUBLISHED.encoder(9) == [147443, 147429, 73701, 36837, 18405, 9189, 4581, 2277, 1125, 549, 261, 117, 45]
    assert PUBLISHED.decoder(9) == [13, 21, 37, 69, 133, 261, 517, 1029, 2053, 4101, 8197, 16389]


@pytest.mark.parametrize("k", [1, 2, 16, 300])
def test_valid_lengths_are_a_stride_apart(k):
    assert PUBLISHED.input_samples(16389 + 4096 * k) == 147443 + 4096 * k
    assert PUBLISHED.output_samples(16389 + 4096 * k - 4095) == 16389 + 4096 * k
    assert PUBLISHED.output_samples(16389 + 4096 * k + 1) == 16389 + 4096 * (k + 1)


@settings(deadline=None)
@given(LADDERS)
def test_it_knows_all_valid_lengths_and_no_other(ladder):
    margin = 2 * ladder.context_samples
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
    meeting = [sources, *(length + ladder.up_size - 1 for length in decoder[::-1])]
    assert [down - 2 * margin for down, margin in zip(encoder, margins, strict=True)] == meeting
    assert margins[0] == ladder.context_samples


@pytest.mark.parametrize(
    "levels, down_size, up_size",
    [(1, 1, 1), (1, 15, 5), (2, 3, 7), (3, 5, 3), (3, 1, 5), (4, 9, 1), (5, 15, 5), (6, 3, 3), (7, 15, 5)],
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


def test_a_length_that_fits_nothing_is_named_with_the_next_that_does():
    with pytest.raises(ValueError, match=r"such as 16389.*Received: 16384$"):
        PUBLISHED.input_samples(16384)


@pytest.mark.parametrize("numbers", [(0, 15, 5), (3, 14, 5), (3, 15, 4), (3, -1, 5), (3, 15, -3)])
def test_ladders_that_cannot_be_built(numbers):
    with pytest.raises(ValueError, match="odd filter sizes. Received"):
        Ladder(*numbers)
