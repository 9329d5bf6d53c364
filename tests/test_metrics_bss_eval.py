"""BSS Eval against museval 0.4.1, against least squares written out, and against numbers known in closed form."""

import warnings

import Metrics
from Metrics import projection
from tests.museval_oracle import museval_modules, noise, notes

import numpy as np
import pytest

RATE = 8000


@pytest.fixture(scope="module")
def museval():
    with museval_modules() as modules:
        yield modules.metrics


def of_museval(museval, references, estimates, window=RATE, hop=RATE, taps=512, **settings):
    """(4, S, F)."""
    by_source = [np.moveaxis(signals, 1, 0) for signals in (references, estimates)]
    return np.stack(museval.bss_eval(*by_source, window, hop, filters_len=taps, **settings)[:4])


def ours_of(references, estimates, taps=512, mask="strict", **settings):
    return np.stack(Metrics.bss_eval(references, estimates, RATE, mask=mask, filter_taps=taps, **settings)[:4])


def assert_museval(ours, theirs, again, reproducible=1.0):
    """Ours are museval's within 1e-5 dB wherever museval gives the same for signals 1.1 times as loud."""
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        same = (theirs == again) | (np.abs(theirs - again) <= 1e-6) | np.isnan(theirs)
        off = np.where((ours == theirs) | np.isnan(theirs), 0, np.abs(ours - theirs))
    assert same.mean() >= reproducible
    assert off[same].max() <= 1e-5, off


def compare(museval, references, estimates, taps=512, version="v4", kind="images", reproducible=1.0, **frames):
    settings = {"framewise_filters": version == "v3", "bsseval_sources_version": kind == "sources"}
    theirs, again = (
        of_museval(museval, gain * references, gain * estimates, taps=taps, **settings, **frames) for gain in (1, 1.1)
    )
    seconds = {f"{key}_seconds": samples / RATE for key, samples in frames.items()}
    ours = ours_of(references, estimates, taps, version=version, kind=kind, **seconds)
    assert_museval(ours, theirs, again, reproducible)
    return ours


@pytest.mark.slow
@pytest.mark.parametrize("signals", [noise, notes])
@pytest.mark.parametrize(
    ("seconds", "sources", "channels"),
    [(3.4, 3, 1), (2.3, 2, 2), (0.4, 2, 1), (1.0, 2, 1), (1 + 1 / RATE, 1, 1), (2.0, 1, 2)],
    ids=["mono, partial frame", "stereo, partial frame", "short", "one frame", "one source", "one stereo source"],
)
def test_v4_is_musevals(museval, signals, seconds, sources, channels):
    ours = compare(museval, *signals(1, seconds, sources, channels, RATE))
    assert ours.shape == (4, sources, max(1, int(seconds)))
    assert np.isinf(ours[2]).all() == (sources == 1)


@pytest.mark.slow
@pytest.mark.parametrize(("sources", "channels", "taps"), [(2, 1, 512), (2, 2, 200)])
@pytest.mark.parametrize("signals", [noise, notes])
def test_v3_is_musevals(museval, signals, sources, channels, taps):
    compare(museval, *signals(2, 1.2, sources, channels, RATE), taps=taps, version="v3", window=4000, hop=4000)


@pytest.mark.parametrize("version", ["v4", "v3"])
def test_the_sources_version_is_musevals(museval, version):
    ours = compare(museval, *notes(3, 2.2, 3, 1, RATE), taps=200, version=version, kind="sources")
    assert np.isnan(ours[1]).all() and not np.isnan(ours[[0, 2, 3]]).any()


@pytest.mark.slow
@pytest.mark.parametrize(("window", "hop"), [(8000, 2000), (3000, 5000), (20000, 4000)])
@pytest.mark.parametrize("version", ["v4", "v3"])
def test_other_frames_are_musevals(museval, version, window, hop):
    compare(museval, *noise(4, 3.1, 2, 1, RATE), taps=64, version=version, window=window, hop=hop)


