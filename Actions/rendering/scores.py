"""The pool of scores, and the fitting of a score's lines to a line-up of instruments."""

import json
import lzma
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from Input.instruments import INSTRUMENTS

import numpy as np

from .bank import PACK

QUARTER_TICKS = 24
MARKED_TEMPOS_BPM = (30.0, 240.0)
OCTAVES = (0, 12, -12, 24, -24, 36, -36)
# Which lines of a score n players may take, from the top. Outer voices carry the piece; neighbouring voices suit
# players of one range, one of whom would otherwise play the bass two octaves higher.
LINES_TAKEN = {
    1: ((0,),),
    2: ((0, -1), (0, 1)),
    3: ((0, 1, -1), (0, 1, 2)),
    4: ((0, 1, -2, -1),),
    5: ((0, 1, 2, -2, -1),),
}


class ScoreNote(NamedTuple):
    """A written note. Marks: `s` staccato, `t` tenuto, `a` accent, `^` fermata, `(` and `)` begin and end a slur."""

    onset_quarters: float
    duration_quarters: float
    pitch: int
    velocity: int
    marks: str


Line = tuple[ScoreNote, ...]


@dataclass(frozen=True)
class Score:
    """A composition. Two scores of one `group` share a tune or a work, so a split must keep them together.

    `rows` are its lines as the pack stores them. They become notes when they are first asked for, because making
    notes of the whole pool would take longer than the rest of a plan.
    """

    name: str
    group: str
    tempo_bpm: float | None
    length_quarters: float
    rows: list[list[list]]

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The notes of each line, from the highest voice to the lowest."""
        return tuple(
            tuple(ScoreNote(on / QUARTER_TICKS, length / QUARTER_TICKS, *rest) for on, length, *rest in line)
            for line in self.rows
        )

    @property
    def composer(self) -> str:
        """The folder that the score lay in."""
        return self.name.split("/")[0]

    @property
    def title(self) -> str:
        """The name as one word, because URMP's folder names use the underscore as a separator."""
        words = self.name.removesuffix(".mxl").replace(".", "n").replace("-", "n").replace("_", "/").split("/")
        return "".join(word[:1].upper() + word[1:] for word in words)


class Fit(NamedTuple):
    """The semitones each line moves by so that its instrument can play it, and how unwelcome that is."""

    cost: float
    shifts: tuple[int, ...]


@lru_cache(maxsize=1)
def score_pool() -> tuple[Score, ...]:
    """Every score of the pack, in the order of the file."""
    with lzma.open(PACK / "scores.json.xz", "rt") as file:
        return tuple(_score(row) for row in json.load(file))


def taken_lines(score: Score, parts: int) -> list[tuple[Line, ...]]:
    """The choices of lines that `parts` players may take, each from the highest voice to the lowest."""
    return [tuple(score.lines[i] for i in choice) for choice in LINES_TAKEN[parts]]


def segment(line: Line, first_quarter: float, last_quarter: float, length_quarters: float) -> Line:
    """The notes between two quarters, counted from the first; a line that ends sooner starts again as a new verse."""
    notes = []
    for verse in range(int(last_quarter // length_quarters) + 1):
        first, last = first_quarter - verse * length_quarters, last_quarter - verse * length_quarters
        # One more to the left: the note that began before the first quarter and still sounds.
        for note in line[max(0, _index(line, first) - 1) : _index(line, last)]:
            begin, end = max(note.onset_quarters, first), min(note.onset_quarters + note.duration_quarters, last)
            if end - begin >= min(0.25, note.duration_quarters):
                notes.append(note._replace(onset_quarters=begin - first, duration_quarters=end - begin))
    return tuple(notes)


def fit(lines: Sequence[Line], lineup: Sequence[str]) -> Fit:
    """The common transposition, and the octave for each line, that leave the fewest notes out of range."""
    histograms = [np.bincount([note.pitch for note in line], minlength=128) for line in lines]
    return min(_transposed_fit(histograms, lineup, semitones) for semitones in range(-6, 7))


def transpose(line: Line, semitones: int, instrument: str) -> Line:
    """A line moved by some semitones; a note still out of the instrument's range moves on by octaves."""
    return tuple(note._replace(pitch=_in_range(note.pitch + semitones, instrument)) for note in line)


def _score(row: dict) -> Score:
    end = max(line[-1][0] + line[-1][1] for line in row["p"]) / QUARTER_TICKS
    slowest, fastest = MARKED_TEMPOS_BPM
    tempos = [bpm for _, bpm in row["bpm"] if slowest <= bpm <= fastest]
    return Score(row["f"], row["g"], float(np.median(tempos)) if tempos else None, max(row["q"], end), row["p"])


def _index(line: Line, quarter: float) -> int:
    return bisect_left(line, quarter, key=lambda note: note.onset_quarters)


def _transposed_fit(histograms: Sequence[np.ndarray], lineup: Sequence[str], semitones: int) -> Fit:
    choices = [
        min((_unplayable(histogram, semitones + octave, code), abs(octave), semitones + octave) for octave in OCTAVES)
        for histogram, code in zip(histograms, lineup, strict=True)
    ]
    unplayable = sum(notes for notes, _, _ in choices)
    octaves = sum(distance for _, distance, _ in choices) / 12
    return Fit(3.0 * unplayable + octaves + 0.4 * abs(semitones), tuple(shift for _, _, shift in choices))


def _unplayable(histogram: np.ndarray, semitones: int, code: str) -> int:
    instrument = INSTRUMENTS[code]
    low = max(0, instrument.lowest_pitch - semitones)
    return int(histogram.sum() - histogram[low : max(low, instrument.highest_pitch - semitones + 1)].sum())


def _in_range(pitch: int, code: str) -> int:
    instrument = INSTRUMENTS[code]
    while pitch < instrument.lowest_pitch:
        pitch += 12
    while pitch > instrument.highest_pitch:
        pitch -= 12
    return pitch
