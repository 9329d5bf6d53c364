"""Contexts that a separator is given in place of the true ones, to measure what they are worth."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np

Probe = Literal["no_labels", "all_labels", "shuffled_labels", "wrong_label"]
"""A kind of `KINDS` and the context that it changes."""

Context = np.ndarray
"""Of a track: (D,), or (F, D) where it moves in time; with an axis S before these where it is of each source; float32.

Labels are 1.0 for each class that plays, else 0.0, (K,); or for the class of each part, (S, K).
"""


def context_of(probe: str) -> str:
    """The context that a probe changes: `labels` for `no_labels` and for `wrong_label`."""
    context = probe.partition("_")[2]
    return "labels" if context == "label" else context


def probed(probe: str, names: Sequence[str], contexts: Sequence[Mapping[str, Context]]) -> list[dict[str, Context]]:
    """What a separator is given for each track of a split in a probe, in the tracks' order.

    - `no`: zeros.
    - `shuffled`: what another track of the split has, of the same shape and not the same.
    - `shifted`: the same, later by half of its length; what is beyond the end comes first. Of what moves in time.
    - `all`, of labels: everything plays.
    - `wrong`, of labels: one source that plays is exchanged for one that does not.

    What is drawn depends on nothing but the track's name and the split.

    Args:
        probe: a kind, an underscore and the name of a context: one of `Probe`.
        names: the tracks' names.
        contexts: the true contexts of each track, by name.

    Returns:
        The contexts by name, of which one is changed.

    Raises:
        ValueError: if there is no other track or no other source to take it from, or it does not move.
    """
    change, context = KINDS[probe.partition("_")[0]], context_of(probe)
    true = [of_track[context] for of_track in contexts]
    changed = [change(probe, name, one, true) for name, one in zip(names, true, strict=True)]
    return [{**of_track, context: one} for of_track, one in zip(contexts, changed, strict=True)]


def _none(probe: str, name: str, true: Context, contexts: Sequence[Context]) -> Context:
    return np.zeros_like(true)


def _all(probe: str, name: str, true: Context, contexts: Sequence[Context]) -> Context:
    return np.ones_like(true)


def _shuffled(probe: str, name: str, true: Context, contexts: Sequence[Context]) -> Context:
    others = [other for other in contexts if other.shape == true.shape and not np.array_equal(other, true)]
    if not others:
        of = "sources" if context_of(probe) == "labels" else context_of(probe)
        raise ValueError(f"{probe}: expected tracks with different {of}. Received: the same in all tracks")
    return others[_draws(name).integers(len(others))]


def _shifted(probe: str, name: str, true: Context, contexts: Sequence[Context]) -> Context:
    if true.ndim < 2 or context_of(probe) == "labels":
        raise ValueError(f"{probe}: expected a context that moves in time. Received: {true.shape} in {name}")
    return np.roll(true, true.shape[-2] // 2, axis=-2)


def _wrong(probe: str, name: str, true: Context, contexts: Sequence[Context]) -> Context:
    draws, wrong = _draws(name), true.copy()
    row = wrong[draws.integers(len(wrong))] if wrong.ndim == 2 else wrong
    present, absent = np.flatnonzero(row), np.flatnonzero(row == 0)
    if not (len(present) and len(absent)):
        raise ValueError(
            f"{probe}: expected a source that plays and one that does not. "
            f"Received: {len(present)} of {len(true)} play in {name}"
        )
    row[draws.choice(present)], row[draws.choice(absent)] = 0, 1
    return wrong


def _draws(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


KINDS: Mapping[str, Callable[[str, str, Context, Sequence[Context]], Context]] = {
    "no": _none,
    "all": _all,
    "shuffled": _shuffled,
    "shifted": _shifted,
    "wrong": _wrong,
}
"""What may be done with a context."""
assert all(probe.partition("_")[0] in KINDS for probe in get_args(Probe))
