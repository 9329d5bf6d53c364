"""Which streams a network can be given beside the mixture, a file a kind; a new one is a file and a line here.

- `kind`: what every kind defines. `labels`: which classes play.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from ..sources import Sources
from .kind import Kind, Stretch
from .labels import Labels

__all__ = ["CONTEXTS", "Kind", "Stretch", "add_part", "inputs", "known"]

CONTEXTS: Mapping[str, Kind] = {"labels": Labels()}
"""Each kind by its name, which is that of its stream, of its array in an example, and of a network's input."""


def inputs(names: Iterable[str], sources: Sources) -> dict[str, tuple[int | None, ...]]:
    """The shapes of contexts as a network receives them, by name: (D,), or (None, D) where they move in time."""
    entries = {name: CONTEXTS[name].entries(sources) for name in names}
    return {name: (d,) if CONTEXTS[name].frames_hz is None else (None, d) for name, d in entries.items()}


def add_part(arrays: Mapping[str, np.ndarray], names: Iterable[str], sources: Sources, row: int, part: Stretch) -> None:
    """Writes what is known of a part that sounds into the arrays of an example, `present` and contexts.

    Args:
        arrays: of the example, by name.
        names: of the contexts that it is given.
        sources: what the axis S is.
        row: which source the part is.
        part: its stretch.
    """
    arrays["present"][row] = 1
    for name in names:
        CONTEXTS[name].add(arrays[name][row] if sources.of_parts else arrays[name], part)


def known(names: Iterable[str], sources: Sources, parts: Iterable[Stretch], seconds: float) -> dict[str, np.ndarray]:
    """What is known of parts that sound together, by the name of a network's input, float32.

    Args:
        names: of the contexts.
        sources: what the axis S is.
        parts: the parts, in their order.
        seconds: how long they sound.

    Returns:
        `present` (S,), 1.0 for each source that has a part, and the contexts (D,) or (F, D), or (S, D) or (S, F, D).

    Raises:
        ValueError: if a part has not the stream of a context, or there are contexts and no part.
    """
    names, parts = list(names), list(parts)
    if names and not parts:
        raise ValueError(f"expected the parts that sound, which {', '.join(names)} follow from. Received: none")
    rows = (len(parts),) if sources.of_parts else ()
    shapes = {name: (*rows, *CONTEXTS[name].shape(sources, seconds)) for name in names}
    shapes["present"] = rows or (len(sources.names),)
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for place, part in enumerate(parts):
        add_part(arrays, names, sources, sources.row(place, part.of_class), part)
    return arrays
