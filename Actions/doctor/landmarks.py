"""Landmarks of a recording: moments that stay what they are when it is scaled, inverted, shifted or cut.

A landmark is a peak that no other exceeds within a tenth of a second. The distances between neighbours name it; two
recordings that share the same names, always at the same distance in time, are worth a comparison.
"""

from collections.abc import Sequence

from Input.prepared import Part, Prepared, Track

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

REACH_SECONDS = 0.1
SMOOTHING_SECONDS = 1 / 4_000  # peaks of a smooth wave keep their order where a shift is no whole number of samples
FLOOR = 8  # of 2^15; below, rounding decides what a peak is
BLOCK_SAMPLES = 1 << 19

DISTANCES = 3  # make one name: half a second of music
DISTANCE_STEP = 4  # samples; a peak may move by one
DISTANCE_BITS = 21  # three fit into 63
NEIGHBOURS = 16  # recordings of one name are compared with the next ones, so that a common name costs little
LAG_STEP = 16  # samples
VOTES = 3  # names in common at one lag


def landmarks(prepared: Prepared, track: Track, part: Part) -> np.ndarray:
    """The landmarks of a part, samples from its start: `(N,)`, int64, ascending; about five a second.

    Memory does not grow with the part. Channels are averaged.
    """
    reach = round(REACH_SECONDS * prepared.sample_rate_hz)
    sigma = SMOOTHING_SECONDS * prepared.sample_rate_hz
    margin = reach + round(4 * sigma) + 2
    found = [np.zeros(0, np.int64)]
    for start in range(0, track.samples, BLOCK_SAMPLES):
        samples = min(BLOCK_SAMPLES, track.samples - start)
        pcm = prepared.read_pcm(part, start - margin, samples + 2 * margin)
        heights = _peaks(np.abs(gaussian_filter1d(pcm.mean(axis=1), sigma)))
        highest = (heights > FLOOR) & (heights == maximum_filter1d(heights, 2 * reach + 1))
        found.append(start + np.flatnonzero(highest[margin : margin + samples]))
    return np.concatenate(found)


def _peaks(wave: np.ndarray) -> np.ndarray:
    """The height of each local maximum, that of the parabola through its three samples; elsewhere 0."""
    before, at, after = wave[:-2], wave[1:-1], wave[2:]
    peaks = np.flatnonzero((at >= before) & (at > after))
    before, at, after = before[peaks], at[peaks], after[peaks]
    heights = np.zeros_like(wave)
    heights[peaks + 1] = at + (after - before) ** 2 / (8 * (2 * at - before - after))
    return heights


def meetings(
    marks: Sequence[np.ndarray], checksums: Sequence[str], families: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Pairs of recordings of different families that may be the same: (first, second, lag), first < second.

    Sample n of the first is sample n + lag of the second. Time and memory grow with the number of landmarks, not with
    the number of pairs.

    Args:
        marks: the landmarks of each recording.
        checksums: of each recording's file, in hexadecimal; equal ones meet however short the recordings are.
        families: a number for each recording; those of one family are not compared.
    """
    names, owners, moments = _sorted_names(marks, checksums)
    family_of = np.asarray(families)
    rows = [np.zeros((0, 3), np.int64)]
    for step in range(1, NEIGHBOURS + 1):
        first, second = owners[:-step], owners[step:]
        met = (names[:-step] == names[step:]) & (family_of[first] != family_of[second])
        rows.append(np.stack([first[met], second[met], (moments[step:] - moments[:-step])[met]], axis=1))
    return _best_lags(np.concatenate(rows))


def _sorted_names(marks: Sequence[np.ndarray], checksums: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names, the recording of each and its moment there, sorted in this order; a recording's first of each name."""
    names = [np.zeros(0, np.int64)]
    owners, moments = names.copy(), names.copy()
    for number, (found, checksum) in enumerate(zip(marks, checksums, strict=True)):
        if len(found):  # silence is nobody's
            whole = int(checksum[:15], 16) + np.arange(VOTES)
            of_distances = _names(found)
            names += [of_distances, whole]
            moments += [found[: len(of_distances)], np.zeros(VOTES, np.int64)]
            owners.append(np.full(len(of_distances) + VOTES, number))
    name, owner, moment = map(np.concatenate, (names, owners, moments))
    order = np.lexsort((moment, owner, name))
    name, owner, moment = name[order], owner[order], moment[order]
    first = np.ones(len(name), bool)
    first[1:] = (name[1:] != name[:-1]) | (owner[1:] != owner[:-1])
    return name[first], owner[first], moment[first]


def _names(found: np.ndarray) -> np.ndarray:
    """The name of each landmark that enough others follow: the next distances, in one integer."""
    distances = np.minimum(np.diff(found) // DISTANCE_STEP, (1 << DISTANCE_BITS) - 1)
    names = np.zeros(max(0, len(distances) - DISTANCES + 1), np.int64)
    for n in range(DISTANCES):
        names = (names << DISTANCE_BITS) | distances[n : n + len(names)]
    return names


def _best_lags(rows: np.ndarray) -> list[tuple[int, int, int]]:
    """Of rows (first, second, lag): for each pair the lag that most rows agree in, where enough do."""
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
    steps = np.column_stack([rows[:, :2], rows[:, 2] // LAG_STEP])
    _, starts, counts = np.unique(steps, axis=0, return_index=True, return_counts=True)
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for start, count in zip(starts[counts >= VOTES].tolist(), counts[counts >= VOTES].tolist(), strict=True):
        first, second, lag = rows[start + count // 2].tolist()  # the median
        best[first, second] = max(best.get((first, second), (0, 0)), (count, lag))
    return [(first, second, lag) for (first, second), (_, lag) in sorted(best.items())]
