"""Rows of a track: what is in them, what is not, and the files that keep them."""

import json
import math

import Metrics

import numpy as np
import pandas as pd
import pytest

RATE = 1000
SOURCES = ("cl", "fl", "vn")


def tone(hz, seconds=3):
    return np.tile(np.sin(2 * np.pi * hz * np.arange(RATE) / RATE), seconds)[:, np.newaxis]


@pytest.fixture
def track():
    """Clarinet and a violin twice as loud that rests in frame 1, no flute; the estimates err by a tenth of a flute."""
    violin = 2 * tone(90)
    violin[RATE : 2 * RATE] = 0
    references = np.stack([tone(50), 0 * tone(50), violin], axis=1)
    estimates = references + 0.1 * tone(70)[:, np.newaxis]
    return references, estimates, references.sum(axis=1)


def score(name, track, sources=SOURCES, **settings):
    references, estimates, mixture = track
    return Metrics.score_track(name, references, estimates, mixture, sources, RATE, **settings)


@pytest.fixture
def rows(track):
    return score("007", track)


def values(rows, source, method, metric):
    chosen = (rows["source"] == source) & (rows["method"] == method) & (rows["metric"] == metric)
    return rows[chosen]["value"].tolist()


def test_every_number_of_a_track(rows):
    assert tuple(rows.columns) == ("run", "track", "source", "method", "metric", "time", "value")
    assert set(rows["track"]) == {"007"}
    quiet, twice = -20 * np.log10(2), 20 * np.log10(2)
    third = 10 * np.log10(2 / 3)
    expected = {
        ("cl", "estimate", "SDR"): [20, 20, 20],
        ("cl", "estimate", "uSDR"): [20],
        ("cl", "estimate", "SI-SDR"): [20],
        ("cl", "mixture", "SDR"): [quiet, np.inf, quiet],
        ("cl", "mixture", "uSDR"): [10 * np.log10(3 / 8)],
        ("cl", "mixture", "SI-SDR"): [10 * np.log10(3 / 8)],
        ("cl", "estimate", "SI-SDRi"): [20 - 10 * np.log10(3 / 8)],
        ("cl", "silence", "SDR"): [0, 0, 0],
        ("cl", "silence", "uSDR"): [0],
        ("vn", "estimate", "SDR"): [20 + twice, np.nan, 20 + twice],
        ("vn", "estimate", "uSDR"): [20 + twice + third],
        ("vn", "estimate", "SI-SDR"): [20 + twice + third],
        ("vn", "mixture", "SDR"): [twice, np.nan, twice],
        ("vn", "mixture", "uSDR"): [10 * np.log10(8 / 3)],
        ("vn", "mixture", "SI-SDR"): [10 * np.log10(8 / 3)],
        ("vn", "estimate", "SI-SDRi"): [20 + twice + third - 10 * np.log10(8 / 3)],
        ("vn", "silence", "SDR"): [0, np.nan, 0],
        ("vn", "silence", "uSDR"): [0],
        ("fl", "estimate", "leakage"): [10 * np.log10(0.01 * 3 / 11)],
        ("fl", "estimate", "PES"): [10 * np.log10(5)] * 3,
        ("vn", "estimate", "PES"): [np.nan, 10 * np.log10(5), np.nan],
    }
    found = {key: group["value"].tolist() for key, group in rows.groupby(["source", "method", "metric"])}
    assert found.keys() == expected.keys()
    for key, numbers in expected.items():
        np.testing.assert_allclose(found[key], numbers, atol=1e-6, err_msg=str(key))


def test_frames_have_a_time_and_whole_tracks_have_none(rows):
    framewise = rows["metric"].isin(["SDR", "PES"])
    assert set(rows[framewise]["time"]) == {0.0, 1.0, 2.0}
    assert rows[~framewise]["time"].isna().all()


@pytest.mark.parametrize("metrics", ["cheap", "all"])
def test_without_a_mixture_everything_else_is_the_same(track, metrics):
    references, estimates, mixture = track
    known, unknown = (score("007", (references, estimates, heard), metrics=metrics) for heard in (mixture, None))
    told = (known["method"] != "mixture") & ~known["metric"].isin(["SI-SDRi", "leakage"])
    pd.testing.assert_frame_equal(unknown, known[told].reset_index(drop=True))
    summary = Metrics.summarise(unknown)
    assert summary["trivial"].max() == 0
    assert "The mixture is not known" in Metrics.table(summary)
    assert "The mixture is not known" not in Metrics.table(Metrics.summarise(known))


