"""Scores known in closed form, invariances, and one line for every mistake."""

import Metrics
from Metrics import signals as floor

import numpy as np
import pytest

RATE = 1000
SECOND = np.arange(RATE) / RATE


def tone(hz, seconds=1):
    """A sine of energy RATE / 2 a second; tones of different whole hertz are orthogonal in every whole second."""
    return np.tile(np.sin(2 * np.pi * hz * SECOND), seconds)


def signals(*sources):
    """Mono sources to (T, S, 1)."""
    return np.stack(sources, axis=1)[:, :, np.newaxis]


def framewise(pair, **settings):
    references, estimates = pair
    return Metrics.framewise_sdr(references, estimates, RATE, **settings)


@pytest.fixture
def random_pair():
    rng = np.random.default_rng(0)
    references = rng.standard_normal((3500, 3, 2))
    return references, 0.8 * references + 0.3 * references[:, ::-1] + 0.1 * rng.standard_normal(references.shape)


def test_sdr_of_an_orthogonal_error_is_its_level_in_every_frame():
    error_level = np.repeat([1.0, 0.1, 10.0, 0.5], RATE)
    source = tone(50, 4)
    sdr_db = Metrics.framewise_sdr(signals(source), signals(source + error_level * tone(90, 4)), RATE)
    np.testing.assert_allclose(sdr_db, [[0, 20, -20, 20 * np.log10(2)]], atol=1e-9)


def test_sdr_punishes_a_wrong_level_and_si_sdr_does_not():
    source, other = tone(50), tone(90)
    references, estimates = signals(source), signals(0.5 * source + 0.05 * other)
    assert Metrics.framewise_sdr(references, estimates, RATE)[0, 0] == pytest.approx(-10 * np.log10(0.25 + 0.0025))
    assert Metrics.si_sdr(references, estimates)[0] == pytest.approx(20)


def test_channels_are_one_vector_with_one_scale():
    left, right = tone(50), tone(70)
    references = np.stack([left, right], axis=1)[:, np.newaxis]
    estimates = np.stack([left, 0 * right], axis=1)[:, np.newaxis]
    # <e, s> / |s|^2 = 1/2: the target has energy 1/4 + 1/4, the rest as much. A scale a channel would give +inf.
    assert Metrics.si_sdr(references, estimates)[0] == pytest.approx(0, abs=1e-9)
    assert Metrics.framewise_sdr(references, estimates, RATE)[0, 0] == pytest.approx(10 * np.log10(2))


def test_no_mean_is_removed():
    source = tone(50)
    assert Metrics.si_sdr(signals(source), signals(source + np.sqrt(0.5)))[0] == pytest.approx(0, abs=1e-9)


def test_usdr_has_the_constant_of_the_challenge():
    faint = np.sqrt(1e-7 / (RATE / 2)) * tone(50)  # of energy 1e-7, the constant itself
    loud = 1e4 * tone(50)
    references = signals(faint, faint, 0 * faint, loud)
    estimates = signals(faint, -faint, 0 * faint, loud + 1e3 * tone(90))
    np.testing.assert_allclose(Metrics.usdr(references, estimates), 10 * np.log10([2, 2 / 5, 1, 100]), atol=1e-9)


def test_leakage_is_the_share_of_the_mixture():
    mixture = np.stack([tone(50), tone(70)], axis=1)
    estimates = np.stack([mixture, 0.1 * mixture, 0 * mixture, mixture * [1, 0]], axis=1)
    np.testing.assert_allclose(Metrics.leakage_db(estimates, mixture), [0, -20, -np.inf, -10 * np.log10(2)], atol=1e-9)
    assert np.isnan(Metrics.leakage_db(0 * estimates, 0 * mixture)).all()


def test_pes_is_the_energy_where_the_source_rests():
    source = tone(50, 3)
    source[RATE : 2 * RATE] = 0
    leak = 0.1 * tone(90, 3)  # of energy RATE / 200 a second
    leak[2 * RATE :] = 0
    references, estimates = signals(source, 0 * source, source), signals(source + leak, leak, source)
    pes = Metrics.pes_db(references, estimates, RATE)
    level, nan = 10 * np.log10(RATE / 200), np.nan
    np.testing.assert_allclose(pes, [[nan, level, nan], [level, level, -120], [nan, -120, nan]], atol=1e-9)
    stereo = np.repeat(references, 2, axis=2), np.repeat(estimates, 2, axis=2)
    np.testing.assert_allclose(Metrics.pes_db(*stereo, RATE)[1, 0], level + 10 * np.log10(2), atol=1e-9)
    half = Metrics.pes_db(references, estimates, RATE, window_seconds=0.5, hop_seconds=0.5)
    np.testing.assert_allclose(half[0], [nan, nan, level, level, nan, nan] - 10 * np.log10([2] * 6), atol=1e-9)


