"""Summaries as tables: for a screen, as headings and cells, and of several runs."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd

from .oracles import ORACLES
from .summary import AGGREGATIONS, ALL, KEYS, summarise

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


def table(summary: pd.DataFrame) -> str:
    """The summary for a screen, at most 100 columns wide: medians per source, last row all sources.

    Args:
        summary: what `summarise` gives.
    """
    lines = [line for columns in _tables(summary) for line in (*_lines(summary, columns), "")]
    notes = [line for note in summary_notes(summary) for line in textwrap.wrap(note, SCREEN_WIDTH)]
    return "\n".join([*lines, *notes])


def summary_tables(summary: pd.DataFrame) -> list[tuple[list[str], list[list[str]]]]:
    """Headings and cells of the same tables.

    Args:
        summary: what `summarise` gives.
    """
    return [
        (["source", *(f"{column.group} {column.heading}".strip() for column in columns)], _cells(summary, columns))
        for columns in _tables(summary)
    ]


def summary_notes(summary: pd.DataFrame) -> list[str]:
    """What the numbers in a summary's tables are, a sentence each; and which pairs are left out.

    Args:
        summary: what `summarise` gives.
    """
    trivial = summary.loc[summary["source"] == ALL, "trivial"].max()
    shown = {column.key[1] for columns in _tables(summary) for column in columns}
    methods = {column.key[0] for columns in _tables(summary) for column in columns}
    notes = [
        "Medians in dB: SDR over all frames of 1 s, the other metrics over tracks.",
        "Leakage: energy emitted for absent sources, relative to the mixture.",
        *(f"{name.capitalize()}: {definition}." for name, definition in AGGREGATIONS.items()),
        *(note for name, note in NOTES.items() if name in shown | methods),
    ]
    if not ("mixture" in set(summary["method"]) or "leakage" in set(summary["metric"])):
        notes.append("The mixture is not known: there is no improvement over it.")
    if trivial:
        pairs = "pair" if trivial == 1 else "pairs"
        notes.append(f"Left out as trivial: {trivial} {pairs} of track and source whose mixture is that source alone.")
    return notes


RUN_COLUMNS = (
    Column("", "SDR median", ("estimate", "SDR", "frames"), "median"),
    Column("", "MAD", ("estimate", "SDR", "frames"), "mad"),
    Column("", "median of medians", ("estimate", "SDR", "track medians"), "median"),
    Column("", "mean of medians", ("estimate", "SDR", "track medians"), "mean"),
    Column("", "uSDR mean", ("estimate", "uSDR", "tracks"), "mean"),
    Column("", "SI-SDR", ("estimate", "SI-SDR", "tracks"), "median"),
    Column("", "SI-SDRi", ("estimate", "SI-SDRi", "tracks"), "median"),
    Column("", "leakage", ("estimate", "leakage", "tracks"), "median"),
    Column("", "tracks", ("estimate", "SDR", "frames"), "tracks"),
    Column("", "frames", ("estimate", "SDR", "frames"), "count"),
)


def run_table(rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table of runs over all sources, the best median SDR first, the mixture last.

    Args:
        rows: rows of `score_track`, of any number of runs; where they have a column `repeat`, a run's numbers are the
            means over its repeats, and their standard deviation (n - 1) stands beside them.
    """
    numbers = {run: [_numbers_of_all(summary) for summary in summaries] for run, summaries in _by_run(rows).items()}
    found = {
        run: [[of_one.get(c.key, {}).get(c.statistic) for of_one in of_run] for c in RUN_COLUMNS]
        for run, of_run in numbers.items()
    }
    ranked = sorted(found, key=lambda run: -_mean(found[run][0]))
    cells = [[run, *map(_cell_of_several, found[run])] for run in ranked]
    of_mixture = [("mixture", *c.key[1:]) for c in RUN_COLUMNS]
    first = numbers[ranked[0]][0] if ranked else {}
    if any(key in first for key in of_mixture):
        cells.append(
            ["(mixture)"]
            + [_cell(first.get(key, {}).get(c.statistic)) for key, c in zip(of_mixture, RUN_COLUMNS, strict=True)]
        )
    return ["run", *(column.heading for column in RUN_COLUMNS)], cells


def source_table(rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table of the runs' median SDR over frames by source.

    Args:
        rows: rows of `score_track`, of any number of runs, as for `run_table`.
    """
    by_run = {}
    for run, summaries in _by_run(rows).items():
        chosen = pd.concat(summaries)
        for name, value in zip(KEYS[1:], ("estimate", "SDR", "frames"), strict=True):
            chosen = chosen[chosen[name] == value]
        by_run[run] = {str(source): list(medians) for source, medians in chosen.groupby("source", sort=False)["median"]}
    sources = list(dict.fromkeys(source for of_run in by_run.values() for source in of_run))
    cells = [[source, *(_cell_of_several(of_run.get(source, [])) for of_run in by_run.values())] for source in sources]
    return ["source", *by_run], cells


def _by_run(rows: pd.DataFrame) -> dict[str, list[pd.DataFrame]]:
    """Each run's summaries, one a repeat."""
    rows = rows if "repeat" in rows else rows.assign(repeat="")
    return {
        str(run): [summarise(of_one) for _, of_one in of_run.groupby("repeat", sort=False)]
        for run, of_run in rows.groupby("run", sort=False)
    }


def _mean(numbers: Sequence[float | None]) -> float:
    return float(np.mean([-np.inf if number is None else number for number in numbers]))


def _cell_of_several(numbers: Sequence[float | None]) -> str:
    """A run's number; of several repeats the mean and the standard deviation."""
    known = [number for number in numbers if number is not None]
    if len(known) < 2 or len(set(known)) == 1:  # one, or counts, or minus infinity
        return _cell(known[0] if known else None)
    return f"{np.mean(known):.2f} ± {np.std(known, ddof=1):.2f}"


def _numbers_of_all(summary: pd.DataFrame) -> dict[tuple[str, ...], dict]:
    rows = summary[summary["source"] == ALL].to_dict("records")
    return {tuple(row[key] for key in KEYS[1:]): row for row in rows}


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
