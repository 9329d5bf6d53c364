"""Differences between runs: p-values by enumeration, intervals by simulation, and which pairs count."""

from itertools import product

import Metrics
from tests.metrics_rows import rows_of

import numpy as np
import pandas as pd
import pytest
from scipy import stats


def run_of(name, scores):
    """Rows of a run's SDR: {(track, source): values}; beside them mixtures that are not trivial."""
    sdr = {(track, source, "estimate", "SDR"): values for (track, source), values in scores.items()}
    mixture = {(track, source, "mixture", "SI-SDR"): [0] for track, source in scores}
    return rows_of(sdr | mixture).assign(run=name)


# ---------------------------------------------------------------- the p-value


def p_by_enumeration(differences):
    """Of all the ways in which the signs could have fallen, the share whose rank sum is as far from the middle."""
    ranks = stats.rankdata(np.abs(differences))
    middle = ranks.sum() / 2
    observed = abs(ranks[differences > 0].sum() - middle)
    sums = [np.dot(signs, ranks) for signs in product([0, 1], repeat=len(ranks))]
    return np.mean([abs(each - middle) >= observed - 1e-9 for each in sums])


@pytest.mark.parametrize("seed", range(8))
def test_p_is_wilcoxons(seed):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=5 + seed)
    second = first + rng.normal(0.5, 1, 5 + seed)
    assert Metrics.paired_difference(first, second).p == pytest.approx(p_by_enumeration(second - first), abs=1e-12)


def test_chance_is_called_significant_as_often_as_it_claims():
    rng = np.random.default_rng(1)
    significant = [Metrics.paired_difference(*rng.normal(size=(2, 25))).p < 0.05 for _ in range(400)]
    assert stats.binomtest(sum(significant), 400, 0.05).pvalue > 1e-3


# ---------------------------------------------------------------- the interval


def test_the_interval_holds_the_middle_95_percent_of_the_means_of_all_resamples():
    difference = np.array([-1.3, 0.2, 0.4, 1.1, 2.9, 7.0])
    means = np.mean(list(product(difference, repeat=6)), axis=1)  # all of them, each as likely as the others
    paired = Metrics.paired_difference(np.zeros(6), difference)
    # Quantiles of 10,000 draws: their shares of all means are sure to 0.16 %.
    assert np.mean(means < paired.low) == pytest.approx(0.025, abs=0.006)
    assert np.mean(means > paired.high) == pytest.approx(0.025, abs=0.006)
    assert Metrics.paired_difference(np.zeros(6), difference) == paired


def test_the_interval_of_many_is_that_of_the_normal_distribution():
    rng = np.random.default_rng(4)
    difference = rng.normal(3, 2, 2000)
    paired = Metrics.paired_difference(np.zeros(2000), difference)
    error = difference.std() / np.sqrt(2000)
    expected = difference.mean() - 1.96 * error, difference.mean() + 1.96 * error
    assert (paired.low, paired.high) == pytest.approx(expected, abs=0.1 * error)


def test_19_of_20_intervals_hold_the_truth():
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        first = rng.normal(0, 5, 40)  # tracks differ by more than the runs do: pairing takes that out
        paired = Metrics.paired_difference(first, first + rng.normal(0.5, 1, 40))
        held += paired.low <= 0.5 <= paired.high
        assert paired.high - paired.low < 1
    assert 0.90 <= held / 200 <= 0.985


# ---------------------------------------------------------------- pairs


def test_every_number_of_a_small_comparison():
    paired = Metrics.paired_difference([1, 2, 3, 4], [2, 4, 6, 4.5])
    assert (paired.tracks, paired.mean, paired.median) == (4, 1.625, 1.5)
    assert paired.p == 2 / 16 and 0.5 <= paired.low < 1.625 < paired.high <= 3


def test_the_other_way_round_everything_has_the_other_sign():
    rng = np.random.default_rng(6)
    first, second = rng.normal(size=(2, 15))
    there, back = Metrics.paired_difference(first, second), Metrics.paired_difference(second, first)
    assert (back.tracks, back.p) == (there.tracks, there.p)
    assert (-back.mean, -back.high, -back.low, -back.median) == pytest.approx((there.mean, *there[2:5]), abs=1e-12)


@pytest.mark.parametrize("runs", [1, 2, 17])
def test_equal_runs_differ_by_nothing(runs):
    numbers = np.random.default_rng(7).normal(size=runs)
    paired = Metrics.paired_difference(numbers, numbers)
    assert (paired.mean, paired.median, paired.p) == (0, 0, 1)
    if runs > 1:
        assert (paired.low, paired.high) == (0, 0)


