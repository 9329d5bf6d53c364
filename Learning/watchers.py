"""What is called while a network trains, to show and log it; nothing of it changes the training."""

import json
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from Files import whole_file

from .state import Course, Row

WAITING_STEPS = 50  # over which the share that waits for its batch is taken

LogScalar = Callable[[str, float, int], None]
"""Told the name of a number, its value and the step, after each validation."""


class Watcher:
    """What is called when something happens; this one does nothing."""

    def begun(self, example: int) -> None:
        """Told when an execution of steps is handed to the device, with the number of the example after it."""

    def trained(self, course: Course, loss: float) -> None:
        """Told after each execution of steps, with the mean loss since the last checkpoint."""

    def validated(self, course: Course, row: Row, best: bool) -> None:
        """Told after each validation, when the best weights are kept; the network has the validated weights."""


class Waiting(Watcher):
    """Whether the input keeps up: the share of steps that began before the next batch was there.

    Args:
        reached: returns how many examples the input has made.
    """

    def __init__(self, reached: Callable[[], int]):
        self.reached, self.recent, self.warned = reached, deque[bool](maxlen=WAITING_STEPS), False

    def share(self) -> float:
        """Of the last steps, in [0, 1]."""
        return sum(self.recent) / max(1, len(self.recent))

    def begun(self, example: int) -> None:
        """Looks whether the next batch is there, and prints a note once if it mostly is not."""
        self.recent.append(self.reached() <= example)
        if len(self.recent) == WAITING_STEPS and self.share() > 0.5 and not self.warned:
            self.warned = True
            print(
                f"note: {self.share():.0%} of the steps wait for their batch: the input is the bottleneck. On an "
                "accelerator data.cache=device reads nothing; else faster disks or more cores help",
                file=sys.stderr,
            )


class Bar(Watcher):
    """A progress bar: how fast, how long to go, the loss, and whether the input keeps up.

    Args:
        bar: of tqdm, in examples.
        waiting: knows whether the input keeps up.
    """

    def __init__(self, bar: Any, waiting: Waiting):
        self.bar, self.waiting = bar, waiting

    def trained(self, course: Course, loss: float) -> None:
        """Moves the bar."""
        waiting = f"{self.waiting.share():.0%}"
        self.bar.set_postfix(step=course.step, loss=f"{loss:.4g}", waiting=waiting, refresh=False)
        self.bar.update(course.example - self.bar.n)


class Log(Watcher):
    """A file of json lines, a row a validation; the curve; and what else keeps numbers.

    Args:
        path: the file.
        course: with the rows so far.
        log_scalar: called with each number of a row.
        draw: draws the rows.
    """

    def __init__(self, path: Path, course: Course, log_scalar: LogScalar, draw: Callable[[list[Row]], None]):
        self.path, self.log_scalar, self.draw = path, log_scalar, draw
        for row in course.rows:
            self._tell(row)
        if course.rows:
            self._write(course.rows)  # should it have been spoiled meanwhile

    def validated(self, course: Course, row: Row, best: bool) -> None:
        """Writes all rows anew, so that the file is whole at any moment."""
        self._tell(row)
        self._write(course.rows)
        self.draw(course.rows)

    def _write(self, rows: list[Row]) -> None:
        with whole_file(self.path) as partial:
            partial.write_text("".join(json.dumps(each) + "\n" for each in rows))

    def _tell(self, row: Row) -> None:
        for name in ("loss", "validation_loss"):
            self.log_scalar(name, float(row[name]), int(row["step"]))
