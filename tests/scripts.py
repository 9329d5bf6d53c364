"""The scripts as a person calls them, for the tests of what they do."""

import functools
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]

HEED_INTERRUPTS = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""What a program begins with that a test interrupts: a shell's background jobs, and all they start, ignore Ctrl-C."""


class Said(NamedTuple):
    """What a script left behind."""

    code: int
    out: str
    err: str


def call(script: str, *arguments: object) -> int:
    """Runs a script as `python script arguments` would, in this process; returns its exit status."""
    before = sys.argv
    sys.argv = [str(ROOT / script), *map(str, arguments)]
    try:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return 1
        return stop.code or 0
    finally:
        sys.argv = before
        if "keras" in sys.modules:
            sys.modules["keras"].config.set_dtype_policy("float32")
    return 0


PICTURES = ("score_boxplot", "score_heatmap", "loss_curve", "loss_curves", "separation_figure", "spectrogram_grid")


@contextmanager
def quick() -> Iterator[None]:
    """Leaves out what takes most of a small run's time: each picture is a dot, and Sacred does not look at git."""
    import Actions.training
    import Experiment
    import Metrics

    import numpy as np
    from matplotlib.image import imsave

    def dot(*arguments: object) -> None:
        imsave(arguments[-1], np.zeros((1, 1, 3)), format="png")

    with pytest.MonkeyPatch.context() as patch:
        for picture in PICTURES:
            for user in (Metrics, Actions.training):
                if hasattr(user, picture):
                    patch.setattr(user, picture, dot)
        patch.setattr(Experiment, "Experiment", functools.partial(Experiment.CheckedExperiment, save_git_info=False))
        yield


if __name__ == "__main__":  # a script in a process of its own, as quickly
    sys.path.insert(0, str(ROOT))
    with quick():
        sys.exit(call(*sys.argv[1:]))