def test_one_source_without_a_mixture_has_its_scores_in_the_table():
    reference = tone(50)[:, np.newaxis]
    rows = Metrics.score_track("a", reference, reference + 0.1 * tone(70)[:, np.newaxis], None, ["vn"], RATE)
    line = Metrics.table(Metrics.summarise(rows)).splitlines()[3]
    assert line.split() == ["vn", "20.00", "-", "0.00", "20.00", "-", "-", "20.00", "-", "1", "3"]


def test_where_all_is_silent_there_is_still_a_table(track):
    silence = [0 * each for each in track]
    for mixture in (silence[2], None):
        rows = Metrics.score_track("a", silence[0], silence[1], mixture, SOURCES, RATE)
        assert "PES" in Metrics.table(Metrics.summarise(rows))


def test_a_track_without_absent_sources_and_one_without_any_other(track):
    references, estimates, mixture = track
    playing = [0, 2]
    rows = Metrics.score_track("a", references[:, playing], estimates[:, playing], mixture, ["cl", "vn"], RATE)
    assert "leakage" not in set(rows["metric"])
    rows = Metrics.score_track("a", 0 * references, estimates, mixture, SOURCES, RATE)
    assert set(rows["metric"]) == {"leakage", "PES"} and rows["source"].tolist() == [*SOURCES, *np.repeat(SOURCES, 3)]


@pytest.fixture
def noisy():
    """A clarinet and a violin of noise, no flute, and what a separator might give."""
    rng = np.random.default_rng(0)
    references = rng.standard_normal((3000, 3, 1))
    references[:, 1] = 0
    estimates = 0.8 * references + 0.3 * references[:, ::-1] + 0.1 * rng.standard_normal(references.shape)
    return references, estimates, references.sum(axis=1)


def test_all_metrics_are_the_cheap_ones_and_those_of_bss_eval(noisy):
    references, estimates, mixture = noisy
    cheap, rows = score("a", noisy), score("a", noisy, metrics="all")
    costly = rows["metric"].isin(["ISR", "SIR", "SAR", "LSD"])
    pd.testing.assert_frame_equal(rows[~costly].reset_index(drop=True), cheap)
    more = rows[costly]
    assert set(more["metric"]) == {"ISR", "SIR", "SAR", "LSD"} and set(more["source"]) == {"cl", "vn"}
    sounding = [0, 2]
    for method, given in (("estimate", estimates), ("mixture", np.repeat(mixture[:, np.newaxis], 3, axis=1))):
        pair = references[:, sounding], given[:, sounding]
        scores = Metrics.bss_eval(*pair, RATE)
        # The mixture's SAR is rounding alone: it holds nothing but the sources.
        for metric in ("ISR", "SIR", "SAR") if method == "estimate" else ("ISR", "SIR"):
            for source, expected in zip(("cl", "vn"), getattr(scores, metric.lower()), strict=True):
                assert values(rows, source, method, metric) == pytest.approx(expected.tolist(), abs=1e-6)
        for source, expected in zip(("cl", "vn"), Metrics.log_spectral_distance_db(*pair), strict=True):
            assert values(rows, source, method, "LSD") == pytest.approx([expected])
    assert set(more[more["metric"] == "LSD"]["time"].isna()) == {True}
    assert set(more[more["metric"] != "LSD"]["time"]) == {0.0, 1.0, 2.0}


def test_musevals_form_holds_what_bss_eval_found(noisy):
    rows = score("a", noisy, metrics="all")
    targets = Metrics.museval_json(rows, "a")["targets"]
    assert [target["name"] for target in targets] == ["cl", "vn"]
    for target in targets:
        assert [frame["time"] for frame in target["frames"]] == [0, 1, 2]
        for metric in ("SDR", "ISR", "SIR", "SAR"):
            found = [frame["metrics"][metric] for frame in target["frames"]]
            assert found == [round(value, 5) for value in values(rows, target["name"], "estimate", metric)]


def test_tracks_on_which_nothing_sounds_have_no_filters(noisy):
    references, estimates, mixture = noisy
    rows = score("a", (0 * references, estimates, mixture), metrics="all")
    assert set(rows["metric"]) == {"leakage", "PES"}


def test_a_warning_names_the_track(noisy):
    stereo = [np.repeat(signals, 2, axis=-1) for signals in noisy]
    with pytest.warns(UserWarning, match="^track 007: references: they nearly depend"):
        score("007", stereo, metrics="all")


def test_mistakes_of_the_choice_and_of_short_tracks_are_told(noisy):
    with pytest.raises(ValueError, match="^track a: metrics: expected one of cheap, all; received 'some'$"):
        score("a", noisy, metrics="some")
    with pytest.raises(ValueError, match="^track a: references: expected at least 513 samples to find filters"):
        score("a", [signals[:500] for signals in noisy], metrics="all")


