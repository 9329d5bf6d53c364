"""All that a run needs to go on where it was stopped, in one file; and the one before, should a disk spoil it."""

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from Files import archive_fault, whole_file

import keras
import numpy as np

Row = dict[str, float]
"""What the log holds of a validation: step, loss, validation_loss, learning_rate."""


@dataclass
class Course:
    """How far a training has come, beside its weights.

    Args:
        step: batches that were trained on.
        example: number of the next example.
        round: the first, or the second with a larger batch.
        finished: whether nothing is left to do.
        best: the best validation loss of the run, and `best_step` its step.
        round_best: the best validation loss of the round.
        waited: validations since the best one of this round.
        lowered: validations since the learning rate was last lowered, or the best one.
        begins_from_best: whether it has still to take the best weights.
        losses: mean training loss of each piece between two checkpoints since the last validation.
        rows: one a validation.
    """

    step: int = 0
    example: int = 0
    round: int = 1
    finished: bool = False
    best: float | None = None
    best_step: int = 0
    round_best: float | None = None
    waited: int = 0
    lowered: int = 0
    begins_from_best: bool = False
    losses: list[float] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def begin_second_round(self) -> None:
        """From the best weights, with nothing waited for."""
        self.round, self.finished, self.begins_from_best = 2, False, True
        self.round_best, self.waited, self.lowered = self.best, 0, 0


def course_of_best(rows: list[Row], steps: int, batch_size: int, patience: int) -> Course:
    """How far a run is whose state is lost, but not its best weights: at their validation, or at its end.

    Args:
        rows: of its log; at least one.
        steps: of the whole training.
        batch_size: of its first round.
        patience: validations without a better one until a round ends; 0 for no early stop.
    """
    best = min(rows, key=lambda row: row["validation_loss"])
    waited = len(rows) - 1 - rows.index(best)
    finished = rows[-1]["step"] >= steps or 0 < patience <= waited
    kept = rows if finished else rows[: len(rows) - waited]
    step, best_step, loss = int(kept[-1]["step"]), int(best["step"]), best["validation_loss"]
    return Course(
        step=step,
        example=step * batch_size,
        finished=finished,
        best=loss,
        best_step=best_step,
        round_best=loss,
        begins_from_best=not finished,
        rows=kept,
    )


def previous_state(path: Path) -> Path:
    """Where the state before the one at `path` is kept."""
    return path.with_suffix(f".previous{path.suffix}")


def save_state(path: Path, course: Course, network: keras.Model, model: keras.Model) -> None:
    """Writes the course and every number of the weights, the optimizer, its averages and the running metrics.

    Args:
        path: the file; when it is whole it takes the place of the one before, which becomes `previous_state`.
        course: how far it is.
        network: what is trained.
        model: what is fitted: the network, or a model around it, with the optimizer.

    Raises:
        OSError: if it cannot be written; the file before stays.
    """
    arrays: dict[str, Any] = {f"{n:05}": np.asarray(each.value) for n, each in enumerate(_all(network, model))}
    arrays["course"] = np.array(json.dumps({**dataclasses.asdict(course), "arrays": len(arrays)}))
    with whole_file(path, previous_state(path)) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def read_course(path: Path) -> Course:
    """How far a run is; at its start where there is no file. Every byte of the file is checked.

    Raises:
        ValueError: if the file is damaged.
    """
    if not path.is_file():
        return Course()
    if fault := archive_fault(path):
        raise ValueError(f"{path} is damaged ({fault})")
    try:
        with np.load(path) as arrays:
            stored, saved = json.loads(str(arrays["course"])), len(arrays.files) - 1
        if stored.pop("arrays", saved) != saved:  # a wrong bit in a zip's directory makes a member vanish
            raise ValueError(f"it holds {saved} arrays, and not as many as were written")
        stored.pop("begins_second_round", None)  # of earlier versions, and always false
        return Course(**stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error})") from None


def keep_newest(path: Path) -> str:
    """Puts the newer of a run's two states that can be read at `path`; none, where there is none.

    Returns:
        What was wrong with a newer one; empty where nothing was.

    Raises:
        ValueError: if none of those that are there can be read.
    """
    faults = []
    for state in (path, previous_state(path)):
        if not state.is_file():
            continue
        try:
            read_course(state)
        except ValueError as error:
            faults.append(str(error))
            continue
        if state != path:
            os.replace(state, path)
        return "; ".join(faults)
    if faults:
        raise ValueError("; ".join(faults))
    return ""


def restore(path: Path, network: keras.Model, model: keras.Model) -> None:
    """Sets every number that `save_state` wrote.

    Raises:
        ValueError: if the file holds other variables.
    """
    variables = _all(network, model)
    with np.load(path) as arrays:
        values = [arrays[name] for name in sorted(set(arrays.files) - {"course"})]
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values]:
        raise ValueError(f"{path} holds {len(values)} arrays that are not those of this model and optimizer")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def restore_metrics(path: Path, network: keras.Model, model: keras.Model) -> None:
    """Sets the running metrics alone, which Keras starts anew."""
    first = len(_all(network, model)) - len(model.metrics_variables)
    with np.load(path) as arrays:
        for number, variable in enumerate(model.metrics_variables, first):
            variable.assign(arrays[f"{number:05}"])


def _all(network: keras.Model, model: keras.Model) -> list[Any]:
    return list(_distinct([*network.variables, *model.optimizer.variables], model.metrics_variables))


def _distinct(*lists: list[Any]) -> Iterator[Any]:
    seen: set[int] = set()
    for variable in (variable for each in lists for variable in each):
        if id(variable) not in seen:
            seen.add(id(variable))
            yield variable
