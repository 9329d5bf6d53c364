"""museval 0.4.1 as the oracle: framewise SDR and its masks, and the json that its stores read."""

import json

import Metrics
from tests.museval_oracle import RATE, museval_modules, noise, notes

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def museval():
    with museval_modules() as modules:
        yield modules


def museval_sdr(museval, references, estimates, window=RATE, hop=RATE, filters_len=64):
    """Shorter filters than museval's usual 512 taps save minutes; the SDR is free of them."""
    by_source = [np.moveaxis(signals, 1, 0) for signals in (references, estimates)]
    return museval.metrics.bss_eval(*by_source, window, hop, compute_permutation=False, filters_len=filters_len)[0]


def assert_same(ours, theirs):
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("signals", [noise, notes])
@pytest.mark.parametrize(
    ("seconds", "sources", "channels"),
    [(5.5, 3, 1), (3.25, 2, 2), (0.4, 2, 1), (1.0, 2, 1), (1.0 + 1 / RATE, 2, 1), (2.0, 2, 2), (2.9, 1, 1)],
    ids=["mono", "stereo", "shorter than a frame", "one frame", "a frame and a sample", "two frames", "one source"],
)
def test_sdr_is_musevals(museval, signals, seconds, sources, channels):
    references, estimates = signals(1, seconds, sources, channels)
    theirs = museval_sdr(museval, references, estimates)
    assert_same(Metrics.framewise_sdr(references, estimates, RATE), theirs)
    assert_same(Metrics.framewise_sdr(references, estimates, RATE, mask="strict"), theirs)


@pytest.mark.parametrize("signals", [noise, notes])
def test_sdr_is_musevals_with_its_own_filters(museval, signals):
    references, estimates = signals(5, 4.0, 2, 1)
    theirs = museval_sdr(museval, references, estimates, filters_len=512)
    assert_same(Metrics.framewise_sdr(references, estimates, RATE), theirs)


@pytest.mark.parametrize(("window_seconds", "hop_seconds"), [(1.0, 0.25), (0.5, 0.7), (2.0, 1.5), (0.7002, 0.3002)])
def test_sdr_is_musevals_at_other_frames(museval, window_seconds, hop_seconds):
    references, estimates = noise(2, 4.3, 2, 1)
    theirs = museval_sdr(museval, references, estimates, int(window_seconds * RATE), int(hop_seconds * RATE))
    assert_same(Metrics.framewise_sdr(references, estimates, RATE, window_seconds, hop_seconds), theirs)


@pytest.fixture
def gappy():
    """Five frames: in 1 a reference is silent, in 3 an estimate, in 4 a stereo reference only to who adds channels."""
    references, estimates = noise(3, 5.2, 3, 2)
    references[RATE : 2 * RATE, 0] = 0
    estimates[3 * RATE : 4 * RATE, 1] = 0
    references[4 * RATE : 5 * RATE, 2, 1] = -references[4 * RATE : 5 * RATE, 2, 0]
    return references, estimates


def test_the_strict_mask_is_musevals(museval, gappy):
    references, estimates = gappy
    theirs = museval_sdr(museval, references, estimates)
    assert np.isnan(theirs).all(axis=0).tolist() == [False, True, False, True, True]
    assert_same(Metrics.framewise_sdr(references, estimates, RATE, mask="strict"), theirs)


def test_the_mask_per_source_keeps_what_museval_counts_and_more(museval, gappy):
    references, estimates = gappy
    ours, theirs = Metrics.framewise_sdr(references, estimates, RATE), museval_sdr(museval, references, estimates)
    counted = ~np.isnan(theirs)
    np.testing.assert_allclose(ours[counted], theirs[counted], rtol=0, atol=1e-9)
    assert np.argwhere(np.isnan(ours)).tolist() == [[0, 1]]
    assert ours[1, 3] == 0


@pytest.mark.parametrize("mask", ["strict", "per_source"])
def test_sources_silent_throughout_are_left_out(museval, mask):
    references, estimates = noise(4, 3.0, 5, 1)
    references[:, [0, 3]] = 0
    estimates[:, 3] = 0
    ours = Metrics.framewise_sdr(references, estimates, RATE, mask=mask)
    playing = [1, 2, 4]
    assert_same(ours[playing], museval_sdr(museval, references[:, playing], estimates[:, playing]))
    assert np.isnan(ours[[0, 3]]).all()


def test_museval_loads_our_json_and_agrees_on_the_medians(museval, tmp_path, gappy):
    stores = museval.aggregate.EvalStore(), museval.aggregate.EvalStore()
    ours = []
    for number in range(3):
        references, estimates = gappy[0], gappy[1] * (1 - 0.1 * number)
        names = ["drums", "bass", "vocals"]
        rows = Metrics.score_track(f"track {number}", references, estimates, references.sum(1), names, RATE)
        Metrics.write_track_scores(rows, tmp_path / "test")
        ours.append(rows)
        track = museval.aggregate.TrackStore(f"track {number}")
        for name, sdr in zip(names, Metrics.framewise_sdr(references, estimates, RATE), strict=True):
            track.add_target(name, {"SDR": sdr} | dict.fromkeys(("SIR", "SAR", "ISR"), np.full(len(sdr), np.nan)))
        stores[0].add_track(track)
        track.scores = json.loads((tmp_path / "test" / f"track {number}.json").read_text())
        track.validate()
    stores[1].add_eval_dir(tmp_path)
    keys = ["track", "target", "metric", "time"]
    theirs, read = (store.df.sort_values(keys).reset_index(drop=True)[[*keys, "score"]] for store in stores)
    numbers = {"time": float, "score": float}
    pd.testing.assert_frame_equal(theirs.astype(numbers), read.astype(numbers), check_exact=True)

    summary = Metrics.summarise(pd.concat(ours)).set_index(["source", "method", "metric", "aggregation"])
    for target in ("drums", "bass", "vocals"):
        median = stores[1].agg_frames_tracks_scores().unstack()["SDR"][target]
        assert summary.loc[(target, "estimate", "SDR", "track medians"), "median"] == pytest.approx(median, abs=1e-5)
