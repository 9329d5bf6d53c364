"""Aggregations on numbers small enough to check by hand, and the table made of them."""

import Metrics
from tests.metrics_rows import rows_of

import numpy as np
import pandas as pd
import pytest

# Golden: track b has one frame that counts; the violin of track c is the mixture itself.
SCORES = {
    ("a", "vn", "estimate", "SDR"): [1, 2, 3, 10],
    ("b", "vn", "estimate", "SDR"): [np.nan, -4],
    ("c", "vn", "estimate", "SDR"): [90, 90],
    ("a", "cl", "estimate", "SDR"): [0, 5],
    ("a", "vn", "mixture", "SDR"): [-1, -2, np.inf, -3],
    ("b", "vn", "mixture", "SDR"): [np.nan, -6],
    ("c", "vn", "mixture", "SDR"): [np.inf, np.inf],
    ("a", "cl", "mixture", "SDR"): [1, 2],
    ("a", "vn", "estimate", "SI-SDR"): [4],
    ("b", "vn", "estimate", "SI-SDR"): [-np.inf],
    ("c", "vn", "estimate", "SI-SDR"): [80],
    ("a", "cl", "estimate", "SI-SDR"): [6],
    ("a", "vn", "mixture", "SI-SDR"): [-2],
    ("b", "vn", "mixture", "SI-SDR"): [59.9],
    ("c", "vn", "mixture", "SI-SDR"): [60],
    ("a", "cl", "mixture", "SI-SDR"): [2],
    ("c", "cl", "estimate", "leakage"): [-35],
    ("b", "cl", "estimate", "leakage"): [-np.inf],
}
STATISTICS = ["median", "mad", "mean", "sd", "count", "infinite", "tracks", "trivial"]


@pytest.fixture
def summary():
    return Metrics.summarise(rows_of(SCORES))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        # -4 1 2 3 10: deviations from 2 are 6 1 0 1 8
        (("vn", "estimate", "SDR", "frames"), [2, 1, 2.4, np.sqrt(20.24), 5, 0, 2, 1]),
        # the tracks' medians are 2.5 and -4
        (("vn", "estimate", "SDR", "track medians"), [-0.75, 3.25, -0.75, 3.25, 2, 0, 2, 1]),
        (("cl", "estimate", "SDR", "frames"), [2.5, 2.5, 2.5, 2.5, 2, 0, 1, 0]),
        (("cl", "estimate", "SDR", "track medians"), [2.5, 0, 2.5, 0, 1, 0, 1, 0]),
        # -4 0 1 2 3 5 10: deviations from 2 are 6 2 1 0 1 3 8
        (("all", "estimate", "SDR", "frames"), [2, 2, 17 / 7, np.sqrt(155 / 7 - (17 / 7) ** 2), 7, 0, 2, 1]),
        # one median a track and source: 2.5, -4 and 2.5
        (("all", "estimate", "SDR", "track medians"), [2.5, 0, 1 / 3, np.std([2.5, -4, 2.5]), 3, 0, 2, 1]),
        # -6 -3 -2 -1 inf: the infinite one counts in the median alone
        (("vn", "mixture", "SDR", "frames"), [-2, 1, -3, np.std([6, 3, 2, 1]), 5, 1, 2, 1]),
        (("vn", "estimate", "SI-SDR", "tracks"), [-np.inf, np.nan, 4, 0, 2, 1, 2, 1]),
        (("all", "estimate", "SI-SDR", "tracks"), [4, 2, 5, 1, 3, 1, 2, 1]),
        (("vn", "mixture", "SI-SDR", "tracks"), [28.95, 30.95, 28.95, 30.95, 2, 0, 2, 1]),
        (("cl", "estimate", "leakage", "tracks"), [-np.inf, np.nan, -35, 0, 2, 1, 2, 0]),
    ],
    ids=str,
)
def test_golden_aggregations(summary, key, expected):
    row = summary.set_index(["source", "method", "metric", "aggregation"]).loc[key, STATISTICS]
    np.testing.assert_allclose(row.to_numpy(dtype=float), expected, atol=1e-12)