def test_mistakes_are_told_with_the_tracks_name(track):
    references, estimates, mixture = track
    for signals, sources, message in (
        ((references, estimates[:-1], mixture), SOURCES, "track 007: estimates: expected 3000 samples as in the "
         "references; received 2999"),
        ((references, estimates, mixture[:5]), SOURCES, "track 007: mixture: expected the shape (samples, channels) "
         "(3000, 1) of the sources; received (5, 1)"),
        (track, SOURCES[:2], "track 007: sources: expected 3 different names; received cl, "
         "fl"),
        (track, ("vn", "cl", "vn"), "track 007: sources: expected 3 different names; "
         "received vn, cl, vn"),
    ):  # fmt: skip
        with pytest.raises(ValueError) as caught:
            score("007", signals, sources)
        assert str(caught.value) == message


def test_musevals_form(rows):
    tree = Metrics.museval_json(rows, "007")
    assert [target["name"] for target in tree["targets"]] == ["cl", "vn"]
    frames = tree["targets"][1]["frames"]
    assert [(frame["time"], frame["duration"]) for frame in frames] == [(0, 1), (1, 1), (2, 1)]
    assert [frame["metrics"]["SDR"] for frame in frames] == pytest.approx([26.0206, math.nan, 26.0206], nan_ok=True)
    assert all(math.isnan(frame["metrics"][name]) for frame in frames for name in ("ISR", "SIR", "SAR"))


def test_musevals_form_has_five_decimals_and_no_infinity():
    sdr = [1.2345678, -0.000004, math.inf, -math.inf, math.nan]
    rows = pd.DataFrame({"track": "t", "source": "vn", "method": "estimate", "metric": "SDR", "time": range(5)})
    frames = Metrics.museval_json(rows.assign(value=sdr), "t")["targets"][0]["frames"]
    assert str([frame["metrics"]["SDR"] for frame in frames]) == "[1.23457, -0.0, nan, nan, nan]"


def test_a_track_that_was_not_scored_is_named(rows):
    with pytest.raises(ValueError, match="track 'b': not among the scores; they hold 007"):
        Metrics.museval_json(rows, "b")


@pytest.mark.parametrize("name", ["007", "NA", "nan", "a, b", 'say "hé"', "01_Jupiter_vn_vc", "1e3"])
def test_rows_come_back_from_the_csv_exactly(track, tmp_path, name):
    sources = ("NA", "1", "null")
    rows = score(name, track, sources)
    assert np.isinf(rows["value"]).any() and rows["value"].isna().any()
    Metrics.write_track_scores(rows, tmp_path / "new" / "folder")
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [f"{name}.csv", f"{name}.json"]
    back = Metrics.read_scores([tmp_path / "new" / "folder" / f"{name}.csv"])
    pd.testing.assert_frame_equal(back, rows, check_exact=True)


def test_several_files_are_read_as_one(track, tmp_path):
    tables = [score(name, track) for name in ("a", "b")]
    for table in tables:
        Metrics.write_track_scores(table, tmp_path)
    back = Metrics.read_scores(sorted(tmp_path.glob("*.csv")))
    pd.testing.assert_frame_equal(back, pd.concat(tables, ignore_index=True), check_exact=True)


def test_rows_that_are_not_one_tracks_are_refused(rows, tmp_path):
    for wrong, message in (
        (pd.concat([rows, rows.assign(track="b")]), "rows: expected those of one track; received those of 2"),
        (rows[:0], "rows: expected those of one track; received those of 0"),
        (rows.assign(track="a/b"), "must be a plain name: a track"),
        (rows.assign(track=""), "must be a plain name: a track"),
    ):
        with pytest.raises(ValueError) as caught:
            Metrics.write_track_scores(wrong, tmp_path)
        assert str(caught.value).startswith(message)
    assert not list(tmp_path.iterdir())


def test_files_that_hold_no_scores_are_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("track,sdr\na,1\n")
    with pytest.raises(ValueError, match=r"x\.csv: expected the columns run, track, source, .*; received track, sdr"):
        Metrics.read_scores([path])
    path.write_text("run,track,source,method,metric,time,value\n,a,vn,estimate,SDR,0,loud\n")
    with pytest.raises(ValueError, match=r"x\.csv: .*'loud'"):
        Metrics.read_scores([path])
    path.write_text("")
    with pytest.raises(ValueError, match=r"x\.csv: No columns"):
        Metrics.read_scores([path])
    with pytest.raises(ValueError, match="expected at least one csv or json file"):
        Metrics.read_scores([])
    with pytest.raises(FileNotFoundError):
        Metrics.read_scores([tmp_path / "none.csv"])


def test_json_on_disk_is_musevals_form(rows, tmp_path):
    Metrics.write_track_scores(rows, tmp_path)
    tree = json.loads((tmp_path / "007.json").read_text())
    assert str(tree) == str(Metrics.museval_json(rows, "007"))
