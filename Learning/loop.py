"""What happens between the steps of a leg: checkpoints, validations, early stops, and being stopped."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from .devices import Devices
from .state import Course, restore_metrics, save_state
from .watchers import Watcher


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop, and has saved its state."""


@dataclass(frozen=True)
class Rules:
    """When what happens.

    Args:
        steps: of the whole training.
        batch_size: of this leg.
        checkpoint_every: steps; divides `validate_every`.
        validate_every: steps; divides `steps`.
        patience: validations without a better one until the round ends; 0 for no early stop.
        plateau: validations without a better one until the learning rate is lowered; 0 for never.
        plateau_factor: by how much.
    """

    steps: int
    batch_size: int
    checkpoint_every: int
    validate_every: int
    patience: int
    plateau: int
    plateau_factor: float


class Loop(keras.callbacks.Callback):
    """Keeps a run's state, its log and its best weights while `fit` trains.

    An epoch of `fit` is the piece of a leg between two checkpoints.

    Args:
        course: how far the run is; changed as it goes on.
        rules: when what happens.
        network: what is trained; the fitted model may be another one around it.
        validation: batches to validate on.
        devices: what trains; one process of several writes.
        state_path: where the state is kept.
        keep_best: called when the network's weights are the best so far, to keep them.
        watchers: called as the training goes on.
        asked_to_stop: whether the process has been asked to stop; called with the step.
        offending: called with the numbers (first, one past the last) of the examples of the step that gave no number;
            returns a sentence on where they are kept.
        filled: how many times as many windows there are in the validation as count, for full batches.
    """

    def __init__(
        self,
        course: Course,
        rules: Rules,
        network: keras.Model,
        validation: Any,
        devices: Devices,
        state_path: Path,
        keep_best: Callable[[], None],
        watchers: list[Watcher],
        asked_to_stop: Callable[[int], bool],
        offending: Callable[[int, int], str],
        filled: float = 1.0,
    ):
        super().__init__()
        self.course, self.rules, self.network, self.validation = course, rules, network, validation
        self.state_path, self.keep_best, self.devices, self.filled = state_path, keep_best, devices, filled
        self.watchers, self.asked_to_stop, self.offending = watchers, asked_to_stop, offending
        self.first_step = course.step
        self.unseen: deque[tuple[int, Any]] = deque()  # steps, and their losses, which the device may still compute
        self.resumes = course.step % rules.checkpoint_every > 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begins a piece of the training, or goes on in the middle of one."""
        self.first_step = self.course.step
        if self.resumes:  # in the middle of a piece: its running mean goes on
            restore_metrics(self.state_path, self.network, self.model)
            self.resumes = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Keeps the step's loss to be looked at; stops, with everything saved, where that is asked for.

        Raises:
            Interrupted: if it stops.
        """
        step = self.first_step + batch + 1
        self.unseen.append((step, logs["loss"]))
        for watcher in self.watchers:
            watcher.begun(self.course.example + (step - self.course.step) * self.rules.batch_size)
        if len(self.unseen) > 1:  # while the device takes these steps it is time to look at those before
            self._look()
        if step % self.rules.checkpoint_every and self.asked_to_stop(step):
            self._look()
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()
            self._save()
            raise Interrupted(f"stopped at step {step}; the same command goes on from there")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Ends a piece: validates where it is time to, saves, and stops after the last step or where it is asked to.

        Raises:
            Interrupted: if it stops before the last step because it was asked to.
        """
        self._look()
        self.course.losses.append(float(logs["loss"]))
        if self.course.step % self.rules.validate_every == 0:
            self._validate()
        self._save()
        if self.course.finished or self.course.step >= self.rules.steps:
            self.model.stop_training = True
        elif self.asked_to_stop(self.course.step):
            raise Interrupted(f"stopped at step {self.course.step}; the same command goes on from there")

    def _look(self) -> None:
        """Waits for the loss after the oldest unseen step, and moves the course on to it.

        Raises:
            ValueError: if it is no number.
        """
        step, value = self.unseen.popleft()
        course, loss = self.course, float(value)
        first_step, first_example = course.step + 1, course.example
        course.example += (step - course.step) * self.rules.batch_size
        course.step = step
        if not math.isfinite(loss):
            steps = f"{step}" if step == first_step else f"{first_step} to {step}"
            raise ValueError(
                f"the loss became {loss} at step {steps}, examples {first_example} to {course.example - 1}; "
                f"{self.offending(first_example, course.example)}; a smaller training.learning_rate or "
                "training.clip_norm=1 may help"
            )
        for watcher in self.watchers:
            watcher.trained(course, loss)

    def _validate(self) -> None:
        course = self.course
        with averaged_weights(self.model):
            loss = self.filled * float(self.model.evaluate(self.validation, verbose=0, return_dict=True)["loss"])
            if not math.isfinite(loss):
                raise ValueError(f"the validation loss became {loss} at step {course.step}")
            row = {
                "step": course.step,
                "loss": float(np.mean(course.losses)),
                "validation_loss": loss,
                "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            }
            course.rows.append(row)
            course.losses.clear()
            better = course.round_best is None or loss < course.round_best
            best = course.best is None or loss < course.best
            if better:
                course.round_best = loss
            course.waited = 0 if better else course.waited + 1
            course.lowered = 0 if better else course.lowered + 1
            if best:
                course.best, course.best_step = loss, course.step
                self.keep_best()
            for watcher in self.watchers:
                watcher.validated(course, row, best)
        if self.rules.plateau and course.lowered >= self.rules.plateau:
            course.lowered = 0
            self.model.optimizer.learning_rate = row["learning_rate"] * self.rules.plateau_factor
        course.finished = course.step >= self.rules.steps or bool(
            self.rules.patience and course.waited >= self.rules.patience
        )

    def _save(self) -> None:
        weights = self.network.get_weights()
        if not all(np.isfinite(each).all() for each in weights):  # a finite loss may have a gradient that is not
            raise ValueError(
                f"the weights became no numbers by step {self.course.step}, and were not saved; a smaller "
                "training.learning_rate or training.clip_norm=1 may help"
            )
        if self.devices.writes:
            save_state(self.state_path, self.course, self.network, self.model)


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """The moving averages in the place of the weights, where the optimizer keeps any."""
    if not model.optimizer.use_ema:
        yield
        return
    trained = _copies(model.trainable_variables)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    # Copies, because JAX has put the averages' own arrays there, which a compiled validation gives away.
    _assign(model.trainable_variables, _copies(model.trainable_variables))
    try:
        yield
    finally:
        _assign(model.trainable_variables, trained)


def _copies(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
