"""Test.py's own arithmetic: how tracks are ranked, which clips are kept, which loss is told."""

import json

import Metrics
from Actions.testing import excerpt_losses, improvement, keep_clips
from Files import Output
from Input.references import PreparedReferences
from Input.sources import Sources
from Input.stems import write_stems

import numpy as np
import pytest
import soundfile

RATE_HZ = 1_000
SOURCES = Sources(("fl", "vc", "vn"))


def noise(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_improvement_is_the_mean_over_the_sources_that_play():
    """Orthogonal sources of energies 1 and 4 whose estimates lie 20 dB and 10 dB off; the third is absent."""
    q = np.linalg.qr(noise(0, 600, 4).astype(np.float64))[0]
    references = np.stack([q[:, 0], 2 * q[:, 1], 0 * q[:, 2]], axis=1)[..., np.newaxis]
    estimates = np.stack([q[:, 0] + 0.1 * q[:, 2], 2 * (q[:, 1] + np.sqrt(0.1) * q[:, 3]), q[:, 2]], axis=1)
    mixture = references.sum(axis=1)
    four = 10 * np.log10(4)
    received = improvement(references, estimates[..., np.newaxis], mixture)
    assert received == pytest.approx(((20 + four) + (10 - four)) / 2, abs=1e-9)
    estimates[:, 0] = 0
    assert improvement(references, estimates[..., np.newaxis], mixture) == -np.inf


def test_improvement_is_no_number_where_the_mixture_is_the_source():
    solo = noise(1, 300, 2, 1)
    solo[:, 1] = 0
    assert np.isnan(improvement(solo, solo / 2, solo[:, 0]))
    assert np.isnan(improvement(0 * solo, solo, solo[:, 0]))


@pytest.mark.parametrize("samples", [100, 70, 1000])
def test_losses_are_those_of_consecutive_excerpts_the_last_with_silence_behind(samples):
    references, estimates = noise(2, 350, 2, 1), noise(3, 350, 2, 1)
    pad = -350 % samples
    squares = np.pad((references - estimates) ** 2, ((0, pad), (0, 0), (0, 0))).reshape(-1, samples * 2)
    received = excerpt_losses("mse", references, estimates, samples)
    assert received == pytest.approx(squares.mean(axis=1).tolist(), rel=1e-5)


# ---------------------------------------------------------------- clips


@pytest.fixture
def tested(make_prepared, tmp_path):
    """Five tracks with estimates, a call that ranks and keeps clips, and where the clips are."""
    lengths = {"a_vn_vc": 20_000, "b_fl_vc": 9_000, "c_vn_fl": 12_345, "d_vn_vn": 3_000, "e_fl_vn": 10_000}
    prepared = make_prepared(lengths, "test", channels=2, sample_rate_hz=RATE_HZ)
    truth = PreparedReferences(prepared, prepared.split("test"))
    for track in truth.tracks:
        write_stems(tmp_path / "estimates/test" / track.name, estimates_of(truth, track), SOURCES.names, RATE_HZ)

    def keep(ranking):
        by_track = {track: ranking[track.name[0]] for track in truth.tracks if track.name[0] in ranking}
        keep_clips(Output(tmp_path), truth, by_track, SOURCES, "sum", "test")
        return {clip["rank"]: clip for clip in json.loads((tmp_path / "listening/test/clips.json").read_text())}

    return truth, keep, tmp_path / "listening/test"


def estimates_of(truth, track):
    references = truth.read(track, SOURCES, "sum").references
    return (0.5 * references + 0.1 * noise(5, *references.shape)).astype(np.float32)


RANKINGS = {
    "five": (dict(a=1, b=5, c=2, d=4, e=3), dict(best="b", median="e", worst="a")),
    "one missed altogether": (dict(a=-np.inf, b=5, c=2), dict(best="b", median="c", worst="a")),
    "one that separates nothing": (dict(a=np.nan, b=5, c=2, d=1), dict(best="b", median="c", worst="d")),
    "one": (dict(c=2), dict(best="c")),
    "two": (dict(c=2, d=3), dict(best="d", worst="c")),
    "none": (dict(a=np.nan), {}),
}


@pytest.mark.parametrize("ranking", RANKINGS)
def test_the_best_the_median_and_the_worst_are_kept(tested, ranking):
    _, keep, out = tested
    ranks, expected = RANKINGS[ranking]
    clips = keep(ranks)
    assert {rank: clip["track"][0] for rank, clip in clips.items()} == expected
    assert {path.name for path in out.iterdir() if path.is_dir()} == set(expected)
    for clip in clips.values():
        told = ranks[clip["track"][0]]
        assert clip["si_sdri_db"] == (told if np.isfinite(told) else None)


def test_clips_are_excerpts_of_the_signals_with_all_that_plays(tested):
    truth, keep, out = tested
    clips = keep(dict(a=1, b=5, c=2, d=4, e=3))
    tracks = {track.name: track for track in truth.tracks}
    for rank, clip in clips.items():
        track = tracks[clip["track"]]
        mixture, references, _ = truth.read(track, SOURCES, "sum")
        estimates = estimates_of(truth, track)
        start = round(clip["start_seconds"] * RATE_HZ)
        excerpt = slice(start, start + round(clip["seconds"] * RATE_HZ))
        assert clip["seconds"] == min(8, track.samples / RATE_HZ)
        assert excerpt == Metrics.liveliest(references, 8 * RATE_HZ)
        playing = sorted(track.instruments)
        files = {f"{source}.{kind}.flac" for source in playing for kind in ("reference", "estimate")}
        assert {path.name for path in (out / rank).iterdir()} == files | {"mixture.flac"}
        expected = {"mixture": mixture}
        for source in playing:
            expected[f"{source}.reference"] = references[:, SOURCES.names.index(source)]
            expected[f"{source}.estimate"] = estimates[:, SOURCES.names.index(source)]
        for name, signal in expected.items():
            received, rate_hz = soundfile.read(out / rank / f"{name}.flac")
            assert rate_hz == RATE_HZ
            np.testing.assert_allclose(received, clip["gain"] * signal[excerpt], atol=1.01 / 32768)


def test_clips_of_another_test_are_replaced(tested):
    _, keep, out = tested
    keep(dict(a=1, b=5, c=2))
    keep(dict(d=1))
    assert {path.name for path in out.iterdir()} == {"best", "clips.json"}