def test_a_difference_that_is_always_the_same_has_no_width():
    paired = Metrics.paired_difference([0.0, 1, 2, 3], [2.0, 3, 4, 5])
    assert (paired.mean, paired.low, paired.high, paired.p) == (2, 2, 2, 2 / 16)


def test_pairs_with_a_number_missing_are_left_out():
    first = [np.nan, 1, 2, np.inf, 3]
    second = [1, np.nan, 3, 4, 5]
    assert Metrics.paired_difference(first, second) == Metrics.paired_difference([2, 3], [3, 5])


def test_one_pair_has_no_interval_and_none_has_nothing():
    one = Metrics.paired_difference([1], [4])
    assert (one.tracks, one.mean, one.median, one.p) == (1, 3, 3, 1)
    assert np.isnan([one.low, one.high]).all()
    none = Metrics.paired_difference([np.nan], [4])
    assert none.tracks == 0 and np.isnan(none[1:]).all()


# ---------------------------------------------------------------- one number a track


def test_a_track_is_the_mean_over_its_sources_of_the_medians_over_frames():
    rows = rows_of({
        ("a", "vn", "estimate", "SDR"): [1, 2, 9],
        ("a", "vc", "estimate", "SDR"): [np.nan, 5, 7],
        ("a", "va", "estimate", "SDR"): [18],
        ("a", "fl", "estimate", "SDR"): [np.inf, np.inf],  # exact: no number to average
        ("b", "vn", "estimate", "SDR"): [100],  # trivial
        ("b", "vn", "mixture", "SI-SDR"): [60],
        ("b", "vc", "estimate", "SDR"): [-3],
        ("b", "vc", "mixture", "SI-SDR"): [59],
        ("c", "vn", "estimate", "SDR"): [np.nan],
        ("a", "vn", "mixture", "SDR"): [50],
        ("a", "vn", "estimate", "SI-SDR"): [70],
    }).assign(run="x")  # fmt: skip
    scores = Metrics.track_scores(rows, "SDR")
    assert scores.columns.tolist() == ["x"]
    assert scores["x"].dropna().to_dict() == {"a": (2 + 6 + 18) / 3, "b": -3}
    assert Metrics.track_scores(rows, "SI-SDR")["x"].to_dict() == {"a": 70}
    assert Metrics.track_scores(rows, "SDR", "mixture")["x"].to_dict() == {"a": 50}


def test_runs_stand_beside_each_other_and_a_track_that_one_lacks_is_nan():
    rows = pd.concat([run_of("x", {("a", "vn"): [1], ("b", "vn"): [2]}), run_of("y", {("b", "vn"): [3]})])
    scores = Metrics.track_scores(rows, "SDR")
    assert scores.loc["b"].to_dict() == {"x": 2, "y": 3}
    assert scores.loc["a", "x"] == 1 and np.isnan(scores.loc["a", "y"])


# ---------------------------------------------------------------- runs


def random_runs(seed, tracks, sources=("vn", "vc")):
    rng = np.random.default_rng(seed)
    pairs = [(f"t{track}", source) for track in range(tracks) for source in sources]
    return [
        run_of(run, {pair: rng.normal(better, 1, 3) for pair in pairs})
        for run, better in (("x", 0), ("y", 1), ("z", 0))
    ]


def test_runs_are_compared_with_the_first_and_track_by_track():
    rows = pd.concat(random_runs(8, 12))
    compared = Metrics.compare_runs(rows, ["SDR"])
    assert compared[["run", "against", "metric", "tracks"]].values.tolist() == [
        ["y", "x", "SDR", 12],
        ["z", "x", "SDR", 12],
    ]
    scores = Metrics.track_scores(rows, "SDR")
    for row in compared.itertuples():
        difference = scores[row.run] - scores["x"]
        assert row.mean == pytest.approx(difference.mean()) and row.median == pytest.approx(difference.median())
        assert row.low < row.mean < row.high
        assert row.p == pytest.approx(p_by_enumeration(difference.to_numpy()))


def test_the_order_of_the_rows_within_runs_does_not_matter():
    runs = random_runs(9, 6)
    shuffled = [rows.sample(frac=1, random_state=seed) for seed, rows in enumerate(runs)]
    ours, theirs = (Metrics.compare_runs(pd.concat(rows), ["SDR"]) for rows in (runs, shuffled))
    exact = ["run", "against", "metric", "tracks", "p"]
    pd.testing.assert_frame_equal(ours[exact], theirs[exact])
    np.testing.assert_allclose(ours[["mean", "median"]], theirs[["mean", "median"]], atol=1e-12)
    # Which resamples are drawn depends on the tracks' order.
    np.testing.assert_allclose(ours[["low", "high"]], theirs[["low", "high"]], atol=0.1)


