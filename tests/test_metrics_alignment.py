"""Delays and what they cost: estimates shifted by known numbers of samples, and all shifts tried one by one."""

import Metrics
from Metrics import alignment

import numpy as np
import pytest

RATE = 1000


def noise(seed, samples=3000, sources=1, channels=2):
    """Sources (T, S, C) of noise that is smooth, so that neighbouring shifts resemble each other."""
    white = np.random.default_rng(seed).standard_normal((samples + 4, sources, channels))
    return np.lib.stride_tricks.sliding_window_view(white, 5, axis=0).sum(axis=-1)


def late(signals, delay):
    """Signals (T, S, C) that begin so many samples later; what is beyond the ends is lost."""
    samples = len(signals)
    padded = np.concatenate([np.zeros_like(signals), signals, np.zeros_like(signals)])
    return padded[samples - delay : 2 * samples - delay]


@pytest.mark.parametrize("delay", [1, -1, 7, 440, -999, 1000])
@pytest.mark.parametrize("samples", [2500, 15_999, 16_001, 40_000])
def test_an_estimate_that_is_late_by_so_many_samples(delay, samples):
    references = noise(abs(delay), samples)
    found = Metrics.best_alignment(references, late(references, delay), RATE)
    assert found.delay_samples.tolist() == [delay]
    aligned = late(late(references, delay), -delay)
    rise = Metrics.si_sdr(references, aligned) - Metrics.si_sdr(references, late(references, delay))
    np.testing.assert_allclose(found.rise_db, rise, atol=1e-6)
    assert rise[0] > 10


def test_each_source_has_its_own_delay_whatever_its_level_polarity_and_noise():
    references = noise(0, sources=5)
    delays = [0, 12, -300, 5, 0]
    gains = np.array([1.0, -1e-4, 30.0, 1.0, -1.0])[:, np.newaxis]
    moved = np.concatenate([late(references[:, [n]], delay) for n, delay in enumerate(delays)], axis=1)
    estimates = gains * (moved + 0.5 * noise(1, sources=5))
    found = Metrics.best_alignment(references, estimates, RATE)
    assert found.delay_samples.tolist() == delays
    assert (found.rise_db[[1, 2, 3]] > 1).all() and found.rise_db[[0, 4]].tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(15))
