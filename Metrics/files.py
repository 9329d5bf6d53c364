"""How figures are written."""

from pathlib import Path

from matplotlib.figure import Figure

DOTS_PER_INCH = 120
INK = "#333333"


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure as png. Figures are made by object, never through pyplot's global state."""
    figure.savefig(path, format="png", dpi=DOTS_PER_INCH)
