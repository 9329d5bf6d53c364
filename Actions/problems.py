"""What a run is for, by what its network emits: sources are separated, classes that play are recognised."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import Config
from Actions import evaluation, recognition, testing
from Actions.data import configuration_of

import pandas as pd


class Problem(NamedTuple):
    """What is computed with a trained network, and how good it is.

    Args:
        test: a run and splits -> estimates in the run; yields the split, the mean loss, and where they are.
        evaluate: estimates and truth -> scores; yields the split, where they are, and a table for a screen.
        read: where the scores are -> their rows.
    """

    test: Callable[[Config.Test], Iterator[tuple[str, float, Path]]]
    evaluate: Callable[[Config.Evaluate], Iterator[tuple[str, Path, str]]]
    read: Callable[[Path], pd.DataFrame]


PROBLEMS = {
    "sources": Problem(testing.test, evaluation.evaluate, evaluation.read),
    "playing": Problem(recognition.test, recognition.evaluate, recognition.read),
}
"""By the output that a network is trained for first of all."""


def problem_of(run_dir: str) -> Problem:
    """The problem of a run; separation for anybody's estimates, which have no run.

    Raises:
        FileNotFoundError, ValueError: if there is no such run, or its configuration is damaged.
    """
    return PROBLEMS[configuration_of(run_dir).model.emits[0] if run_dir else "sources"]
