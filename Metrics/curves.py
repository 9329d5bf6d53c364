"""The losses of a run as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from .files import whole_file

COLOURS = {"loss": "#0072B2", "validation_loss": "#D55E00"}  # Okabe and Ito's blue and vermilion


def loss_curve(rows: Sequence[Mapping[str, float]], path: str | Path) -> None:
    """Training and validation loss over steps, the best validation marked.

    Args:
        rows: one a validation, with step, loss and validation_loss.
        path: the png to write.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = [row["step"] for row in rows]
    for name, colour in COLOURS.items():
        axes.plot(steps, [row[name] for row in rows], "o-", ms=3, lw=1.5, color=colour, label=name.replace("_", " "))
    best = min(rows, key=lambda row: row["validation_loss"])
    axes.plot(best["step"], best["validation_loss"], "*", ms=13, color=COLOURS["validation_loss"], label="best")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(color="#E4E4E4", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with whole_file(Path(path)) as partial:
        figure.savefig(partial, dpi=120)