def test_the_whole_track_as_one_frame_is_musevals(museval):
    references, estimates = noise(5, 2.3, 2, 2, RATE)
    theirs = of_museval(museval, references, estimates, np.inf, np.inf, taps=32)
    np.testing.assert_allclose(ours_of(references, estimates, 32, window_seconds=None), theirs, atol=1e-9)


@pytest.mark.slow
def test_thirteen_sources_are_musevals(museval):
    compare(museval, *noise(6, 2.5, 13, 1, RATE), taps=64)


@pytest.mark.parametrize("version", ["v4", "v3"])
def test_silent_frames_are_musevals(museval, version):
    """In frame 1 a reference is silent, in 3 an estimate, in 4 a stereo reference only to who adds its channels."""
    references, estimates = noise(7, 5.2, 3, 2, RATE)
    references[RATE : 2 * RATE, 0] = 0
    estimates[3 * RATE : 4 * RATE, 1] = 0
    references[4 * RATE : 5 * RATE, 2, 1] = -references[4 * RATE : 5 * RATE, 2, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # opposite channels depend on each other
        ours = compare(museval, references, estimates, taps=64, version=version)
    assert np.isnan(ours).all(axis=(0, 1)).tolist() == [False, True, False, True, True]


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["strict", "per_source"])
def test_sources_silent_throughout_change_nothing(museval, mask):
    references, estimates = notes(8, 2.5, 5, 1, RATE)
    references[:, [0, 3]] = 0
    playing = [1, 2, 4]
    ours = ours_of(references, estimates, mask=mask)
    assert np.isnan(ours[:, [0, 3]]).all()
    pair = [np.ascontiguousarray(signals[:, playing]) for signals in (references, estimates)]
    theirs, again = (of_museval(museval, *(gain * signals for signals in pair)) for gain in (1, 1.1))
    assert_museval(ours[:, playing], theirs, again)


@pytest.mark.slow
def test_a_silent_channel_is_musevals(museval):
    references, estimates = notes(9, 2.0, 2, 2, RATE)
    references[:, 0, 1] = 0
    compare(museval, references, estimates)
    assert Metrics.bss_eval(references, estimates, RATE).reciprocal_condition.min() > 1e-13


@pytest.mark.slow
def test_dual_mono_is_musevals_as_far_as_museval_knows(museval):
    references, estimates = (np.repeat(signals, 2, axis=2) for signals in notes(10, 2.5, 2, 1, RATE))
    theirs, again = (of_museval(museval, gain * references, gain * estimates) for gain in (1, 1.1))
    with pytest.warns(UserWarning, match="references: they nearly depend on each other"):
        ours = ours_of(references, estimates)
    assert_museval(ours, theirs, again, reproducible=0)
    np.testing.assert_allclose(ours, theirs, atol=2e-2)
    # What is projected onto is the same with the second channel as without it.
    mono = ours_of(references[:, :, :1], estimates[:, :, :1])
    np.testing.assert_allclose(ours, mono, atol=1e-5)


def test_panned_mono_in_float_is_the_mono_source():
    references, estimates = noise(11, 2.0, 2, 1, RATE)
    with pytest.warns(UserWarning, match="reciprocal condition"):
        panned = ours_of(references * [1, 0.3], estimates * [1, 0.3])
    np.testing.assert_allclose(panned, ours_of(references, estimates), atol=1e-5)


def test_line_spectra_that_only_a_factor_solves_are_musevals(museval, monkeypatch):
    """Periodic 16-bit tones: reciprocal condition 3e-15, but museval's numbers hold."""
    time = np.arange(3 * RATE) / RATE
    tones = np.stack([np.sin(2 * np.pi * hz * time) for hz in (220, 330)], axis=1)[:, :, np.newaxis]
    references, estimates = (
        np.round(16384 * each) / 32768
        for each in (tones, tones + 0.2 * tones[:, ::-1] + 1e-2 * np.cos(np.arange(3 * RATE) ** 2)[:, None, None])
    )
    with pytest.warns(UserWarning, match="reciprocal condition"):
        compare(museval, references, estimates, reproducible=0.25)