def test_there_is_a_row_for_every_source_method_and_metric_and_all_comes_last(summary):
    assert summary["source"].unique().tolist() == ["cl", "vn", "all"]
    keys = summary[["source", "method", "metric", "aggregation"]].apply(tuple, axis=1)
    assert keys.is_unique and len(keys) == 20
    assert summary.columns.tolist() == ["source", "method", "metric", "aggregation", *STATISTICS, "definition"]


def test_the_order_of_the_rows_does_not_matter(summary):
    shuffled = rows_of(dict(reversed(SCORES.items()))).sample(frac=1, random_state=0)
    keys = ["source", "method", "metric", "aggregation"]
    of_shuffled = Metrics.summarise(shuffled).set_index(keys).sort_index()
    pd.testing.assert_frame_equal(of_shuffled, summary.set_index(keys).sort_index())


def test_a_source_that_is_trivial_everywhere_is_named_and_counts_nowhere():
    rows = rows_of({key: numbers for key, numbers in SCORES.items() if key[0] == "c" or key[1] == "cl"})
    summary = Metrics.summarise(rows).set_index(["source", "method", "metric", "aggregation"])
    row = summary.loc[("vn", "estimate", "SDR", "frames"), :]
    assert np.isnan(row["median"]) and (row["count"], row["tracks"], row["trivial"]) == (0, 0, 1)


def test_a_mixture_that_is_the_scaled_source_is_trivial_and_one_that_is_not_counts():
    rng = np.random.default_rng(0)
    references = rng.standard_normal((3000, 1, 1))
    for noise, trivial in ((0, 1), (1e-4, 1), (1e-2, 0)):
        mixture = 0.7 * references[:, 0] + noise * rng.standard_normal((3000, 1))
        rows = Metrics.score_track("a", references, 0.5 * references, mixture, ["vn"], 1000)
        assert Metrics.summarise(rows)["trivial"].max() == trivial


TABLE = """\
                --------- SDR --------- ---- SI-SDR ---
source            model mixture silence   model mixture SI-SDRi    uSDR leakage  tracks  frames
-----------------------------------------------------------------------------------------------
cl                 2.50    1.50       -    6.00    2.00       -       -    -inf       1       2
vn                 2.00   -2.00       -    -inf   28.95       -       -       -       2       5
-----------------------------------------------------------------------------------------------
all                2.00   -1.00       -    4.00    2.00       -       -    -inf       2       7
"""
# vn: tracks a and b have the medians 2.5 and -4; the frames are -4 1 2 3 10
AGGREGATES = """\
                 track medians  ------------ frames ----------- ----- uSDR ----
source           median    mean  median     MAD    mean      SD  median    mean
-------------------------------------------------------------------------------
cl                 2.50    2.50    2.50    2.50    2.50    2.50       -       -
vn                -0.75   -0.75    2.00    1.00    2.40    4.50       -       -
-------------------------------------------------------------------------------
all                2.50    0.33    2.00    2.00    2.43    4.03       -       -
"""
NOTES = """\
Medians in dB: SDR over all frames of 1 s, the other metrics over tracks.
Leakage: energy emitted for absent sources, relative to the mixture.
Frames: all frames of all tracks pooled (median, MAD, mean, SD: the table of Stoller et al. 2018,
Wave-U-Net).
Track medians: the median over a track's frames, then over tracks (median: SiSEC 2018, museval;
mean: Demucs).
Tracks: one number a track (mean of uSDR: the Music Demixing Challenge).
Left out as trivial: 1 pair of track and source whose mixture is that source alone."""
TEXT = f"{TABLE}\n{AGGREGATES}\n{NOTES}"


def test_the_table(summary):
    assert Metrics.table(summary) == TEXT


def test_headings_and_cells_say_the_same(summary):
    tables = Metrics.summary_tables(summary)
    for (headings, cells), text, columns in zip(tables, (TABLE, AGGREGATES), (11, 9), strict=True):
        assert {len(headings), *map(len, cells)} == {columns}
        assert cells[0] == text.splitlines()[3].split()
        assert [row[0] for row in cells] == ["cl", "vn", "all"]
    assert " ".join(Metrics.summary_notes(summary)) == " ".join(NOTES.splitlines())


