"""Two sets of scores of the same tracks: by how much they differ, and whether that is more than chance."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from .summary import trivial_rows


class Paired(NamedTuple):
    """Differences of pairs: how many, their mean and its 95 % interval, their median, and Wilcoxon's p-value."""

    tracks: int
    mean: float
    low: float
    high: float
    median: float
    p: float


def track_scores(rows: pd.DataFrame, metric: str, method: str = "estimate") -> pd.DataFrame:
    """One number a track and run: the mean over its sources, of frames the median first; then over a run's repeats.

    Trivial pairs of track and source (see `summarise`) are left out, and so are NaN and infinite values.

    Args:
        rows: rows of `score_track`, of any number of runs; where they have a column `repeat`, of each run as often as
            it was repeated with another seed.
        metric: such as "SDR".
        method: whose.

    Returns:
        (tracks, runs), NaN where a track has no number.
    """
    rows = rows if "repeat" in rows else rows.assign(repeat="")
    chosen = rows[(rows["metric"] == metric) & (rows["method"] == method) & ~trivial_rows(rows)]
    pairs = chosen.groupby(["run", "repeat", "track", "source"], sort=False)["value"].median()
    repeats = pairs[np.isfinite(pairs)].groupby(["track", "run", "repeat"], sort=False).mean()
    return repeats.groupby(["track", "run"], sort=False).mean().unstack("run")


def paired_difference(first: ArrayLike, second: ArrayLike) -> Paired:
    """`second - first`, pair by pair; pairs of which one is NaN are left out.

    The interval is the percentile bootstrap's of the mean, 10,000 resamples with a fixed seed; the p-value is that of
    Wilcoxon's signed-rank test, two-sided: how likely differences as lopsided are if the sign of each was chance.

    Args:
        first: numbers (N,).
        second: numbers (N,).

    Returns:
        All NaN where no pair is left; the interval is NaN for one.

    Sources: Efron 1979, "Bootstrap methods: another look at the jackknife"; Wilcoxon 1945, "Individual comparisons by
    ranking methods".
    """
    with np.errstate(invalid="ignore"):
        difference = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    difference = difference[np.isfinite(difference)]
    if not difference.size:
        return Paired(0, *[np.nan] * 5)
    low = high = np.nan
    if difference.size > 1:
        # `rng`, the newer name of `random_state`, is unknown to SciPy 1.14.
        low, high = stats.bootstrap(
            (difference,),
            np.mean,
            n_resamples=10_000,
            confidence_level=0.95,
            method="percentile",
            random_state=np.random.default_rng(0),
        ).confidence_interval
    # Without a difference there is nothing to rank.
    p = float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0
    return Paired(difference.size, float(difference.mean()), float(low), float(high), float(np.median(difference)), p)


def compare_runs(rows: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Each run against the first, metric by metric, track by track.

    Args:
        rows: rows of `score_track` of several runs.
        metrics: which metrics.

    Returns:
        A row per metric and run but the first, with run, against, metric and the fields of `Paired`, in dB.
    """
    runs = rows["run"].unique()
    compared = []
    for metric in metrics:
        scores = track_scores(rows, metric)
        for run in runs[1:]:
            if {runs[0], run} <= set(scores.columns):
                paired = paired_difference(scores[runs[0]], scores[run])
                compared.append({"run": run, "against": runs[0], "metric": metric, **paired._asdict()})
    return pd.DataFrame(compared, columns=["run", "against", "metric", *Paired._fields])


PROBE_NOTE = (
    "Means over tracks with the bootstrap's 95 % interval. SDR: median over a track's frames, mean over its sources, "
    "in dB. Leaked: energy emitted for absent sources as a share of the mixture's, in %. Change: against what the "
    "same tracks gave with true labels; p is Wilcoxon's."
)


def probe_changes(by_probe: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How SDR and leakage change with the labels that a separator is given: whether it uses them.

    Args:
        by_probe: rows of `score_track` by the name of a probe; "" for the truth.

    Returns:
        A row per probe (the truth first) and metric ("SDR" in dB; "leaked", the energy emitted for absent sources as a
        share of the mixture's in percent), with the mean over tracks and the change against the truth (`Paired`).
    """
    numbers = {
        metric: {probe: of_track(rows) for probe, rows in by_probe.items()}
        for metric, of_track in (("SDR", _sdr), ("leaked", _leaked_percent))
    }
    changes = []
    for probe in by_probe:
        for metric, by_track in numbers.items():
            both = pd.concat([by_track[""], by_track[probe]], axis=1)
            paired = paired_difference(both.iloc[:, 0], both.iloc[:, 1])
            row = {"probe": probe or "true labels", "metric": metric, "value": float(by_track[probe].mean())}
            changes.append(row | paired._asdict())
    return pd.DataFrame(changes)


def probe_table(changes: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table of `probe_changes`."""
    headings = ["given", "SDR", "change", "p", "leaked %", "change", "p", "tracks"]
    cells = []
    for probe, rows in changes.groupby("probe", sort=False):
        sdr, leaked = (rows[rows["metric"] == metric].iloc[0] for metric in ("SDR", "leaked"))
        changed = [cell for row in (sdr, leaked) for cell in _change(row, str(probe))]
        tracks = f"{sdr['tracks']}" if sdr["tracks"] == leaked["tracks"] else f"{sdr['tracks']}, {leaked['tracks']}"
        cells.append([str(probe).replace("_", " "), *changed, tracks])
    return headings, cells


def _change(row: pd.Series, probe: str) -> list[str]:
    value, mean, low, high, p = (row[name] for name in ("value", "mean", "low", "high", "p"))
    shown = "-" if np.isnan(value) else f"{value:.2f}"
    if probe == "true labels":
        return [shown, "", ""]
    if np.isnan(mean):
        return [shown, "-", "-"]
    interval = "" if np.isnan(low) else f" ({low:+.2f} to {high:+.2f})"
    return [shown, f"{mean:+.2f}{interval}", f"{p:.2g}"]


def _sdr(rows: pd.DataFrame) -> pd.Series:
    return track_scores(rows, "SDR").mean(axis=1)  # of the one run that there is


def _leaked_percent(rows: pd.DataFrame) -> pd.Series:
    leakage = rows[rows["metric"] == "leakage"]
    leaked = 100 * 10 ** (leakage["value"] / 10)
    return leaked.groupby(leakage["track"]).sum()