def test_the_reciprocal_condition_is_that_of_the_matrix():
    references, estimates = notes(12, 2.0, 2, 1, RATE)
    delayed = delays(references, 512)
    eigenvalues = np.linalg.eigvalsh(delayed.T @ delayed)
    found = Metrics.bss_eval(references, estimates, RATE).reciprocal_condition
    assert found.shape == (2,)
    np.testing.assert_allclose(found, eigenvalues[0] / eigenvalues[-1], rtol=0.2)
    quiet = references.copy()
    quiet[RATE:] = 0
    of_frames = Metrics.bss_eval(quiet, estimates, RATE, version="v3").reciprocal_condition
    assert of_frames[0] > 0 and np.isnan(of_frames[1])


def test_an_empty_top_band_is_warned_of_and_16_bits_mend_it():
    references, estimates = noise(13, 2.0, 2, 1, RATE)
    smooth = [np.fft.irfft(np.fft.rfft(each, axis=0)[:5000], len(each), axis=0) for each in (references, estimates)]
    with pytest.warns(UserWarning, match=r"^my files: they nearly .* \(reciprocal condition .* in 2 of 2 frames;"):
        Metrics.bss_eval(*smooth, RATE, name="my files")
    Metrics.bss_eval(*(np.round(each * 32768) / 32768 for each in smooth), RATE)


def delays(references, taps):
    """Columns (T + L - 1, S C L): every channel at every delay."""
    flat = references.reshape(len(references), -1)
    rows = len(flat) + taps - 1
    columns = np.zeros((rows, flat.shape[1], taps))
    for delay in range(taps):
        columns[delay : delay + len(flat), :, delay] = flat
    return columns.reshape(rows, -1)


def least_squares(references, estimates, frame, taps):
    """The four ratios (4, S, F) straight from their definition."""
    samples, sources, channels = references.shape

    def filters(of):
        padded = np.pad(estimates, ((0, taps - 1), (0, 0), (0, 0)))
        return np.linalg.lstsq(delays(references[:, of], taps), padded.reshape(len(padded), -1), rcond=None)[0]

    scores = []
    for start in range(0, samples - frame + 1, frame):
        r, e = references[start : start + frame], estimates[start : start + frame]
        for j in range(sources):
            own = slice(j * channels, (j + 1) * channels)
            true, given = (np.pad(x[:, j], ((0, taps - 1), (0, 0))) for x in (r, e))
            pj = delays(r[:, [j]], taps) @ filters([j])[:, own]
            p = delays(r, taps) @ filters(slice(None))[:, own]
            pairs = (true, given - true), (true, pj - true), (pj, p - pj), (p, given - p)
            with np.errstate(divide="ignore", invalid="ignore"):
                scores.append([10 * np.log10(np.sum(x**2) / np.sum(y**2)) for x, y in pairs])
    return np.array(scores).reshape(-1, sources, 4).transpose(2, 1, 0)


