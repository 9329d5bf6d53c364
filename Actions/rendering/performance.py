"""From written notes to played ones: time, articulation, dynamics, intonation and vibrato."""

from collections.abc import Sequence
from dataclasses import dataclass

from Input.instruments import INSTRUMENTS, Instrument

import numpy as np

from .scores import Line, ScoreNote

LEAD_SECONDS = 0.3
TAIL_SECONDS = 1.2
GRID_QUARTERS = 0.25
SHORTEST_NOTE_SECONDS = 0.04
REFERENCE_VELOCITY = 84
DB_PER_VELOCITY = 0.25


@dataclass(frozen=True)
class PlayedNote:
    """One note as it sounds. Its pitch at any time is `pitch` and `cents_at(seconds since the onset)`."""

    onset_seconds: float
    offset_seconds: float
    pitch: int
    level_db: float
    slurred: bool
    detune_cents: float
    glide_cents: float
    drift_cents: float
    vibrato_rate_hz: float
    vibrato_depth_cents: float
    vibrato_delay_seconds: float
    phase: float

    def cents_at(self, seconds: np.ndarray) -> np.ndarray:
        """Deviation from `pitch` in cents: intonation, the glide into the note, slow drift and vibrato."""
        swell = np.clip((seconds - self.vibrato_delay_seconds) / 0.25, 0, 1)
        vibrato = self.vibrato_depth_cents * swell * np.sin(2 * np.pi * self.vibrato_rate_hz * seconds + self.phase)
        drift = self.drift_cents * np.sin(2 * np.pi * 0.6 * seconds + 2 * self.phase)
        return self.detune_cents + drift + vibrato - self.glide_cents * np.exp(-np.maximum(seconds, 0) / 0.025)


@dataclass(frozen=True)
class Player:
    """The habits of one part's player for one piece."""

    instrument: Instrument
    tuning_cents: float
    lag_seconds: float
    held: float
    legato: float
    vibrato_rate_hz: float
    vibrato_depth_cents: float
    phrase_quarters: float
    phrase_phase: float


def player(code: str, tuning_cents: float, rng: np.random.Generator) -> Player:
    """A player of the instrument, a little different each time."""
    instrument = INSTRUMENTS[code]
    return Player(
        instrument,
        tuning_cents + _bounded_normal(rng, 2.5),
        lag_seconds=_bounded_normal(rng, 0.008),
        held=rng.uniform(0.84, 0.96),
        legato=instrument.legato * rng.uniform(0.4, 1.6),
        vibrato_rate_hz=instrument.vibrato_rate_hz * rng.uniform(0.9, 1.1),
        vibrato_depth_cents=instrument.vibrato_depth_cents * rng.uniform(0.6, 1.3),
        phrase_quarters=float(rng.choice([8, 12, 16])),
        phrase_phase=rng.uniform(-0.1, 0.1),
    )


