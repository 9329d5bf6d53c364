"""Labels that are given to a separator in place of the true ones, to measure what they are worth."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np

Probe = Literal["no_labels", "all_labels", "shuffled_labels", "wrong_label"]
Labels = np.ndarray
"""1.0 for each class that plays, else 0.0, (K,); or for the class of each part, (S, K); float32."""


def probed_labels(probe: str, names: Sequence[str], labels: Sequence[Labels]) -> list[Labels]:
    """The labels that a probe gives for each track of a split, in the tracks' order.

    - "no_labels": nothing plays.
    - "all_labels": everything plays.
    - "shuffled_labels": those of another track of the split in which other sources play.
    - "wrong_label": one source that plays is exchanged for one that does not.

    What is drawn depends on nothing but the track's name and the split.

    Args:
        probe: one of `PROBES`.
        names: the tracks' names.
        labels: their true labels.

    Raises:
        ValueError: if there is no other track or no other source to take labels from.
    """
    return [PROBES[probe](name, true, labels) for name, true in zip(names, labels, strict=True)]


def _no_labels(name: str, true: Labels, labels: Sequence[Labels]) -> Labels:
    return np.zeros_like(true)


def _all_labels(name: str, true: Labels, labels: Sequence[Labels]) -> Labels:
    return np.ones_like(true)


def _shuffled_labels(name: str, true: Labels, labels: Sequence[Labels]) -> Labels:
    others = [other for other in labels if other.shape == true.shape and not np.array_equal(other, true)]
    if not others:
        raise ValueError("shuffled_labels: expected tracks with different sources. Received: the same in all tracks")
    return others[_draws(name).integers(len(others))]


def _wrong_label(name: str, true: Labels, labels: Sequence[Labels]) -> Labels:
    draws, wrong = _draws(name), true.copy()
    row = wrong[draws.integers(len(wrong))] if wrong.ndim == 2 else wrong
    present, absent = np.flatnonzero(row), np.flatnonzero(row == 0)
    if not (len(present) and len(absent)):
        raise ValueError(
            f"wrong_label: expected a source that plays and one that does not. "
            f"Received: {len(present)} of {len(true)} play in {name}"
        )
    row[draws.choice(present)], row[draws.choice(absent)] = 0, 1
    return wrong


def _draws(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


PROBES: Mapping[str, Callable[[str, Labels, Sequence[Labels]], Labels]] = {
    "no_labels": _no_labels,
    "all_labels": _all_labels,
    "shuffled_labels": _shuffled_labels,
    "wrong_label": _wrong_label,
}
assert PROBES.keys() == {*get_args(Probe)}
