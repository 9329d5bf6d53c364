"""The aggregations on published numbers, and museval's own store on the same files.

The numbers are those of the public score files of SiSEC 2018 (github.com/sigsep/sigsep-mus-2018; Stöter et al. 2018),
SDR in dB: the median of the tracks' medians, and median, MAD, mean and SD of all frames pooled. The files here are
made so that these numbers follow from a few equations.
"""

import json

import Metrics
from tests.metrics_rows import rows_of
from tests.museval_oracle import museval_modules

import numpy as np
import pandas as pd
import pytest

METRICS = ("SDR", "SIR", "SAR", "ISR")
SISEC_2018 = {
    ("STL1", "vocals"): (4.971, 4.46, 3.21, 0.65, 13.67),
    ("STL1", "accompaniment"): (11.106, 10.69, 3.15, 11.85, 7.03),
    ("STL2", "vocals"): (3.253, 2.99, 2.76, -2.10, 15.41),
}


@pytest.fixture(scope="module")
def museval():
    with museval_modules() as modules:
        yield modules


def tracks_with(of_medians, median, mad, mean, sd):
    """Frames of three tracks that have these statistics.

    Seven frames lie around the pooled median m: m, m +- e, m +- mad, m - p, m + q. With e < mad < p, q the pooled
    median is m and the MAD is mad. Mean and SD fix p and q: q - p = 7 (mean - m), and p^2 + q^2 is what the SD leaves.
    A track of the one frame m + e lies between one that has only higher frames and one whose median is lower.
    """
    e, frames, away = of_medians - median, 7, 7 * (mean - median)
    squares = frames * (sd**2 + (mean - median) ** 2) - 2 * mad**2 - 2 * e**2
    p = (-away + np.sqrt(2 * squares - away**2)) / 2
    q = p + away
    assert 0 < e < mad < min(p, q)
    tracks = {"one": [e], "high": [mad, q], "low": [-p, -mad, -e, 0]}
    return {track: median + np.array(deviations) for track, deviations in tracks.items()}


def write_museval(path, targets):
    """The json of a track: {target: SDR of each frame}; the other metrics are others."""
    frames = {
        name: [
            {"time": float(time), "duration": 1.0, "metrics": {"SDR": sdr, "SIR": sdr + 7, "SAR": -sdr, "ISR": np.nan}}
            for time, sdr in enumerate(values)
        ]
        for name, values in targets.items()
    }
    tree = {"targets": [{"name": name, "frames": found} for name, found in frames.items()], "museval_version": "0.2.0"}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))


@pytest.fixture
def sisec(tmp_path):
    """Folders METHOD/test/<track>.json; in some frames a source is silent, which museval writes as NaN."""
    for method in ("STL1", "STL2"):
        targets = {source: tracks_with(*numbers) for (m, source), numbers in SISEC_2018.items() if m == method}
        for track in ("one", "high", "low"):
            scores = {source: [np.nan, *tracks[track], np.nan] for source, tracks in targets.items()}
            write_museval(tmp_path / method / "test" / f"{track}.json", scores)
    return tmp_path


def summary_of(folder):
    rows = Metrics.read_scores(sorted(folder.glob("test/*.json")))
    return Metrics.summarise(rows).set_index(["source", "method", "metric", "aggregation"])


@pytest.mark.parametrize(("method", "source"), SISEC_2018, ids=str)
def test_published_numbers_come_back(sisec, method, source):
    of_medians, *pooled = SISEC_2018[method, source]
    summary = summary_of(sisec / method)
    frames = summary.loc[(source, "estimate", "SDR", "frames")]
    assert frames[["median", "mad", "mean", "sd"]].tolist() == pytest.approx(pooled, abs=1e-9)
    assert (frames["count"], frames["tracks"], frames["infinite"], frames["trivial"]) == (7, 3, 0, 0)
    medians = summary.loc[(source, "estimate", "SDR", "track medians")]
    assert medians["median"] == pytest.approx(of_medians, abs=1e-9) and medians["count"] == 3


@pytest.mark.parametrize(("method", "source"), SISEC_2018, ids=str)
def test_musevals_store_gives_the_same_of_the_same_files(museval, sisec, method, source):
    summary = summary_of(sisec / method)
    for statistic in ("median", "mean"):  # over tracks, of medians over frames
        store = museval.aggregate.EvalStore(frames_agg="median", tracks_agg=statistic)
        store.add_eval_dir(sisec / method)
        expected = store.agg_frames_tracks_scores().unstack()
        for metric in ("SDR", "SIR", "SAR"):
            ours = summary.loc[(source, "estimate", metric, "track medians"), statistic]
            assert ours == pytest.approx(expected.loc[source, metric], abs=1e-9)
    assert summary.loc[(source, "estimate", "ISR", "frames"), "count"] == 0


def test_all_sources_together_are_the_pool_of_their_values(sisec):
    values = [np.concatenate(list(tracks_with(*SISEC_2018["STL1", source]).values())) for _, source in
              [("STL1", "vocals"), ("STL1", "accompaniment")]]  # fmt: skip
    pool = np.concatenate(values)
    received = summary_of(sisec / "STL1").loc[("all", "estimate", "SDR", "frames")]
    expected = np.median(pool), np.median(np.abs(pool - np.median(pool))), pool.mean(), pool.std()
    assert received[["median", "mad", "mean", "sd"]].tolist() == pytest.approx(expected, abs=1e-9)


