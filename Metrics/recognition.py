"""Which classes were recognised: probabilities beside the truth -> numbers."""

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from .summary import ALL

THRESHOLD = 0.5


def of_tracks(rows: pd.DataFrame) -> pd.DataFrame:
    """Probabilities of windows -> of whole tracks: means over time. A class plays if it does in any window.

    Args:
        rows: a row a window and class: track, start_seconds, seconds, source, probability in [0, 1], playing (0 or 1).

    Returns:
        A row a track and class: track, source, probability, playing.
    """
    weighted = rows.assign(probability=rows["probability"] * rows["seconds"])
    grouped = weighted.groupby(["track", "source"], sort=False)
    found = grouped.agg({"probability": "sum", "seconds": "sum", "playing": "max"})
    found["probability"] /= found["seconds"]
    return found.drop(columns="seconds").reset_index()


def recognition_summary(rows: pd.DataFrame) -> pd.DataFrame:
    """How well each class was recognised.

    Average precision is the area under the steps of precision over recall: 1 if whatever plays has a higher
    probability than whatever does not; drawn at random it would be the share in which the class plays. Precision,
    recall and their harmonic mean F1 are of probabilities of 0.5 or more.

    Args:
        rows: as for `of_tracks`.

    Returns:
        A row a class, then one of their means, `all`: source; windows; share, of the windows in which it plays; AP,
        precision, recall and F1 over windows; tracks, track_share and track_AP over tracks. NaN where a class never
        plays, or always; such a class counts in no mean.

    Sources: Fonseca et al. 2022 (FSD50K), section V-A; scikit-learn computes them.
    """
    numbers = [
        {
            "source": source,
            **_numbers(of_class),
            **{f"track_{name}": value for name, value in _numbers(tracks).items() if name in ("share", "AP")},
            "tracks": len(tracks),
        }
        for source, of_class in rows.groupby("source", sort=False)
        for tracks in [of_tracks(of_class)]
    ]
    summary = pd.DataFrame(numbers)
    counts = {name: summary[name].max() for name in ("windows", "tracks")}
    means = summary.dropna(subset="AP").drop(columns="source").mean()
    return pd.concat([summary, pd.DataFrame([{"source": ALL, **means, **counts}])], ignore_index=True)


def recognition_table(summary: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table of `recognition_summary`."""
    columns = ["share", "AP", "precision", "recall", "F1", "track_share", "track_AP"]
    headings = ["source", "plays, windows", "AP", "precision", "recall", "F1", "plays, tracks", "AP, tracks"]
    cells = []
    for row in summary.to_dict("records"):
        shown = ["-" if np.isnan(row[name]) else f"{row[name]:.3f}" for name in columns]
        cells.append([str(row["source"]), *shown])
    return headings, cells


RECOGNITION_NOTE = (
    "Plays: the share of windows, or tracks, in which the source plays, which is the average precision (AP) of chance. "
    "Precision, recall, F1: of probabilities of 0.5 or more, over windows. Of a track: the mean over its time. The row "
    "all: means over the sources of which AP is known."
)


def _numbers(rows: pd.DataFrame) -> dict[str, float]:
    truth, probabilities = rows["playing"].to_numpy(bool), rows["probability"].to_numpy(np.float64)
    found: dict[str, float] = {"windows": len(rows), "share": float(truth.mean())}
    if truth.all() or not truth.any():
        return {**found, "AP": np.nan, "precision": np.nan, "recall": np.nan, "F1": np.nan}
    *scores, _ = precision_recall_fscore_support(truth, probabilities >= THRESHOLD, average="binary", zero_division=0.0)
    average = float(average_precision_score(truth, probabilities))
    return {**found, "AP": average, **dict(zip(("precision", "recall", "F1"), map(float, scores), strict=True))}