def test_more_metrics_have_a_table_of_their_own_with_the_columns_that_are_there():
    more = {
        ("a", "cl", "estimate", "ISR"): [0, 5],
        ("b", "vn", "estimate", "SIR"): [np.nan, -4],
        ("b", "vn", "mixture", "SIR"): [0, 2],
        ("a", "vn", "estimate", "LSD"): [12],
        ("c", "vn", "estimate", "LSD"): [500],  # trivial, like everything of this track
        ("a", "vn", "estimate", "PES"): [np.nan, -61],
        ("a", "vn", "estimate", "SAR"): [np.nan, np.nan],
    }
    summary = Metrics.summarise(rows_of(SCORES | more))
    text = Metrics.table(summary)
    first, aggregates, second, notes = text.split("\n\n")
    assert (first + "\n", aggregates + "\n") == (TABLE, AGGREGATES)
    assert second.splitlines()[1].split() == ["source", "model", "model", "mixture", "model", "PES"]
    assert [line.split()[1:] for line in second.splitlines()[3:5]] == [
        ["2.50", "-", "-", "-", "-"],
        ["-", "-4.00", "1.00", "12.00", "-61.00"],
    ]
    assert ["ISR" in notes, "LSD:" in notes, "PES:" in notes] == [True] * 3
    headings, cells = Metrics.summary_tables(summary)[2]
    assert headings == ["source", "ISR model", "SIR model", "SIR mixture", "LSD model", "PES"]
    assert cells[0] == ["cl", "2.50", "-", "-", "-", "-"]
    frames = summary.set_index(["source", "method", "metric", "aggregation"])
    assert frames.loc[("cl", "estimate", "ISR", "track medians"), "median"] == 2.5
    assert ("vn", "estimate", "LSD", "frames") not in frames.index


def test_oracles_stand_beside_the_model_and_the_mixture():
    scores = {
        ("t", "vn", method, metric): [place + 10 * (metric == "SDR")]
        for metric in ("SDR", "SI-SDR")
        for place, method in enumerate(("mixture", "estimate", "IBM", "MWF"))
    }
    text = Metrics.table(Metrics.summarise(rows_of(scores)))
    _, _, bounds, notes = text.split("\n\n")
    assert bounds.splitlines()[1].split() == ["source", *["mixture", "model", "IBM", "MWF"] * 2]
    assert bounds.splitlines()[3].split() == ["vn", *[f"{n}.00" for n in (10, 11, 12, 13, 0, 1, 2, 3)]]
    assert "IBM, IRM, MWF:" in notes


def test_all_tables_fit_100_columns():
    metrics = ("SDR", "ISR", "SIR", "SAR", "LSD", "PES")
    methods = ("estimate", "mixture", *Metrics.ORACLES)
    rows = rows_of({("t", "vn", method, m): [-123.4] for method in methods for m in metrics})
    text = Metrics.table(Metrics.summarise(rows))
    assert max(map(len, text.splitlines())) <= 100
    assert text.split("\n\n")[3].splitlines()[1].split() == [
        "source",
        *["model", "mixture"] * 2,
        "SAR",
        "model",
        "mixture",
        "PES",
    ]


def test_a_table_of_thirteen_long_names_fits_100_columns():
    rows = rows_of({("t", f"{i} a very long name", "estimate", "SDR"): [-123.456] * 9999 for i in range(13)})
    lines = Metrics.table(Metrics.summarise(rows)).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[17].split() == ["all", "-123.46", *"-------", "1", "129987"]


def test_numbers_kept_as_csv_make_the_same_table(summary, tmp_path):
    summary.to_csv(tmp_path / "summary.csv", index=False)
    assert Metrics.table(pd.read_csv(tmp_path / "summary.csv")) == TEXT


def test_mistakes_are_named():
    rows = rows_of(SCORES)
    with pytest.raises(ValueError, match="expected the rows of at least one track; received none"):
        Metrics.summarise(rows[:0])
    with pytest.raises(ValueError, match="source 'all': the name stands for all sources together"):
        Metrics.summarise(rows.assign(source="all"))