def test_log_spectral_distance_of_a_gain_is_the_gain(random_pair):
    references, _ = random_pair
    gains = np.array([[1.0], [0.1], [-2.0]])
    expected = np.abs(20 * np.log10(np.abs(gains[:, 0])))
    np.testing.assert_allclose(Metrics.log_spectral_distance_db(references, gains * references), expected, atol=1e-2)


def test_log_spectral_distance_is_its_formula(random_pair):
    references, estimates = (each[:, :, :1] for each in random_pair)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    for source in range(3):
        r, e = (np.pad(x[:, source, 0], (1024, 3000)) for x in (references, estimates))
        floor = 1e-8 * np.mean(references[:, source] ** 2) * np.sum(window**2)
        distances = []
        for start in range(0, 1024 + 3500, 1024):
            true, given = (np.abs(np.fft.rfft(window * x[start : start + 2048])) ** 2 for x in (r, e))
            distances.append(np.sqrt(np.mean((10 * np.log10((true + floor) / (given + floor))) ** 2)))
        found = Metrics.log_spectral_distance_db(references, estimates)[source]
        assert found == pytest.approx(np.mean(distances), rel=1e-9)


def test_log_spectral_distance_hears_only_where_the_reference_sounds():
    source = np.random.default_rng(0).standard_normal(20 * 2048)
    source[10 * 2048 :] = 0
    other = 0.1 * source
    other[12 * 2048 :] = 5
    distance = Metrics.log_spectral_distance_db(signals(source, 0 * source, source), signals(other, other, 0 * source))
    np.testing.assert_allclose(distance[:2], [20, np.nan], atol=0.1)
    assert 75 < distance[2] < 85
    loud = Metrics.log_spectral_distance_db(9 * signals(source), 9 * signals(other))
    np.testing.assert_allclose(loud, distance[:1], atol=1e-9)


def test_silence_and_exactness():
    source, silence = tone(50, 2), np.zeros(2 * RATE)
    late = np.concatenate([np.zeros(RATE), tone(50)])
    references = signals(source, source, silence, silence, late, source)
    estimates = signals(source, silence, source, silence, late, tone(90, 2))
    sdr_db = Metrics.framewise_sdr(references, estimates, RATE)
    nan, inf = np.nan, np.inf
    half = -10 * np.log10(2)
    expected = np.array([[inf, inf], [0, 0], [nan, nan], [nan, nan], [nan, inf], [half, half]])
    np.testing.assert_allclose(sdr_db, expected, atol=1e-9)
    si_sdr = Metrics.si_sdr(references, estimates)
    np.testing.assert_array_equal(si_sdr[:5], [inf, -inf, nan, nan, inf])
    assert si_sdr[5] < -250
    assert Metrics.si_sdr(references, 0.3 * references)[0] > 250
    np.testing.assert_array_equal(Metrics.sounding_sources(references), [True, True, False, False, True, True])


@pytest.mark.parametrize("sample", [0, 5000, 9999])
def test_a_single_sample_is_sound_wherever_it_is(sample):
    click = np.zeros(10_000)
    click[sample] = 1e-9
    references = signals(click, 0 * click, np.ones(10_000))
    np.testing.assert_array_equal(Metrics.sounding_sources(references), [True, False, True])
    strict = Metrics.framewise_sdr(references, 0.5 * references, RATE, 10, mask="strict")
    np.testing.assert_allclose(strict[:, 0], [20 * np.log10(2), np.nan, 20 * np.log10(2)], atol=1e-9)


def test_the_last_partial_frame_is_dropped_and_a_short_track_is_one_frame():
    source = tone(50, 3)
    assert Metrics.framewise_sdr(signals(source[:2999]), signals(source[:2999]), RATE).shape == (1, 2)
    assert Metrics.framewise_sdr(signals(source[:400]), signals(0 * source[:400]), RATE).tolist() == [[0.0]]
    # Only what was dropped sounds: the source is not silent, but no frame counts.
    references = signals(np.where(np.arange(2500) < 2000, 0, 1.0))
    assert np.isnan(Metrics.framewise_sdr(references, references, RATE)).tolist() == [[True, True]]


@pytest.mark.parametrize("mask", ["per_source", "strict"])
def test_scaling_everything_changes_nothing(random_pair, mask):
    scaled = [1e-3 * each for each in random_pair]
    before, after = (framewise(pair, mask=mask) for pair in (random_pair, scaled))
    np.testing.assert_allclose(after, before, atol=1e-9)
    np.testing.assert_allclose(Metrics.si_sdr(*scaled), Metrics.si_sdr(*random_pair), atol=1e-9)


@pytest.mark.parametrize("metric", [lambda *pair: framewise(pair), Metrics.usdr, Metrics.si_sdr])
def test_sources_do_not_know_each_other(random_pair, metric):
    order = [2, 0, 1]
    whole = metric(*random_pair)
    np.testing.assert_allclose(metric(*(each[:, order] for each in random_pair)), whole[order], atol=1e-9)
    np.testing.assert_allclose(metric(*(each[:, [1]] for each in random_pair)), whole[[1]], atol=1e-9)
    np.testing.assert_allclose(metric(*(each[:, :, ::-1] for each in random_pair)), whole, atol=1e-9)


