"""What every piece will be, decided before anything is rendered: line-up, bank, split, music, tempo."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .performance import LEAD_SECONDS, TAIL_SECONDS
from .scores import Fit, Line, Score, fit, segment, taken_lines, transpose
from .splits import Lineup, bank_of, lineups_and_splits, scores_of_splits

USUAL_TEMPO_BPM = 80.0
SLOWEST_NOTE_SECONDS, FASTEST_NOTE_SECONDS = 0.75, 0.24
# Candidates tried before the best one is taken, and the cost at which the search is content.
CANDIDATES, GOOD_FIT = 25, 2.5


@dataclass(frozen=True)
class Piece:
    """Everything that a piece is rendered from. `lines` are as written, moved into the instruments' ranges."""

    number: int
    title: str
    lineup: Lineup
    bank: str
    split: str
    group: str
    score: str
    shifts: tuple[int, ...]
    lines: tuple[Line, ...]
    first_quarter: float
    quarters: float
    tempo_bpm: float
    seconds: float
    tuning_cents: float
    reverberation_seconds: float
    seed: int


@dataclass(frozen=True)
class Passage:
    """Some quarters of a score, chosen for a line-up."""

    score: Score
    first_quarter: float
    quarters: float
    tempo_bpm: float
    lines: tuple[Line, ...]
    fit: Fit


def plan_pieces(pieces: int, seconds: float, seed: int, bank: str, lineups: Sequence[Lineup]) -> list[Piece]:
    """Every piece of the data set. Raises ValueError when banks, line-ups or scores do not suffice."""
    rng = np.random.default_rng(seed)
    chosen, splits = lineups_and_splits(pieces, bank, lineups, rng)
    groups = scores_of_splits(splits, rng)
    used: dict[str, list[tuple[float, float]]] = defaultdict(list)
    plan = []
    for i, (lineup, split) in enumerate(zip(chosen, splits, strict=True)):
        passage = _passage(lineup, groups[split], used, seconds, rng)
        if passage is None:
            raise ValueError(
                f"pieces: expected at most as many as the scores allow, received {pieces}; no unused {seconds:g} s of "
                f"music for {'_'.join(lineup)} is left in split {split} at piece {i + 1}; ask for fewer or shorter ones"
            )
        used[passage.score.name].append((passage.first_quarter, passage.first_quarter + passage.quarters))
        plan.append(_piece(i + 1, lineup, bank_of(split, bank, lineup, rng), split, passage, seconds, seed, rng))
    return plan


def _passage(
    lineup: Lineup,
    scores: Sequence[Score],
    used: dict[str, list[tuple[float, float]]],
    seconds: float,
    rng: np.random.Generator,
) -> Passage | None:
    """The best fitting of some unused passages, from the scores that were used least."""
    order = [scores[i] for i in rng.permutation(len(scores)) if len(scores[i].rows) >= len(lineup)]
    wanted = _composer(order, rng)
    order.sort(key=lambda score: (len(used[score.name]), score.composer != wanted))
    best, tried = None, 0
    for score in order:
        passage = _candidate(score, lineup, used[score.name], seconds, rng)
        if passage is None:
            continue
        if best is None or passage.fit.cost < best.fit.cost:
            best = passage
        tried += 1
        if best.fit.cost <= GOOD_FIT or tried == CANDIDATES:
            break
    return best


def _composer(scores: Sequence[Score], rng: np.random.Generator) -> str:
    """A composer, drawn by the root of the number of scores: otherwise nearly all would be Bach's chorales."""
    counts = Counter(score.composer for score in scores)
    weights = np.sqrt(list(counts.values()))
    return str(rng.choice(list(counts), p=weights / weights.sum())) if counts else ""


def _candidate(
    score: Score, lineup: Lineup, used: Sequence[tuple[float, float]], seconds: float, rng: np.random.Generator
) -> Passage | None:
    """An unused passage of the score in which every line has enough to play, or None."""
    choices = taken_lines(score, len(lineup))
    tempo_bpm = _tempo(score, choices[0][0]) * rng.uniform(0.9, 1.12)
    quarters = (seconds - LEAD_SECONDS - TAIL_SECONDS) * tempo_bpm / 60
    # Half a passage apart: with steps of a whole one, passages of different tempi would leave unusable gaps.
    starts = range(0, max(1, int(score.length_quarters - quarters) + 1), max(1, int(quarters / 2)))
    free = [start for start in starts if all(end <= start or start + quarters <= begin for begin, end in used)]
    for start in rng.permutation(free):
        passages = [
            Passage(score, float(start), quarters, tempo_bpm, parts, fit(parts, lineup))
            for parts in (_segments(lines, start, quarters, score.length_quarters) for lines in choices)
            if all(_busy(part, quarters, seconds) for part in parts)
        ]
        if passages:
            return min(passages, key=lambda passage: passage.fit.cost)
    return None


def _segments(lines: Sequence[Line], start: float, quarters: float, length_quarters: float) -> tuple[Line, ...]:
    return tuple(segment(line, start, start + quarters, length_quarters) for line in lines)


def _tempo(score: Score, melody: Line) -> float:
    """The marked tempo, held within what makes the melody's notes neither very long nor very short."""
    quarters = float(np.median([note.duration_quarters for note in melody]))
    slowest, fastest = 60 * quarters / SLOWEST_NOTE_SECONDS, 60 * quarters / FASTEST_NOTE_SECONDS
    return float(np.clip(score.tempo_bpm or USUAL_TEMPO_BPM, slowest, fastest))


def _busy(part: Line, quarters: float, seconds: float) -> bool:
    sounding = sum(note.duration_quarters for note in part)
    return len(part) >= max(3, seconds / 4) and sounding >= 0.4 * quarters


def _piece(
    number: int,
    lineup: Lineup,
    bank: str,
    split: str,
    passage: Passage,
    seconds: float,
    seed: int,
    rng: np.random.Generator,
) -> Piece:
    shifts = passage.fit.shifts
    return Piece(
        number,
        passage.score.title,
        lineup,
        bank,
        split,
        passage.score.group,
        passage.score.name,
        shifts,
        tuple(transpose(*arguments) for arguments in zip(passage.lines, shifts, lineup, strict=True)),
        passage.first_quarter,
        passage.quarters,
        passage.tempo_bpm,
        seconds,
        tuning_cents=float(rng.uniform(-6, 6)),
        reverberation_seconds=float(rng.uniform(0.3, 1.1)),
        seed=seed,
    )