def seconds_of_quarters(
    lines: Sequence[Line], quarters: float, seconds: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The common time of all players: a grid of quarters and the second at which each falls.

    The tempo wanders by some per cent, holds at fermatas and broadens over the last four quarters; the first note comes
    LEAD_SECONDS after the start and the last ends TAIL_SECONDS before the end.
    """
    grid = np.arange(0, quarters + GRID_QUARTERS, GRID_QUARTERS)
    grid[-1] = quarters
    knots = np.arange(0, quarters + 8, 4)
    slowness = 1 + np.clip(0.03 * np.interp(grid[:-1], knots, rng.standard_normal(len(knots))), -0.08, 0.08)
    for onset, end in {span for line in lines for span in _fermatas(line)}:
        slowness[(grid[:-1] >= onset) & (grid[:-1] < end)] *= 1.3
    slowness *= 1 + 0.3 * np.clip((grid[:-1] - quarters + 4) / 4, 0, 1) ** 2
    elapsed = np.concatenate([[0.0], np.cumsum(slowness * np.diff(grid))])
    return grid, LEAD_SECONDS + elapsed * (seconds - LEAD_SECONDS - TAIL_SECONDS) / elapsed[-1]


def perform(
    line: Line, player: Player, clock: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> list[PlayedNote]:
    """The line as its player plays it, one note at a time and none overlapping the next."""
    onsets = np.interp([note.onset_quarters for note in line], *clock)
    ends = np.interp([note.onset_quarters + note.duration_quarters for note in line], *clock)
    onsets += player.lag_seconds + np.clip(rng.normal(0, 0.010, len(line)), -0.025, 0.025)
    for i in range(1, len(onsets)):
        onsets[i] = max(onsets[i], onsets[i - 1] + SHORTEST_NOTE_SECONDS)
    slurred = _slurs(line, player, rng)
    notes = []
    for i, note in enumerate(line):
        following = onsets[i + 1] if i + 1 < len(line) else np.inf
        end = onsets[i] + max((ends[i] - onsets[i]) * _held(note, player, rng), SHORTEST_NOTE_SECONDS)
        if i + 1 < len(line) and (slurred[i + 1] or end > following):
            end = following
        notes.append(_played(note, onsets[i], end, slurred[i], player, rng))
    return notes


def _bounded_normal(rng: np.random.Generator, deviation: float) -> float:
    return float(np.clip(rng.normal(0, deviation), -2 * deviation, 2 * deviation))


def _fermatas(line: Line) -> list[tuple[float, float]]:
    return [(note.onset_quarters, note.onset_quarters + note.duration_quarters) for note in line if "^" in note.marks]


def _held(note: ScoreNote, player: Player, rng: np.random.Generator) -> float:
    """The share of its written length that a detached note sounds."""
    if "s" in note.marks:
        return rng.uniform(0.45, 0.6)
    if "t" in note.marks:
        return 0.98
    return player.held * rng.uniform(0.96, 1.03)


def _slurs(line: Line, player: Player, rng: np.random.Generator) -> list[bool]:
    """For each note whether it is slurred to the one before: by the score's slurs, or by the player's own habit."""
    slurred, depth = [], 0
    for i, note in enumerate(line):
        before = line[i - 1] if i else None
        adjoins = before is not None and note.onset_quarters - before.onset_quarters - before.duration_quarters < 0.02
        possible = (
            adjoins and before is not None and before.pitch != note.pitch and "s" not in before.marks + note.marks
        )
        habit = rng.random() < player.legato
        slurred.append(bool(possible and (depth > 0 or habit) and not (before and "^" in before.marks)))
        depth = max(0, depth + note.marks.count("(") - note.marks.count(")"))
    return slurred


def _played(
    note: ScoreNote, onset: float, end: float, slurred: bool, player: Player, rng: np.random.Generator
) -> PlayedNote:
    phrase = np.sin(np.pi * ((note.onset_quarters / player.phrase_quarters + player.phrase_phase) % 1))
    level_db = DB_PER_VELOCITY * (note.velocity - REFERENCE_VELOCITY) + 4 * phrase + rng.normal(0, 0.8)
    return PlayedNote(
        onset_seconds=float(onset),
        offset_seconds=float(end),
        pitch=note.pitch,
        level_db=float(np.clip(level_db, -15, 9)) - (1.0 if slurred else 0.0),
        slurred=slurred,
        detune_cents=player.tuning_cents + _bounded_normal(rng, 4),
        glide_cents=player.instrument.glide_cents * rng.uniform(0.3, 1) * (1.0 if slurred else 0.35),
        drift_cents=_bounded_normal(rng, 2),
        vibrato_rate_hz=player.vibrato_rate_hz * rng.uniform(0.95, 1.05),
        vibrato_depth_cents=player.vibrato_depth_cents * rng.uniform(0.6, 1.2),
        vibrato_delay_seconds=rng.uniform(0.06, 0.25),
        phase=rng.uniform(0, 2 * np.pi),
    )
