"""Many tracks' scores in few numbers: per source and over all, with the aggregation named."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .oracles import ORACLES

ALL = "all"
AGGREGATIONS = {
    "frames": "all frames of all tracks pooled (median, MAD, mean, SD: the table of Stoller et al. 2018, Wave-U-Net)",
    "track medians": "the median over a track's frames, then over tracks (median: SiSEC 2018, museval; mean: Demucs)",
    "tracks": "one number a track (mean of uSDR: the Music Demixing Challenge)",
}
TRIVIAL_DB = 60.0
KEYS = ["row", "method", "metric", "aggregation"]

SCREEN_WIDTH = 100
NAME_WIDTH = 15
COLUMN_WIDTH = 8
NOTES = {
    "ISR": "ISR, SIR, SAR: over frames too; spatial error, interference and artifacts apart (BSS Eval v4).",
    "LSD": "LSD: distance of the log spectra, the lower the better.",
    "IBM": "IBM, IRM, MWF: masks of the mixture's spectrum made from the true sources, bounds and no models.",
    "PES": "PES: energy emitted in frames in which the source is silent, full scale being 0 dB a sample.",
}


class Column(NamedTuple):
    """A column of the table: what stands above it, and which statistic of the summary stands in it."""

    group: str
    heading: str
    key: tuple[str, str, str]
    statistic: str


COLUMNS = (
    Column("SDR", "model", ("estimate", "SDR", "frames"), "median"),
    Column("SDR", "mixture", ("mixture", "SDR", "frames"), "median"),
    Column("SDR", "silence", ("silence", "SDR", "frames"), "median"),
    Column("SI-SDR", "model", ("estimate", "SI-SDR", "tracks"), "median"),
    Column("SI-SDR", "mixture", ("mixture", "SI-SDR", "tracks"), "median"),
    Column("", "SI-SDRi", ("estimate", "SI-SDRi", "tracks"), "median"),
    Column("", "uSDR", ("estimate", "uSDR", "tracks"), "median"),
    Column("", "leakage", ("estimate", "leakage", "tracks"), "median"),
    Column("", "tracks", ("estimate", "SDR", "frames"), "tracks"),
    Column("", "frames", ("estimate", "SDR", "frames"), "count"),
)
# The numbers that papers call SDR, side by side.
AGGREGATES = (
    Column("track medians", "median", ("estimate", "SDR", "track medians"), "median"),
    Column("track medians", "mean", ("estimate", "SDR", "track medians"), "mean"),
    Column("frames", "median", ("estimate", "SDR", "frames"), "median"),
    Column("frames", "MAD", ("estimate", "SDR", "frames"), "mad"),
    Column("frames", "mean", ("estimate", "SDR", "frames"), "mean"),
    Column("frames", "SD", ("estimate", "SDR", "frames"), "sd"),
    Column("uSDR", "median", ("estimate", "uSDR", "tracks"), "median"),
    Column("uSDR", "mean", ("estimate", "uSDR", "tracks"), "mean"),
)
# The model between the mixture and what masks can reach at best.
BOUNDS = tuple(
    Column(metric, heading, (method, metric, aggregation), "median")
    for metric, aggregation in (("SDR", "frames"), ("SI-SDR", "tracks"))
    for heading, method in (("mixture", "mixture"), ("model", "estimate"), *zip(ORACLES, ORACLES, strict=True))
)
# Shown as far as there are such numbers.
MORE_COLUMNS = (
    Column("ISR", "model", ("estimate", "ISR", "frames"), "median"),
    Column("ISR", "mixture", ("mixture", "ISR", "frames"), "median"),
    Column("SIR", "model", ("estimate", "SIR", "frames"), "median"),
    Column("SIR", "mixture", ("mixture", "SIR", "frames"), "median"),
    # A mixture of the sources has no artifacts: its SAR is infinite but for rounding.
    Column("", "SAR", ("estimate", "SAR", "frames"), "median"),
    Column("LSD", "model", ("estimate", "LSD", "tracks"), "median"),
    Column("LSD", "mixture", ("mixture", "LSD", "tracks"), "median"),
    Column("", "PES", ("estimate", "PES", "frames"), "median"),
)


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Median, MAD, mean and SD of every metric, per source and over all sources (source "all", last).

    Numbers of frames (SDR, ISR, SIR, SAR, PES) are given under two aggregations, "frames" and "track medians", those
    of whole tracks under one, "tracks": `AGGREGATIONS` defines them, and the column definition repeats it.

    NaN never counts. Infinite values count in medians (an exact estimate ranks above all others, an estimate that
    holds nothing of its reference below) and are left out of mean and SD. A pair of track and source is trivial, and
    counts nowhere, if the mixture's SI-SDR for it is 60 dB or more: the mixture is that source, nothing is separated.

    Args:
        rows: rows of `score_track`, of any number of tracks.

    Returns:
        A row per source, method, metric and aggregation, with median, mad (unscaled: median |x - median|), mean, sd
        (population) in dB, count (values), infinite (of these), tracks (that hold them), trivial (pairs left out) and
        definition.

    Raises:
        ValueError: no rows, or a source that is called "all".
    """
    if rows.empty:
        raise ValueError("scores: expected the rows of at least one track; received none")
    if ALL in set(rows["source"]):
        raise ValueError(f"source {ALL!r}: the name stands for all sources together; give the source another one")
    groups = _with_all(_aggregated(rows.assign(trivial=trivial_rows(rows)))).groupby(KEYS, observed=True)
    summary = pd.DataFrame([dict(zip(KEYS, key, strict=True)) | _statistics(group) for key, group in groups])
    summary = summary.rename(columns={"row": "source"})
    return summary.assign(definition=summary["aggregation"].map(AGGREGATIONS))