def test_no_other_shift_is_better(seed):
    rng = np.random.default_rng(seed)
    samples, channels = int(rng.integers(4, 90)), int(rng.integers(1, 4))
    references, interference = noise(seed, samples, 1, channels), noise(seed + 100, samples, 1, channels)
    estimates = late(references, int(rng.integers(-samples // 2, samples // 2 + 1))) + interference * rng.exponential()
    reach = min(20, samples // 2)
    by_hand = {d: Metrics.si_sdr(references, late(estimates, -d))[0] for d in range(-reach, reach + 1)}
    best = max(by_hand, key=by_hand.__getitem__)
    found = Metrics.best_alignment(references, estimates, 20)
    if by_hand[best] > alignment.LEAST_DB:
        assert found.delay_samples[0] == best
        np.testing.assert_allclose(found.rise_db[0], by_hand[best] - by_hand[0], atol=1e-6)


def test_channels_count_together():
    references = noise(0)
    swapped = late(references, 50)[:, :, ::-1]
    assert Metrics.best_alignment(references, swapped, RATE).delay_samples.tolist() == [0]
    one = references * [1, 0]  # the left channel alone sounds, in the estimate the right one is louder, and not late
    estimates = late(one, 50) + 5 * noise(1) * [0, 1]
    assert Metrics.best_alignment(one, estimates, RATE).delay_samples.tolist() == [50]


@pytest.mark.parametrize("samples", [3000, 40_000])
@pytest.mark.parametrize("level", [0.0, 0.5, 5.0])
def test_an_aligned_estimate_has_no_delay_however_much_it_holds_of_others(samples, level):
    references = noise(0, samples, sources=3)
    mixture = references.sum(axis=1, keepdims=True)
    found = Metrics.best_alignment(references, references + level * (mixture - references), RATE)
    assert found.delay_samples.tolist() == [0, 0, 0] and found.rise_db.tolist() == [0, 0, 0]


@pytest.mark.parametrize("samples", [3000, 40_000])
def test_of_the_periods_of_a_steady_tone_the_nearest_is_taken(samples):
    time = np.arange(samples) / RATE
    tone, other = (np.sin(2 * np.pi * hz * time)[:, np.newaxis, np.newaxis] for hz in (50, 80))
    assert Metrics.best_alignment(tone, tone, RATE).delay_samples.tolist() == [0]
    assert Metrics.best_alignment(tone, tone + 2 * other, RATE).delay_samples.tolist() == [0]
    shifted = np.sin(2 * np.pi * 50 * (time - 0.023))[:, np.newaxis, np.newaxis]  # a period has 20 samples
    found = Metrics.best_alignment(tone, shifted, RATE)
    assert found.delay_samples.tolist() == [3] and found.rise_db[0] > 3


@pytest.mark.parametrize("samples", [12_000, 40_000])
def test_an_estimate_of_something_else_has_no_delay(samples):
    references = noise(0, samples, sources=2)
    found = Metrics.best_alignment(references, noise(9, samples, sources=2), RATE)
    assert found.delay_samples.tolist() == [0, 0] and found.rise_db.tolist() == [0, 0]


def test_a_silent_reference_or_estimate_has_no_rise():
    references = noise(0, sources=3) * np.array([1, 0, 1])[:, np.newaxis]
    estimates = late(noise(0, sources=3), 30) * np.array([1, 1, 0])[:, np.newaxis]
    found = Metrics.best_alignment(references, estimates, RATE)
    assert found.delay_samples.tolist() == [30, 0, 0]
    np.testing.assert_array_equal(np.isnan(found.rise_db), [False, True, True])


def test_an_estimate_that_holds_nothing_until_it_is_shifted_rises_without_end():
    click = np.zeros((100, 1, 1))
    click[40] = 1
    found = Metrics.best_alignment(click, np.roll(click, 3), RATE)
    assert found.delay_samples.tolist() == [3] and found.rise_db.tolist() == [np.inf]


def test_a_source_that_plays_for_a_second_of_a_minute_is_found_there():
    references = np.zeros((60_000, 1, 1))
    references[41_500:42_500] = noise(0, 1000, 1, 1)
    estimates = late(references, -88) + 0.05 * noise(1, 60_000, 1, 1)
    assert Metrics.best_alignment(references, estimates, RATE).delay_samples.tolist() == [-88]


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_the_shortest_signals_have_an_answer(samples):
    references = np.ones((samples, 1, 1))
    assert Metrics.best_alignment(references, references, RATE).delay_samples.tolist() == [0]


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_any_real_dtype_is_computed_in_float64(dtype):
    references = (9000 * noise(0, sources=2)).clip(-32768, 32767).astype(dtype)
    narrow = Metrics.best_alignment(references, late(references, 60), RATE)
    wide = Metrics.best_alignment(references.astype(float), late(references, 60).astype(float), RATE)
    assert narrow.delay_samples.tolist() == wide.delay_samples.tolist() == [60, 60]
    np.testing.assert_allclose(narrow.rise_db, wide.rise_db, atol=1e-9)


def test_signals_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="estimates: expected 3000 samples as in the references; received 2999"):
        Metrics.best_alignment(noise(0), noise(0)[1:], RATE)


def test_a_shift_that_suits_the_loudest_seconds_alone_is_none():
    references = noise(0, 100_000)
    references[:16_000] *= 1.1
    estimates = np.concatenate([late(references[:16_000], 50), references[16_000:]])
    found = Metrics.best_alignment(references, estimates, RATE)
    assert found.delay_samples.tolist() == [0] and found.rise_db.tolist() == [0]
