"""Writing files so that each is either whole or not there: any, and figures."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.figure import Figure

DOTS_PER_INCH = 120
INK = "#333333"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it becomes `path` only if the block ends without an error.

    A missing folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure as png. Figures are made by object, never through pyplot's global state."""
    with whole_file(Path(path)) as unfinished:
        figure.savefig(unfinished, format="png", dpi=DOTS_PER_INCH)