def test_one_number_a_track_is_averaged_over_tracks():
    """Mitsufuji et al. 2022: the score of a source is the mean over songs of the SDR of a whole song."""
    usdr = {"a": 3.0, "b": 4.5, "c": -1.5}
    rows = rows_of({(track, "vocals", "estimate", "uSDR"): [value] for track, value in usdr.items()})
    summary = Metrics.summarise(rows).set_index(["source", "aggregation"])
    assert [*summary.loc["vocals"].index] == ["tracks"]
    assert summary.loc[("vocals", "tracks"), ["mean", "median", "mad", "sd"]].tolist() == pytest.approx(
        [2, 3, 1.5, np.sqrt((1 + 6.25 + 12.25) / 3)]
    )


# ---------------------------------------------------------------- files that go there and come back


def random_tracks(seed):
    """Rows of tracks of several lengths, with all four metrics and silent frames."""
    rng = np.random.default_rng(seed)
    for number, track in enumerate(["Al James, Jr. - A, B & C", "a.b", "007", "e"]):
        scores = {}
        for source in ("drums", "lead vocals"):
            for metric in METRICS:
                values = rng.normal(5, 4, 5 + number)
                values[rng.random(5 + number) < 0.2] = np.nan
                scores[track, source, "estimate", metric] = values
                scores[track, source, "mixture", metric] = values - 10
            scores[track, source, "estimate", "SI-SDR"] = [1]
            scores[track, source, "mixture", "SI-SDR"] = [0]
        rows = rows_of(scores)
        yield rows[["run", "track", "source", "method", "metric", "time", "value"]]


def test_what_we_write_museval_aggregates_to_our_medians(museval, tmp_path):
    for rows in random_tracks(0):
        Metrics.write_track_scores(rows, tmp_path / "test" / "deeper")
    ours = Metrics.summarise(Metrics.read_scores(tmp_path.glob("test/deeper/*.csv")))
    ours = ours.set_index(["source", "method", "metric", "aggregation"])
    for statistic in ("median", "mean"):
        store = museval.aggregate.EvalStore(tracks_agg=statistic)
        store.add_eval_dir(tmp_path)
        theirs = store.agg_frames_tracks_scores()
        assert len(theirs) == 2 * len(METRICS)
        for (source, metric), number in theirs.items():
            received = ours.loc[(source, "estimate", metric, "track medians"), statistic]
            assert received == pytest.approx(number, abs=1e-5)


def test_what_museval_writes_we_read(museval, tmp_path):
    rng = np.random.default_rng(1)
    expected = {}
    for name in ("Artist - Title", "b.c"):
        track = museval.aggregate.TrackStore(name)
        for target in ("vocals", "drums"):
            values = {metric: rng.normal(size=6) for metric in METRICS}
            values["SIR"][2], values["SDR"][4] = np.inf, np.nan
            expected |= {(name, target, metric): values[metric] for metric in METRICS}
            track.add_target(target, values)
        (tmp_path / "method").mkdir(exist_ok=True)
        track.save(tmp_path / "method" / f"{name}.json")
    rows = Metrics.read_scores(sorted((tmp_path / "method").iterdir()))
    assert tuple(rows.columns) == ("run", "track", "source", "method", "metric", "time", "value")
    assert set(rows["run"]) == {"method"} and set(rows["method"]) == {"estimate"}
    found = {key: group.sort_values("time") for key, group in rows.groupby(["track", "source", "metric"])}
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key]["time"].tolist() == [0, 1, 2, 3, 4, 5]
        np.testing.assert_allclose(found[key]["value"], np.where(np.isinf(values), np.nan, values), atol=5.1e-6)


def test_csv_and_json_of_a_track_hold_the_same_estimates(tmp_path):
    for rows in random_tracks(2):
        Metrics.write_track_scores(rows, tmp_path)
    tables = [Metrics.read_scores(sorted(tmp_path.glob(f"*.{ending}"))) for ending in ("csv", "json")]
    keys = ["track", "source", "metric", "time"]
    csv, of_json = (
        table[(table["method"] == "estimate") & table["metric"].isin(METRICS)].set_index(keys)["value"].sort_index()
        for table in tables
    )
    pd.testing.assert_series_equal(csv, of_json, atol=5.1e-6, rtol=0)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"targets": [{"name": "a"}]}', '{"targets": [{"name": "a", "frames": [{"time": 0}]}]}',
             '{"targets": [{"name": "a", "frames": [{"time": 0, "metrics": {"SDR": "loud"}}]}]}'],
)  # fmt: skip
def test_a_json_of_something_else_is_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json: expected the scores of a track in museval's form"):
        Metrics.read_scores([tmp_path / "x.json"])


def test_null_is_no_number(tmp_path):
    write_museval(tmp_path / "m" / "t.json", {"vocals": [1.0, 2.0]})
    path = tmp_path / "m" / "t.json"
    path.write_text(path.read_text().replace("NaN", "null"))
    rows = Metrics.read_scores([path])
    assert rows[rows["metric"] == "ISR"]["value"].isna().all() and rows[rows["metric"] == "SDR"]["value"].sum() == 3