def test_the_unit_is_the_track_more_sources_make_nothing_surer():
    rows = pd.concat(random_runs(10, 8, ("vn",)))
    doubled = pd.concat([rows, rows.assign(source="vc"), rows.assign(source="va"), rows.assign(source="db")])
    pd.testing.assert_frame_equal(Metrics.compare_runs(rows, ["SDR"]), Metrics.compare_runs(doubled, ["SDR"]))


def test_more_frames_make_nothing_surer():
    rows = pd.concat(random_runs(11, 8))
    longer = pd.concat([rows.assign(time=rows["time"] + 100 * again) for again in range(4)])
    pd.testing.assert_frame_equal(Metrics.compare_runs(rows, ["SDR"]), Metrics.compare_runs(longer, ["SDR"]))


def test_trivial_pairs_and_tracks_of_one_run_change_nothing():
    runs = random_runs(12, 6)
    expected = Metrics.compare_runs(pd.concat(runs[:2]), ["SDR"])
    solo = [
        rows_of({("solo", "vn", "estimate", "SDR"): [90.0 * number], ("solo", "vn", "mixture", "SI-SDR"): [99]})
        for number in range(2)
    ]
    more = [rows.assign(run=run) for rows, run in zip(solo, ("x", "y"), strict=True)]
    alone = run_of("y", {("nobody else's", "vn"): [77]})
    received = Metrics.compare_runs(pd.concat([*runs[:2], *more, alone]), ["SDR"])
    pd.testing.assert_frame_equal(received, expected)


def test_repeats_are_averaged_track_by_track():
    """Two repeats of y: what is compared with x is their mean, and nothing is surer for it."""
    x, y, z = random_runs(14, 9)
    rows = pd.concat([x.assign(repeat="x"), y.assign(repeat="y1"), z.assign(run="y", repeat="y2")])
    scores = Metrics.track_scores(rows, "SDR")
    alone = Metrics.track_scores(pd.concat([x, y, z]), "SDR")
    assert list(scores.columns) == ["x", "y"]
    np.testing.assert_allclose(scores["y"], (alone["y"] + alone["z"]) / 2, rtol=1e-12)
    [row] = Metrics.compare_runs(rows, ["SDR"]).itertuples()
    assert (row.run, row.tracks) == ("y", 9)
    assert row.mean == pytest.approx(np.mean((alone["y"] + alone["z"]) / 2 - alone["x"]))
    same = pd.concat([x, y.assign(repeat="y1"), y.assign(repeat="y2")]).fillna({"repeat": "x"})
    pd.testing.assert_frame_equal(Metrics.compare_runs(same, ["SDR"]), Metrics.compare_runs(pd.concat([x, y]), ["SDR"]))


def test_a_table_of_repeats_has_their_mean_and_deviation():
    x, y, z = random_runs(15, 7)
    rows = pd.concat([x.assign(repeat="x"), y.assign(repeat="y1"), z.assign(run="y", repeat="y2")])
    headings, cells = Metrics.run_table(rows)
    chosen = pd.concat([x, y, z]).query("method == 'estimate' and metric == 'SDR'")
    medians = chosen.groupby("run")["value"].median()
    of_run = dict(zip(headings, next(row for row in cells if row[0] == "y"), strict=True))
    both = [medians["y"], medians["z"]]
    assert of_run["SDR median"] == f"{np.mean(both):.2f} ± {abs(both[0] - both[1]) / np.sqrt(2):.2f}"
    assert of_run["tracks"] == "7"
    headings, cells = Metrics.source_table(rows)
    assert dict(zip(headings, cells[-1], strict=True)) == {
        "source": "all",
        "x": f"{medians['x']:.2f}",
        "y": of_run["SDR median"],
    }


def test_a_metric_that_a_run_lacks_is_not_compared():
    runs = random_runs(13, 4)
    sir = runs[0].assign(metric=runs[0]["metric"].replace("SDR", "SIR"))
    compared = Metrics.compare_runs(pd.concat([*runs[:2], sir]), ["SDR", "SIR"])
    assert compared["metric"].tolist() == ["SDR"]
    alone = Metrics.compare_runs(runs[0], ["SDR"])
    assert alone.empty and {"run", "against", "metric", "mean", "low", "high", "p"} <= set(alone.columns)


# ---------------------------------------------------------------- probes


