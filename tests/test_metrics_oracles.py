"""Ideal masks against their formulas written bin by bin, and against what must be true of them."""

from typing import get_args

import Config
import Metrics
from Metrics.projection import BUFFER_SAMPLES

import numpy as np
import pytest
from scipy import signal

ORACLES = ("IBM", "IRM", "MWF")
RATE = 1000  # 46 ms are 46 samples: the nearest power of two is 64
WINDOW = 64


def test_a_configuration_asks_for_the_same_masks():
    assert get_args(Config.Oracle) == Metrics.ORACLES


def noises(seed, samples, sources, channels):
    """Sources of noise, each with a colour and a place of its own; (T, S, C)."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((samples, sources, channels))
    for source in range(sources):
        parts[:, source] = signal.lfilter([1], [1, 0.8 * np.cos(2 * source + 1)], parts[:, source], axis=0)
        parts[:, source] = parts[:, source] @ rng.standard_normal((channels, channels))
    return parts


def by_hand(oracle, mixture, references, window):
    """The formulas of the docstring, a bin after the other, on scipy's transform."""
    samples, sources, channels = references.shape
    settings = dict(window=np.sqrt(signal.windows.hann(window, sym=False)), nperseg=window, noverlap=window // 2)
    x = signal.stft(mixture.T, **settings)[2]  # (C, bins, frames)
    s = signal.stft(references.transpose(1, 2, 0), **settings)[2]  # (S, C, bins, frames)
    y = np.zeros_like(s)
    for f in range(s.shape[2]):
        spatial = []
        for j in range(sources):
            outer = sum(np.outer(s[j, :, f, n], s[j, :, f, n].conj()) for n in range(s.shape[3]))
            power = sum(np.mean(abs(s[j, :, f, n]) ** 2) for n in range(s.shape[3]))
            spatial.append(outer / power)
        for n in range(s.shape[3]):
            energy = [float(np.sum(abs(s[j, :, f, n]) ** 2)) for j in range(sources)]
            for j in range(sources):
                others = sum(energy) - energy[j]
                if oracle == "IBM":
                    y[j, :, f, n] = x[:, f, n] if energy[j] > others else 0
                elif oracle == "IRM":
                    y[j, :, f, n] = energy[j] / (energy[j] + others) * x[:, f, n]
                else:
                    total = sum(energy[k] * spatial[k] for k in range(sources))
                    y[j, :, f, n] = energy[j] * spatial[j] @ np.linalg.inv(total) @ x[:, f, n]
    return signal.istft(y, **settings)[1][..., :samples].transpose(2, 0, 1)


def sdr_db(references, estimates):
    """Of each source of signals (T, S, C)."""
    error = np.sum((references - estimates) ** 2, axis=(0, 2))
    return 10 * np.log10(np.sum(references**2, axis=(0, 2)) / error)


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize(("samples", "sources", "channels"), [(2011, 2, 1), (1500, 3, 2), (900, 2, 3)])
def test_estimates_are_those_of_the_formula(oracle, samples, sources, channels):
    references = noises(1, samples, sources, channels)
    mixture = references.sum(axis=1) + 0.3 * noises(2, samples, 1, channels)[:, 0]  # as recorded: not the exact sum
    estimates = Metrics.oracle_estimates(oracle, mixture, references, RATE)
    np.testing.assert_allclose(estimates, by_hand(oracle, mixture, references, WINDOW), atol=1e-6)


@pytest.mark.parametrize("oracle", ["IRM", "IBM"])
@pytest.mark.parametrize(("rate_hz", "window"), [(44_100, 2048), (22_050, 1024), (11_025, 512)])
def test_frames_last_about_46_ms(oracle, rate_hz, window):
    references = noises(3, 3 * window + 5, 2, 1)
    mixture = references.sum(axis=1)
    estimates = Metrics.oracle_estimates(oracle, mixture, references, rate_hz)
    np.testing.assert_allclose(estimates, by_hand(oracle, mixture, references, window), atol=1e-9)


def test_a_track_of_many_buffers_is_that_of_one(monkeypatch):
    references = noises(4, 5000, 2, 2)
    assert BUFFER_SAMPLES > 4 * references.size
    at_once = [Metrics.oracle_estimates(oracle, references.sum(axis=1), references, RATE) for oracle in ORACLES]
    monkeypatch.setattr("Metrics.projection.BUFFER_SAMPLES", 7 * 12 * WINDOW)
    for oracle, expected in zip(ORACLES, at_once, strict=True):
        received = Metrics.oracle_estimates(oracle, references.sum(axis=1), references, RATE)
        np.testing.assert_allclose(received, expected, atol=1e-9)


@pytest.mark.parametrize("oracle", ORACLES)
def test_sources_that_play_one_after_the_other_come_back_exactly(oracle):
    """No frame holds both: whoever plays is given everything, and who never plays nothing."""
    references = noises(5, 3000, 3, 2)
    references[1400:, 0], references[: 1400 + 2 * WINDOW, 1], references[:, 2] = 0, 0, 0
    estimates = Metrics.oracle_estimates(oracle, references.sum(axis=1), references, RATE)
    np.testing.assert_allclose(estimates, references, atol=1e-7)
    assert not estimates[:, 2].any()


@pytest.mark.parametrize("oracle", ORACLES)
def test_tones_far_apart_are_separated_but_for_the_windows_leakage(oracle):
    time = np.arange(4000) / RATE
    references = np.stack([np.sin(2 * np.pi * hz * time) for hz in (62.5, 312.5)], axis=1)[..., np.newaxis]
    estimates = Metrics.oracle_estimates(oracle, references.sum(axis=1), references, RATE)
    assert (sdr_db(references, estimates) > 30).all()


@pytest.mark.parametrize("oracle", ["IRM", "MWF"])
@pytest.mark.parametrize("samples", [1, 20, WINDOW, WINDOW + 1, 777])
def test_soft_estimates_sum_to_the_mixture_at_any_length(oracle, samples):
    references = noises(6, samples, 3, 2)
    mixture = noises(7, samples, 1, 2)[:, 0]
    estimates = Metrics.oracle_estimates(oracle, mixture, references, RATE)
    assert estimates.shape == references.shape
    np.testing.assert_allclose(estimates.sum(axis=1), mixture, atol=1e-5 if oracle == "MWF" else 1e-12)


def test_binary_masks_of_two_sources_share_the_mixture_out():
    references = noises(8, 1000, 2, 2)
    mixture = references.sum(axis=1)
    estimates = Metrics.oracle_estimates("IBM", mixture, references, RATE)
    np.testing.assert_allclose(estimates.sum(axis=1), mixture, atol=1e-12)
    assert np.abs(estimates[:, 0] - estimates[:, 1]).max() > 0.1


def test_binary_masks_give_nothing_to_sources_of_which_none_outweighs_the_others():
    alike = np.repeat(noises(9, 1000, 1, 1), 2, axis=1)
    assert not Metrics.oracle_estimates("IBM", alike.sum(axis=1), alike, RATE).any()
    # each of three has a third of the energy: the loudest, but less than the others together
    three = np.repeat(noises(9, 1000, 1, 1), 3, axis=1) * np.array([1.1, 1, 1])[:, np.newaxis]
    assert not Metrics.oracle_estimates("IBM", three.sum(axis=1), three, RATE).any()
    louder = three * np.array([2, 1, 1])[:, np.newaxis]
    estimates = Metrics.oracle_estimates("IBM", louder.sum(axis=1), louder, RATE)
    np.testing.assert_allclose(estimates[:, 0], louder.sum(axis=1), atol=1e-12)


def test_the_wiener_filter_of_one_channel_is_the_ratio_mask():
    references = noises(10, 2000, 3, 1)
    irm, mwf = (Metrics.oracle_estimates(oracle, references.sum(axis=1), references, RATE) for oracle in ("IRM", "MWF"))
    np.testing.assert_allclose(mwf, irm, atol=1e-8)


def test_sources_of_one_spectrum_are_told_apart_by_their_places_alone():
    """Two directions, two channels: the Wiener filter inverts the panning; a mask per bin is blind to it."""
    rng = np.random.default_rng(11)
    angles = np.radians([15, 65])
    references = rng.standard_normal((8000, 2, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    mixture = references.sum(axis=1)
    sdr = {
        oracle: sdr_db(references, Metrics.oracle_estimates(oracle, mixture, references, RATE)) for oracle in ORACLES
    }
    assert (sdr["MWF"] > 60).all() and (sdr["IRM"] < 10).all() and (sdr["IBM"] < 10).all()


@pytest.mark.parametrize("oracle", ORACLES)
def test_estimates_follow_scale_order_and_channels(oracle):
    references = noises(12, 1200, 3, 2)
    mixture = references.sum(axis=1)
    estimates = Metrics.oracle_estimates(oracle, mixture, references, RATE)
    for scale in (1e-4, 30.0):  # of the references it does not matter, with the mixture's the estimates grow
        scaled = Metrics.oracle_estimates(oracle, 5 * mixture, scale * references, RATE)
        np.testing.assert_allclose(scaled, 5 * estimates, atol=1e-6)
    order = [2, 0, 1]
    other = Metrics.oracle_estimates(oracle, mixture, references[:, order], RATE)
    np.testing.assert_allclose(other, estimates[:, order], atol=1e-9)
    swapped = Metrics.oracle_estimates(oracle, mixture[:, ::-1], references[..., ::-1], RATE)
    np.testing.assert_allclose(swapped, estimates[..., ::-1], atol=1e-6)


@pytest.mark.parametrize("oracle", ORACLES)
def test_estimates_follow_a_rotation_of_the_stereo_stage(oracle):
    """Energies over channels and covariances know no axes."""
    references = noises(13, 1200, 2, 2)
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    estimates = Metrics.oracle_estimates(oracle, references.sum(axis=1), references, RATE)
    turned = Metrics.oracle_estimates(oracle, references.sum(axis=1) @ turn, references @ turn, RATE)
    np.testing.assert_allclose(turned, estimates @ turn, atol=1e-6)


@pytest.mark.parametrize("oracle", ORACLES)
def test_silence_stays_silence(oracle):
    references = np.zeros((500, 2, 2))
    assert not Metrics.oracle_estimates(oracle, references.sum(axis=1), references, RATE).any()


def test_mistakes_are_named():
    references = noises(14, 300, 2, 1)
    mixture = references.sum(axis=1)
    with pytest.raises(ValueError, match="^oracle: expected one of IBM, IRM, MWF; received 'irm'$"):
        Metrics.oracle_estimates("irm", mixture, references, RATE)
    with pytest.raises(ValueError, match=r"^mixture: expected the shape \(samples, channels\) \(300, 1\)"):
        Metrics.oracle_estimates("IRM", mixture[:-1], references, RATE)
    with pytest.raises(ValueError, match="^references: expected finite samples; 1 are NaN .* sample 7, source 1"):
        wrong = references.copy()
        wrong[7, 1] = np.nan
        Metrics.oracle_estimates("MWF", mixture, wrong, RATE)


def test_an_oracle_scores_what_its_estimates_would_score_and_a_track_tells_its_run():
    references = noises(15, 3500, 3, 2)
    references[:, 1] = 0
    mixture, names = references.sum(axis=1), ["a", "b", "c"]
    rows = Metrics.score_track("t", references, references[:, ::-1], mixture, names, RATE, "all", ORACLES, "mine")
    assert set(rows["run"]) == {"mine"}
    assert set(rows["method"]) == {"estimate", "mixture", "silence", *ORACLES}
    for oracle in ORACLES:
        own = Metrics.oracle_estimates(oracle, mixture, references, RATE)
        expected = Metrics.score_track("t", references, own, mixture, names, RATE, "all")
        expected = expected[(expected["method"] == "estimate") & expected["metric"].isin(SCORED)]
        received = rows[rows["method"] == oracle]
        assert set(received["metric"]) == set(SCORED) and set(received["source"]) == {"a", "c"}
        keys = ["source", "metric", "time"]
        ordered = [table.sort_values(keys)[[*keys, "value"]] for table in (received, expected)]
        assert ordered[0][["source", "metric"]].to_numpy().tolist() == ordered[1][["source", "metric"]].values.tolist()
        # The ratio of two rounding errors is no number to compare: what an exact mask leaves over is left out.
        np.testing.assert_allclose(*(t["value"].clip(-80, 80).to_numpy() for t in ordered), atol=1e-4)


SCORED = ("SDR", "uSDR", "SI-SDR", "ISR", "SIR", "SAR", "LSD")


def test_an_unknown_oracle_of_a_track_is_named():
    references = noises(16, 1000, 2, 1)
    with pytest.raises(ValueError, match="^track t: .*IBM, IRM, MWF.*'IDM'"):
        Metrics.score_track("t", references, references, references.sum(axis=1), ["a", "b"], RATE, oracles=("IDM",))