@pytest.mark.parametrize("taps", [1, 5])
@pytest.mark.parametrize(("sources", "channels"), [(3, 1), (2, 2), (1, 3)])
def test_all_frames_are_least_squares_written_out(sources, channels, taps):
    rng = np.random.default_rng(sources)
    references = rng.standard_normal((1500, sources, channels))
    estimates = 0.7 * references + 0.4 * references[:, ::-1, ::-1] + 0.3 * rng.standard_normal(references.shape)
    ours = ours_of(references, estimates, taps, mask="per_source", window_seconds=500 / RATE, hop_seconds=500 / RATE)
    theirs = least_squares(references, estimates, 500, taps)
    if sources == 1:
        assert np.isposinf(ours[2]).all()
        ours, theirs = (np.delete(x, 2, axis=0) for x in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_silence_per_source():
    """Frame 0: all play. 1: the reference of 0 rests. 2: the estimate of 1 is silent. Source 2 is never given."""
    rng = np.random.default_rng(0)
    references = rng.standard_normal((1500, 3, 1))
    estimates = 0.7 * references + 0.4 * references[:, ::-1] + 0.3 * rng.standard_normal(references.shape)
    references[500:1000, 0] = 0
    estimates[1000:, 1] = 0
    estimates[:, 2] = 0
    frames = {"window_seconds": 500 / RATE, "hop_seconds": 500 / RATE}
    ours = ours_of(references, estimates, 5, mask="per_source", **frames)
    expected = least_squares(references, estimates, 500, 5)
    expected[:, 0, 1] = np.nan
    for where in ((1, 2), (2, slice(None))):
        expected[(slice(0, 2), *where)] = 0
        expected[(slice(2, 4), *where)] = np.nan
    np.testing.assert_allclose(ours, expected, atol=1e-9)


def test_v3_per_source_leaves_out_what_rests_in_a_frame():
    references, estimates = noise(14, 2.0, 2, 1, RATE)
    references[RATE:, 1] = 0
    ours = ours_of(references, estimates, 64, mask="per_source", version="v3")
    alone = ours_of(references[RATE:, :1], estimates[RATE:, :1], 64, version="v3")
    np.testing.assert_allclose(ours[:, 0, 1], alone[:, 0, 0], atol=1e-9)
    assert np.isposinf(ours[2, 0, 1]) and np.isnan(ours[:, 1, 1]).all()


LEVELS = np.array([[1.0, 0.5, 0.1], [0.3, 2.0, 0.2], [1.5, 0.25, 0.01]])  # of s1, s2 and the artifact, a frame each


def pulses(channels):
    """Sources and an artifact of one pulse per channel and frame, further apart than a filter is long."""
    frame = RATE
    signals = np.zeros((3 * frame, 3, channels))
    for number, levels in enumerate(LEVELS):
        for source, level in enumerate(levels):
            for channel in range(channels):
                signals[number * frame + 1000 * (source * channels + channel), source, channel] = level
    return signals[:, :2], signals[:, 2]


@pytest.mark.parametrize("version", ["v4", "v3"])
def test_orthogonal_signals_have_the_scores_of_their_levels(version):
    references, artifact = pulses(1)
    late = np.roll(references, 100, axis=0)  # a delay is a filter: to ISR a fault, to SIR and SAR none
    estimates = np.stack([0.8 * references[:, 0] + 0.3 * late[:, 1] + artifact, late[:, 1] - 2 * artifact], axis=1)
    (h, g, c), b = LEVELS.T, 0.3
    expected = np.array([
        [h**2 / (0.04 * h**2 + b**2 * g**2 + c**2), g**2 / (2 * g**2 + 4 * c**2)],
        [h**2 / (0.04 * h**2), g**2 / (2 * g**2)],
        [0.64 * h**2 / (b * g) ** 2, np.inf * g],
        [(0.64 * h**2 + (b * g) ** 2) / c**2, g**2 / (4 * c**2)],
    ])  # fmt: skip
    ours = ours_of(references, estimates, version=version)
    assert (ours[2, 1] > 200).all()
    ours[2, 1] = np.inf
    np.testing.assert_allclose(ours, 10 * np.log10(expected), atol=1e-6)
    of_sources = ours_of(references, estimates, version=version, kind="sources")
    sdr = [0.64 * h**2 / ((b * g) ** 2 + c**2), g**2 / (4 * c**2)]
    np.testing.assert_allclose(of_sources[0], 10 * np.log10(sdr), atol=1e-6)
    np.testing.assert_allclose(of_sources[[2, 3], 0], ours[[2, 3], 0], atol=1e-6)


def test_channels_that_change_places_are_a_spatial_error():
    references, artifact = pulses(2)
    estimates = references[:, :, ::-1] + 0.1 * references[:, ::-1] + artifact[:, np.newaxis]
    h, g, c = LEVELS.T
    expected = np.array([
        [h**2 / (2 * h**2 + 0.01 * g**2 + c**2), g**2 / (2 * g**2 + 0.01 * h**2 + c**2)],
        [h**2 / (2 * h**2), g**2 / (2 * g**2)],
        [h**2 / (0.01 * g**2), g**2 / (0.01 * h**2)],
        [(h**2 + 0.01 * g**2) / c**2, (g**2 + 0.01 * h**2) / c**2],
    ])  # fmt: skip
    np.testing.assert_allclose(ours_of(references, estimates), 10 * np.log10(expected), atol=1e-6)


@pytest.fixture
def pair():
    return notes(15, 2.5, 3, 2, RATE)


@pytest.mark.parametrize("version", ["v4", "v3"])
def test_a_gain_for_all_and_another_order_change_nothing(pair, version):
    settings = {"taps": 64, "version": version}
    before = ours_of(*pair, **settings)
    for gain in (1e-3, -7.0):
        np.testing.assert_allclose(ours_of(*(gain * each for each in pair), **settings), before, atol=1e-6)
    order = [2, 0, 1]
    np.testing.assert_allclose(ours_of(*(each[:, order] for each in pair), **settings), before[:, order], atol=1e-6)
    np.testing.assert_allclose(ours_of(*(each[:, :, ::-1] for each in pair), **settings), before, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_any_real_dtype_and_layout_is_computed_in_float64(pair, dtype):
    narrow = [np.asfortranarray(32768 * each).astype(dtype) for each in pair]
    wide = [each.astype(np.float64) for each in narrow]
    np.testing.assert_array_equal(ours_of(*narrow, 64), ours_of(*wide, 64))


@pytest.mark.parametrize("buffer_samples", [1, 200_000])
def test_blocks_leave_no_trace(pair, monkeypatch, buffer_samples):
    before = ours_of(*pair, 64)
    monkeypatch.setattr(projection, "BUFFER_SAMPLES", buffer_samples)
    np.testing.assert_allclose(ours_of(*pair, 64), before, atol=1e-9)


@pytest.mark.parametrize("samples", [50, 4095, 4096, 4097, 9000])
def test_correlations_are_sums_of_products(samples):
    rng = np.random.default_rng(samples)
    x, y = rng.standard_normal((samples, 2)), rng.standard_normal((samples, 3))
    lags, right = projection.correlations(x, y, 20)
    both = np.concatenate([x, y], axis=1)
    expected = [x[: samples - delay].T @ both[delay:] for delay in range(20)]
    np.testing.assert_allclose(np.concatenate([lags, right], axis=2), expected, atol=1e-9)


def test_every_inverse_solves_a_system_that_is_not_hard():
    references, estimates = noise(16, 1.0, 3, 1, RATE)
    lags, right = projection.correlations(references, estimates, 40)
    gram = projection.Gram(lags)
    delayed = delays(references, 40)
    matrix = delayed.T @ delayed  # ordered by channel, then delay
    dense = matrix.reshape(3, 40, 3, 40).transpose(1, 0, 3, 2).reshape(120, 120)
    expected = np.linalg.solve(dense, right.reshape(120, 3)).reshape(right.shape)
    np.testing.assert_allclose(gram.times(expected), right, rtol=1e-9, atol=1e-9)
    for inverse in gram.inverses()[:3]:
        np.testing.assert_allclose(inverse()(right), expected, rtol=1e-7, atol=1e-9)


@pytest.fixture
def system():
    """A system of 1200 rows and reciprocal condition 6e-6, with its solution."""
    lags, right = projection.correlations(*notes(17, 2.0, 3, 1, RATE), 400)
    expected = np.linalg.solve(projection._dense(lags), right.reshape(1200, 3)).reshape(right.shape)
    return projection.Gram(lags), right, expected


def off(gram, x, expected):
    """How far projections with filters x are from those with the expected ones, relative to their size."""
    error = projection.inner(x - expected, gram.times(x - expected)) / projection.inner(expected, gram.times(expected))
    return np.sqrt(np.abs(error)).max()


def test_where_the_recursion_breaks_down_a_factor_solves(system, monkeypatch):
    gram, right, expected = system

    def broken_down(self, loading):
        raise np.linalg.LinAlgError

    monkeypatch.setattr(projection.Gram, "levinson_inverse", broken_down)
    x, condition = projection.solve(gram, right)
    assert off(gram, x, expected) < 1e-8 and 1e-7 < condition < 1e-4


def test_a_rough_answer_is_not_taken_where_a_better_one_is_to_be_had(system, monkeypatch):
    gram, right, expected = system
    monkeypatch.setattr(projection, "STEPS", 4)
    monkeypatch.setattr(projection, "LOADINGS", (1e-5,))
    rough, error = projection._conjugate_gradients(gram, gram.levinson_inverse(1e-5), right)
    assert 1e-8 < error.max() < 1e-2 and off(gram, rough, expected) > 1e-8
    assert off(gram, projection.solve(gram, right)[0], expected) < 1e-8


def test_conjugate_gradients_need_no_good_inverse():
    """With none at all, reciprocal condition 1/30: steepest descent would be off by 2 % after as many steps."""
    lags = np.zeros((50, 1, 1))
    lags[:2, 0, 0] = 1, 29 / 31 / 2
    gram = projection.Gram(lags)
    expected = np.random.default_rng(0).standard_normal((50, 1, 2))
    x, _ = projection._conjugate_gradients(gram, lambda r: r, gram.times(expected))
    assert off(gram, x, expected) < 1e-8


GOOD = np.random.default_rng(0).standard_normal((2000, 2, 1))


def broken(where, value):
    signals = GOOD.copy()
    signals[where] = value
    return signals


@pytest.mark.parametrize(
    ("references", "estimates", "settings", "message"),
    [
        (GOOD, GOOD[:99], {}, "estimates: expected 2000 samples as in the references; received 99"),
        (GOOD, GOOD[:, :1], {}, "estimates: expected 2 sources as in the references; received 1"),
        (GOOD[:, :, 0], GOOD, {}, "references: expected an array (samples, sources, channels) that is not empty; "
         "received the shape (2000, 2)"),
        (GOOD, broken((7, 1), np.nan), {}, "estimates: expected finite samples; 1 are NaN or infinite, the first is "
         "sample 7, source 1, channel 0"),
        (GOOD[:512], GOOD[:512], {}, "references: expected at least 513 samples to find filters of 512 taps for 2 "
         "sources of 1 channels; received 512"),
        (GOOD, GOOD, {"version": "v3", "window_seconds": 0.05}, "references: expected at least 513 samples to find "
         "filters of 512 taps for 2 sources of 1 channels; received 400"),
        (GOOD, GOOD, {"version": "v5"}, "version: expected one of v4, v3; received 'v5'"),
        (GOOD, GOOD, {"kind": "image"}, "kind: expected one of images, sources; received 'image'"),
        (GOOD, GOOD, {"mask": "loose"}, "mask: expected one of per_source, strict; received 'loose'"),
        (GOOD, GOOD, {"filter_taps": 0}, "filter_taps: expected 1 to 2048; received 0"),
        (GOOD, GOOD, {"hop_seconds": 0}, "hop_seconds: expected at least one sample at 8000 Hz; received 0 s"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(references, estimates, settings, message):
    with pytest.raises(ValueError) as caught:
        Metrics.bss_eval(references, estimates, RATE, **settings)
    assert str(caught.value) == message


def test_a_track_on_which_nothing_sounds_has_no_scores():
    scores = Metrics.bss_eval(0 * GOOD, GOOD, 1000)
    assert all(np.isnan(each).all() for each in scores) and scores.sdr.shape == (2, 2)