def told(sdr, leakage_db):
    """Rows of two tracks with one source that plays and two that do not."""
    scores = {}
    for track, value in zip("ab", sdr, strict=True):
        scores[track, "vn", "estimate", "SDR"] = [value, value, value + 50]
        scores[track, "vn", "mixture", "SI-SDR"] = [1]
        for source in ("vc", "fl"):
            scores[track, source, "estimate", "leakage"] = [leakage_db]
    return rows_of(scores).assign(run="r")


@pytest.fixture
def changes():
    return Metrics.probe_changes({"": told([5, 7], -np.inf), "no_labels": told([2, 6], -20), "x": told([5, 7], -10)})


def test_probes_tell_the_change_of_sdr_and_of_what_leaks(changes):
    found = changes.set_index(["probe", "metric"])
    assert [*found.index] == [(p, m) for p in ("true labels", "no_labels", "x") for m in ("SDR", "leaked")]
    expected = {
        ("true labels", "SDR"): (6, 0),
        ("no_labels", "SDR"): (4, -2),
        ("x", "SDR"): (6, 0),
        ("true labels", "leaked"): (0, 0),
        ("no_labels", "leaked"): (2, 2),  # -20 dB are 1 % of the mixture's energy, of each of two sources
        ("x", "leaked"): (20, 20),
    }
    for key, numbers in expected.items():
        assert found.loc[key, ["value", "mean"]].tolist() == pytest.approx(numbers, abs=1e-9), key
        assert found.loc[key, "tracks"] == 2
    assert found.loc[("no_labels", "SDR"), ["low", "high"]].tolist() == [-3, -1]
    assert found.loc[("no_labels", "leaked"), ["low", "high"]].tolist() == pytest.approx([2, 2])


def test_tracks_are_paired_by_name_whatever_their_order():
    true, probed = told([5, 70], -20), told([4, 60], -20)
    changes = Metrics.probe_changes({"": true, "p": probed.iloc[::-1]}).set_index(["probe", "metric"])
    assert changes.loc[("p", "SDR"), ["mean", "low", "high"]].tolist() == [-5.5, -10, -1]


def test_the_table_of_probes(changes):
    headings, cells = Metrics.probe_table(changes)
    assert headings == ["given", "SDR", "change", "p", "leaked %", "change", "p", "tracks"]
    assert cells == [
        ["true labels", "6.00", "", "", "0.00", "", "", "2"],
        ["no labels", "4.00", "-2.00 (-3.00 to -1.00)", "0.5", "2.00", "+2.00 (+2.00 to +2.00)", "0.5", "2"],
        ["x", "6.00", "+0.00 (+0.00 to +0.00)", "1", "20.00", "+20.00 (+20.00 to +20.00)", "0.5", "2"],
    ]


def test_probes_of_tracks_in_which_everything_plays_leak_nothing_that_could_be_told():
    rows = told([5, 7], -20)
    rows = rows[rows["metric"] != "leakage"]
    changes = Metrics.probe_changes({"": rows, "p": rows}).set_index(["probe", "metric"])
    assert changes.loc[("p", "SDR"), "tracks"] == 2 and changes.loc[("p", "leaked"), "tracks"] == 0


def test_probes_of_solos_alone_leave_the_sdr_open():
    """A mixture that already is the source has no SDR that counts; what leaks can still be told."""
    rows = told([5, 7], -20)
    rows = rows.assign(value=rows["value"].mask(rows["method"] == "mixture", 99))
    changes = Metrics.probe_changes({"": rows, "p": rows}).set_index(["probe", "metric"])
    assert changes.loc[("p", "SDR"), "tracks"] == 0 and changes.loc[("p", "leaked"), "tracks"] == 2


def test_where_no_track_is_left_there_are_headings_alone():
    none = run_of("x", {("a", "vn"): [1]})[:0]
    for rows in (none, none.assign(repeat="")):
        assert Metrics.run_table(rows)[1] == [] and Metrics.source_table(rows) == (["source"], [])
        assert Metrics.compare_runs(rows, ["SDR", "SI-SDR"]).empty


def test_a_probe_of_one_track_has_no_interval_and_of_none_no_number():
    rows = rows_of({("a", "vn", "estimate", "SDR"): [1, 2, 6]})
    better = rows.assign(value=rows["value"] + 3)
    headings, cells = Metrics.probe_table(Metrics.probe_changes({"": rows, "all_labels": better}))
    assert cells == [
        ["true labels", "2.00", "", "", "-", "", "", "1, 0"],
        ["all labels", "5.00", "+3.00", "1", *"---", "1, 0"],
    ]
