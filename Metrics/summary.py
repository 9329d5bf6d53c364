"""Many tracks' scores in few numbers: per source and over all, with the aggregation named."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ALL = "all"
AGGREGATIONS = {
    "frames": "all frames of all tracks pooled (median, MAD, mean, SD: the table of Stoller et al. 2018, Wave-U-Net)",
    "track medians": "the median over a track's frames, then over tracks (median: SiSEC 2018, museval; mean: Demucs)",
    "tracks": "one number a track (mean of uSDR: the Music Demixing Challenge)",
}
TRIVIAL_DB = 60.0
KEYS = ["row", "method", "metric", "aggregation"]


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
