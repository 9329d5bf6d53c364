"""Words in pictures: names in any script; and saving a figure in fonts that have all of them."""

import functools
import unicodedata
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager, get_font
from matplotlib.text import Text
from numpy.typing import NDArray

DOTS_PER_INCH = 120
INK = "#333333"


def readable(name: str, longest: int = 34) -> str:
    r"""A name as a picture can show it: `save_figure` finds fonts for what this returns.

    What no installed font has is written as Python escapes it, such as \u5f13. A `$` is no mathematics.

    Args:
        name: such as a track's, a source's or a run's, which somebody's folder has.
        longest: letters that it may have, those of CJK count twice; of a longer one the middle is left out.
    """
    letters = (letter if _family_of(letter) else letter.encode("unicode_escape").decode() for letter in name)
    shown = "".join(letters)
    widths = np.array([2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in shown], int)
    if widths.sum() > longest:
        head, tail = (np.searchsorted(each.cumsum(), longest // 2, "right") for each in (widths, widths[::-1]))
        shown = f"{shown[:head]}…{shown[-tail:]}"
    return shown.replace("$", r"\$")


def note(axes: Axes, words: str) -> None:
    """Writes in the middle of a picture why there is nothing in it, and no numbers beside it."""
    axes.tick_params(labelleft=False)
    label = axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=INK)
    label.set_bbox({"facecolor": "white", "edgecolor": "none"})


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure as png, each letter in the first font that has it.

    Figures are made by object, never through pyplot's global state.
    """
    texts = figure.findobj(Text)
    letters = sorted({letter for text in texts for letter in text.get_text()})
    families = [*FontProperties().get_family(), *(family for letter in letters if (family := _family_of(letter)))]
    for text in texts:
        text.set_fontfamily(list(dict.fromkeys(families)))
    figure.savefig(path, format="png", dpi=DOTS_PER_INCH)


@functools.cache
def _family_of(letter: str) -> str | None:
    """The font family that has a letter: one that is set in matplotlib, else any that is installed; None without."""
    for family in FontProperties().get_family():
        if _has(family, letter):
            return family
    # Not from matplotlib's own list: it is not made anew where a font is installed later.
    for path in sorted(findSystemFonts(), key=_plainness):
        if ord(letter) in _letters(path) and "LastResort" not in path:  # has a box for everything
            family = get_font(path).family_name
            if family not in fontManager.get_font_names():
                fontManager.addfont(path)
            if _has(family, letter):  # and not its italics alone
                return family
    return None


def _has(family: str, letter: str) -> bool:
    return ord(letter) in _letters(findfont(FontProperties(family=[family])))


@functools.cache
def _letters(path: str) -> NDArray[np.uint32]:
    """The code points that a font file has; none where matplotlib cannot draw it, such as emoji in bitmaps."""
    try:
        font = get_font(path)
    except (OSError, RuntimeError):
        return np.zeros(0, np.uint32)
    return np.fromiter(font.get_charmap() if font.scalable else (), np.uint32)


def _plainness(path: str) -> tuple[bool, bool, str]:
    name = Path(path).stem
    return "Regular" not in name, "Sans" not in name, path
