"""Average precision and what stands beside it, against their definitions."""

import Metrics
from Metrics.recognition import of_tracks

import numpy as np
import pandas as pd
import pytest


def rows(probabilities: dict[str, list[float]], playing: dict[str, list[int]], track="t", seconds=1.0) -> pd.DataFrame:
    tables = [
        pd.DataFrame({"source": source, "probability": of_source, "playing": playing[source]}).assign(
            track=track, start_seconds=range(len(of_source)), seconds=seconds
        )
        for source, of_source in probabilities.items()
    ]
    return pd.concat(tables, ignore_index=True)


def average_precision(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The mean over what plays of the precision at its rank."""
    ranked = truth[np.argsort(-probabilities)]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return precision[ranked == 1].mean()


def test_average_precision_is_the_mean_precision_at_the_rank_of_what_plays():
    random = np.random.default_rng(0)
    probabilities = {source: list(random.random(50)) for source in ("vn", "vc")}
    playing = {source: list(random.integers(0, 2, 50)) for source in probabilities}
    summary = Metrics.recognition_summary(rows(probabilities, playing)).set_index("source")
    for source in probabilities:
        guessed, truth = np.array(probabilities[source]), np.array(playing[source])
        assert summary["AP"][source] == pytest.approx(average_precision(guessed, truth))
        hits = ((guessed >= 0.5) & (truth == 1)).sum()
        assert summary["precision"][source] == pytest.approx(hits / (guessed >= 0.5).sum())
        assert summary["recall"][source] == pytest.approx(hits / truth.sum())
        assert summary["share"][source] == pytest.approx(truth.mean())
    assert summary["AP"]["all"] == pytest.approx(summary["AP"][["vn", "vc"]].mean())


def test_a_class_that_never_plays_has_no_average_precision_and_counts_in_no_mean():
    probabilities = {"vn": [0.9, 0.1], "vc": [0.9, 0.1], "fl": [0.4, 0.4]}
    found = Metrics.recognition_summary(rows(probabilities, {"vn": [1, 0], "vc": [0, 0], "fl": [1, 1]}))
    summary = found.set_index("source")
    assert summary["AP"]["vn"] == summary["AP"]["all"] == 1
    assert np.isnan(summary["AP"]["vc"]) and np.isnan(summary["AP"]["fl"])
    headings, cells = Metrics.recognition_table(found)
    assert [row[0] for row in cells] == ["vn", "vc", "fl", "all"] and {len(row) for row in cells} == {len(headings)}
    assert "nan" not in str(cells)


def test_a_track_is_the_mean_over_its_time():
    one = rows({"vn": [0.8, 0.2]}, {"vn": [0, 1]}, track="one")
    one["seconds"] = [3.0, 1.0]
    other = rows({"vn": [0.3]}, {"vn": [0]}, track="other")
    found = of_tracks(pd.concat([one, other])).set_index("track")
    assert found["probability"].to_dict() == pytest.approx({"one": 0.65, "other": 0.3})
    assert found["playing"].to_dict() == {"one": 1, "other": 0}