def trivial_rows(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """True for every row whose pair of track and source is trivial: the mixture already is the source.

    Args:
        rows: rows of `score_track`.
    """
    pairs = pd.MultiIndex.from_frame(rows[["track", "source"]])
    solved = (rows["method"] == "mixture") & (rows["metric"] == "SI-SDR") & (rows["value"] >= TRIVIAL_DB)
    return pairs.isin(pairs[solved])


def table(summary: pd.DataFrame) -> str:
    """The summary for a screen, at most 100 columns wide: medians per source, last row all sources.

    Args:
        summary: what `summarise` gives.
    """
    lines = [line for columns in _tables(summary) for line in (*_lines(summary, columns), "")]
    return "\n".join([*lines, *(wrapped for note in _notes(summary) for wrapped in textwrap.wrap(note, SCREEN_WIDTH))])


def markdown_table(summary: pd.DataFrame) -> str:
    """The same in Markdown.

    Args:
        summary: what `summarise` gives.
    """
    lines: list[str] = []
    for columns in _tables(summary):
        headings = ["source", *(f"{column.group} {column.heading}".strip() for column in columns)]
        rows = [headings, ["---", *["---:"] * len(columns)], *_cells(summary, columns)]
        lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join([*lines, " ".join(_notes(summary))])


def _aggregated(rows: pd.DataFrame) -> pd.DataFrame:
    """The values that statistics are taken of, with their aggregation; NaN where a pair is trivial."""
    rows = rows.assign(value=rows["value"].mask(rows["trivial"]))
    framewise = rows["time"].notna()
    frames = rows[framewise].assign(aggregation="frames")
    by_track = frames.groupby(["track", "source", "method", "metric", "trivial"], sort=False)["value"]
    medians = by_track.median().reset_index().assign(aggregation="track medians")
    return pd.concat([frames, medians, rows[~framewise].assign(aggregation="tracks")], ignore_index=True)


def _with_all(values: pd.DataFrame) -> pd.DataFrame:
    """Every value twice, in the row of its source and of all; sources by name, the rest in order of appearance."""
    values = pd.concat([values.assign(row=values["source"]), values.assign(row=ALL)], ignore_index=True)
    order = {key: values[key].unique() for key in KEYS} | {"row": [*sorted(values["source"].unique()), ALL]}
    return values.assign(**{key: pd.Categorical(values[key], order[key]) for key in KEYS})


def _statistics(group: pd.DataFrame) -> dict[str, float]:
    counted = group.dropna(subset="value")
    value = counted["value"].to_numpy()
    finite = value[np.isfinite(value)]
    pairs = group.loc[group["trivial"], ["track", "source"]].drop_duplicates()
    return {
        **_median_and_mad(value),
        "mean": finite.mean() if finite.size else np.nan,
        "sd": finite.std() if finite.size else np.nan,
        "count": len(value),
        "infinite": len(value) - len(finite),
        "tracks": counted["track"].nunique(),
        "trivial": len(pairs),
    }


def _median_and_mad(value: NDArray[np.float64]) -> dict[str, float]:
    if not value.size:
        return {"median": np.nan, "mad": np.nan}
    # Between -inf and +inf, and around an infinite median, there is no number: NaN.
    with np.errstate(invalid="ignore"):
        median = np.median(value)
        return {"median": float(median), "mad": float(np.median(np.abs(value - median)))}


def _tables(summary: pd.DataFrame) -> list[Sequence[Column]]:
    """The columns of each table that is shown."""
    known = summary[summary["count"] > 0]
    there = set(zip(known["method"], known["metric"], known["aggregation"], strict=True))
    bounds = [column for column in BOUNDS if column.key in there] if set(known["method"]) & set(ORACLES) else []
    more = [column for column in MORE_COLUMNS if column.key in there]
    return [columns for columns in (COLUMNS, AGGREGATES, bounds, more) if columns]


def _lines(summary: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """A table for a screen."""
    *sources, everything = (_line(row) for row in _cells(summary, columns))
    groups = " " * NAME_WIDTH + "".join(_group_heading(*group) for group in _column_groups(columns))
    headings = _line(["source", *(column.heading for column in columns)])
    rule = "-" * len(headings)
    return [groups.rstrip(), headings, rule, *sources, rule, everything]


def _cells(summary: pd.DataFrame, columns: Sequence[Column]) -> list[list[str]]:
    """A table's text: per source its name and a cell a column."""
    numbers = {tuple(row[key] for key in ("source", *KEYS[1:])): row for row in summary.to_dict("records")}
    return [
        [str(source), *(_cell(numbers.get((source, *column.key), {}).get(column.statistic)) for column in columns)]
        for source in summary["source"].unique()
    ]


def _cell(number: float | None) -> str:
    if number is None or np.isnan(number):
        return "-"
    return str(number) if isinstance(number, int) else f"{number:.2f}"


def _line(row: list[str]) -> str:
    name, *cells = row
    return f"{name[: NAME_WIDTH - 1]:{NAME_WIDTH}}" + "".join(cell.rjust(COLUMN_WIDTH) for cell in cells)


def _column_groups(columns: Sequence[Column]) -> Iterator[tuple[str, int]]:
    """The headings above the headings, each with the number of columns below it."""
    return ((group, len(list(same))) for group, same in groupby(column.group for column in columns))


def _group_heading(group: str, columns: int) -> str:
    width = columns * COLUMN_WIDTH
    return " " + f" {group} ".center(width - 1, "-") if group else " " * width


def _notes(summary: pd.DataFrame) -> list[str]:
    trivial = summary.loc[summary["source"] == ALL, "trivial"].max()
    shown = {column.key[1] for columns in _tables(summary) for column in columns}
    methods = {column.key[0] for columns in _tables(summary) for column in columns}
    notes = [
        "Medians in dB: SDR over all frames of 1 s, the other metrics over tracks.",
        "Leakage: energy emitted for absent sources, relative to the mixture.",
        *(f"{name.capitalize()}: {definition}." for name, definition in AGGREGATIONS.items()),
        *(note for name, note in NOTES.items() if name in shown | methods),
    ]
    if trivial:
        pairs = "pair" if trivial == 1 else "pairs"
        notes.append(f"Left out as trivial: {trivial} {pairs} of track and source whose mixture is that source alone.")
    return notes