def test_si_sdr_ignores_the_estimates_level(random_pair):
    references, estimates = random_pair
    gains = np.array([[-3.0], [1e-4], [50.0]])
    np.testing.assert_allclose(Metrics.si_sdr(references, gains * estimates), Metrics.si_sdr(*random_pair), atol=1e-9)


@pytest.mark.parametrize("block_samples", [1, 7, 3500])
def test_blocks_leave_no_trace(random_pair, monkeypatch, block_samples):
    references, estimates = random_pair
    energy, error = np.sum(references**2, axis=(0, 2)), np.sum((references - estimates) ** 2, axis=(0, 2))
    monkeypatch.setattr(floor, "BLOCK_SAMPLES", block_samples)
    np.testing.assert_allclose(Metrics.usdr(*random_pair), 10 * np.log10((energy + 1e-7) / (error + 1e-7)), atol=1e-9)
    scale = np.sum(references * estimates, axis=(0, 2)) / energy
    rest = np.sum((scale[:, None] * references - estimates) ** 2, axis=(0, 2))
    np.testing.assert_allclose(Metrics.si_sdr(*random_pair), 10 * np.log10(scale**2 * energy / rest), atol=1e-9)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_any_real_dtype_is_computed_in_float64(random_pair, dtype):
    narrow = [np.clip(9000 * each, -32768, 32767).astype(dtype) for each in random_pair]
    wide = [each.astype(np.float64) for each in narrow]
    for mask in ("per_source", "strict"):
        np.testing.assert_array_equal(framewise(narrow, mask=mask), framewise(wide, mask=mask))
    np.testing.assert_array_equal(Metrics.si_sdr(*narrow), Metrics.si_sdr(*wide))


def test_two_channels_whose_sum_overflows_are_not_silent():
    loud = np.full((RATE, 1, 2), -32768, dtype=np.int16)
    assert Metrics.framewise_sdr(loud, loud, RATE, mask="strict").tolist() == [[np.inf]]


def broken(where, value):
    signals = np.ones((100, 2, 1))
    signals[where] = value
    return signals


GOOD = np.ones((100, 2, 1))


@pytest.mark.parametrize(
    ("references", "estimates", "message"),
    [
        (GOOD, GOOD[:99], "estimates: expected 100 samples as in the references; received 99"),
        (GOOD, GOOD[:, :1], "estimates: expected 2 sources as in the references; received 1"),
        (GOOD, np.ones((100, 2, 2)), "estimates: expected 1 channels as in the references; received 2"),
        (GOOD[:, :, 0], GOOD, "references: expected an array (samples, sources, channels) that is not empty; "
         "received the shape (100, 2)"),
        (GOOD[:0], GOOD[:0], "references: expected an array (samples, sources, channels) that is not empty; "
         "received the shape (0, 2, 1)"),
        (GOOD, broken((7, 1), np.nan), "estimates: expected finite samples; 1 are NaN or infinite, the first is "
         "sample 7, source 1, channel 0"),
        (broken(slice(5, 9), -np.inf), GOOD, "references: expected finite samples; 8 are NaN or infinite, the first is "
         "sample 5, source 0, channel 0"),
    ],
)  # fmt: skip
def test_signals_that_do_not_fit_are_named(references, estimates, message):
    for metric in (lambda *pair: framewise(pair), Metrics.usdr, Metrics.si_sdr):
        with pytest.raises(ValueError) as caught:
            metric(references, estimates)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (np.ones((99, 1)), "mixture: expected the shape (samples, channels) (100, 1) of the sources; received (99, 1)"),
        (np.full((100, 1), np.nan), "mixture: expected finite samples; 100 are NaN or infinite, the first is sample 0, "
         "channel 0"),
    ],
)  # fmt: skip
def test_a_mixture_that_does_not_fit_is_named(mixture, message):
    with pytest.raises(ValueError) as caught:
        Metrics.leakage_db(GOOD, mixture)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask": "loose"}, "mask: expected one of per_source, strict; received 'loose'"),
        ({"hop_seconds": 0}, "hop_seconds: expected at least one sample at 1000 Hz; received 0 s"),
        ({"window_seconds": 0.0009}, "window_seconds: expected at least one sample at 1000 Hz; received 0.0009 s"),
        ({"window_seconds": np.inf}, "window_seconds: expected at least one sample at 1000 Hz; received inf s"),
    ],
)
def test_settings_that_cannot_be_are_named(settings, message):
    with pytest.raises(ValueError) as caught:
        Metrics.framewise_sdr(GOOD, GOOD, RATE, **settings)
    assert str(caught.value) == message


def test_huge_finite_samples_are_not_taken_for_infinite():
    huge = np.full((10, 1, 1), 3e38, dtype=np.float32)  # their float32 sum is infinite
    assert Metrics.usdr(huge, huge)[0] > 0
