"""Rendering the planned pieces, in parallel and resumable."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from Files import OWN, Output, require_name, whole_file
from Input.instruments import INSTRUMENTS
from Input.workers import in_parallel

import numpy as np

from .bank import BANKS, PACK
from .performance import perform, player, seconds_of_quarters
from .plan import Piece, plan_pieces
from .room import place, room_responses
from .sampler import play
from .splits import URMP_LINEUPS
from .urmp_folder import folder_name, midi_score, part_name, piece_files, write_piece

METADATA = "metadata.json"
LICENSES = "LICENSES.md"
ARGUMENTS = ".synthetic.json"
BANK_CHOICES = (*BANKS, "both")
FEWEST_PIECES = 4
SHORTEST_SECONDS = 5.0
SAMPLE_RATES_HZ = (4000, 96000)
LARGEST_LINEUP = 5
# Raised whenever the same arguments begin to give other bytes, so that an old folder is not finished with new sounds.
RECIPE = 1


def render_dataset(
    out: Path,
    *,
    pieces: int = 44,
    seconds: float = 30.0,
    sample_rate_hz: int = 22050,
    seed: int = 0,
    bank: str = "b",
    lineups: Sequence[str] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Renders the embedded data set into the folder `out`, in the layout of URMP.

    Each piece is a folder `<NN>_<Title>_<instruments>` with a mixture, its parts (mono, 16 bit; they sum to the mixture
    exactly), the pitch tracks and notes that were really played, and the score. `metadata.json`, written last, lists
    the pieces with their group, bank, split and seed; pieces of one group (a tune or a work) share a split. The same
    arguments give the same bytes for any number of workers, and a call that was interrupted is finished by the same
    call.

    Args:
        out: a new or empty folder, or one that the same call began.
        pieces: how many, at least 4.
        seconds: the length of each piece, at least 5.
        sample_rate_hz: 4000 to 96000.
        seed: another seed gives other music, players and rooms.
        bank: of recorded notes. With "a" or "b", the splits train, validation and test come from that bank alone and
            test_unseen_bank from the other one. With "both", each piece draws one of the two, so no bank is unseen and
            there is no such split. Bank a has no oboe and no viola: what is played on it keeps to the line-ups without.
        lineups: written as in URMP, `vn_vn_va_vc`, of 1 to 5 parts; cycled over the pieces. By default URMP's 44.
        workers: processes; by default one for each core.
        progress: called with (pieces done, pieces in all) after each piece.

    Raises:
        ValueError: an argument is out of its range, the scores do not suffice for so many pieces, the banks cannot play
            the line-ups, or `out` holds something else.
    """
    chosen = _lineups(lineups)
    _check(pieces, seconds, sample_rate_hz, seed, bank, workers)
    out, seconds = Path(out), float(seconds)
    arguments = dict(
        recipe=RECIPE,
        pieces=pieces,
        seconds=seconds,
        sample_rate_hz=sample_rate_hz,
        seed=seed,
        bank=bank,
        lineups=["_".join(lineup) for lineup in chosen],
    )
    _check_folder(out, arguments)
    if _is_complete(out):
        return
    plan = plan_pieces(pieces, seconds, seed, bank, chosen)
    files = {piece.number: piece_files(piece_name(piece, pieces), _part_names(piece, pieces)) for piece in plan}
    output = Output(out)
    output.adopt([METADATA, LICENSES, *(name for names in files.values() for name in names)])
    missing = [piece for piece in plan if not all(map(output.owns, files[piece.number]))]
    output.require_free([METADATA, LICENSES, *(name for piece in missing for name in files[piece.number])])
    output.remove([METADATA])  # the sign of a complete set
    with whole_file(out / ARGUMENTS) as partial:
        partial.write_text(_json(arguments))
    output.write_text(LICENSES, (PACK / LICENSES).read_text(encoding="utf-8"))
    jobs = [(out, pieces, sample_rate_hz, piece) for piece in missing]
    for done, rendered in enumerate(in_parallel(render_piece, jobs, workers), pieces - len(missing) + 1):
        rendered.result()
        if progress:
            progress(done, pieces)
    output.write_text(METADATA, _json([_row(piece, pieces, sample_rate_hz) for piece in plan]))


def piece_name(piece: Piece, pieces: int) -> str:
    """The name of a piece's folder in a data set of so many pieces."""
    return folder_name(_number(piece, pieces), piece.title, piece.lineup)


def render_piece(out: Path, pieces: int, sample_rate_hz: int, piece: Piece) -> None:
    """Plays one piece and writes its folder. All its chance comes from its own seed and number."""
    rng = np.random.default_rng([piece.seed, piece.number])
    clock = seconds_of_quarters(piece.lines, piece.quarters, piece.seconds, rng)
    players = [player(instrument, piece.tuning_cents, rng) for instrument in piece.lineup]
    notes = [perform(line, who, clock, rng) for line, who in zip(piece.lines, players, strict=True)]
    samples = round(piece.seconds * sample_rate_hz)
    dry = [
        play(played, piece.bank, instrument, samples, sample_rate_hz)
        for played, instrument in zip(notes, piece.lineup, strict=True)
    ]
    responses = room_responses(len(dry), piece.reverberation_seconds, sample_rate_hz, rng)
    names, score = _part_names(piece, pieces), midi_score(piece.lines, piece.lineup, piece.tempo_bpm)
    audio = place(dry, responses, rng)
    write_piece(Output(out), piece_name(piece, pieces), names, audio, notes, score, sample_rate_hz)


def _part_names(piece: Piece, pieces: int) -> list[str]:
    number = _number(piece, pieces)
    return [part_name(i, instrument, number, piece.title) for i, instrument in enumerate(piece.lineup, start=1)]


def _lineups(names: Sequence[str] | None) -> list[tuple[str, ...]]:
    if names is None:
        return list(URMP_LINEUPS)
    if not names:
        raise ValueError("lineups: expected at least one such as vn_vc, received none")
    return [_lineup(name) for name in names]


def _lineup(name: str) -> tuple[str, ...]:
    lineup = tuple(name.split("_"))
    for instrument in lineup:
        if instrument not in INSTRUMENTS:
            raise ValueError(
                f"lineups: expected instruments out of {' '.join(INSTRUMENTS)} joined by _, received {instrument!r} "
                f"in {name!r}"
            )
    if len(lineup) > LARGEST_LINEUP:
        raise ValueError(f"lineups: expected 1 to {LARGEST_LINEUP} instruments, received {len(lineup)} in {name!r}")
    return lineup


def _check(pieces: int, seconds: float, sample_rate_hz: int, seed: int, bank: str, workers: int | None) -> None:
    if bank not in BANK_CHOICES:
        raise ValueError(f"bank: expected one of {', '.join(BANK_CHOICES)}, received {bank!r}")
    if pieces < FEWEST_PIECES:
        raise ValueError(f"pieces: expected at least {FEWEST_PIECES}, one for each split, received {pieces}")
    if not SHORTEST_SECONDS <= seconds < float("inf"):
        raise ValueError(f"seconds: expected at least {SHORTEST_SECONDS:g} a piece, received {seconds:g}")
    lowest, highest = SAMPLE_RATES_HZ
    if not lowest <= sample_rate_hz <= highest:
        raise ValueError(f"sample_rate_hz: expected {lowest} to {highest}, received {sample_rate_hz}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, received {seed}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers: expected at least 1, received {workers}")


def _check_folder(out: Path, arguments: dict[str, object]) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: expected a folder, received a file")
    if not out.exists() or all(path.name == OWN for path in out.iterdir()):
        return
    try:
        made_with = {**json.loads((out / ARGUMENTS).read_text())}
    except (OSError, ValueError, TypeError):
        raise ValueError(
            f"{out}: expected a new or empty folder, or one that the same call began, received one with other files"
        ) from None
    for name, value in arguments.items():
        if made_with.get(name) != value:
            raise ValueError(
                f"{out}: holds a data set made with {name} {made_with.get(name)!r}, received {value!r}; "
                "choose another folder, or remove this one"
            )


def _is_complete(out: Path) -> bool:
    try:
        rows = json.loads((out / METADATA).read_text())
        return all((out / require_name(row["piece"])).is_dir() for row in rows)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _number(piece: Piece, pieces: int) -> str:
    return str(piece.number).zfill(max(2, len(str(pieces))))


def _row(piece: Piece, pieces: int, sample_rate_hz: int) -> dict[str, object]:
    return {
        "piece": piece_name(piece, pieces),
        "group": piece.group,
        "bank": piece.bank,
        "split": piece.split,
        "seed": piece.seed,
        "instruments": list(piece.lineup),
        "score": piece.score,
        "first_quarter": piece.first_quarter,
        "quarters": round(piece.quarters, 3),
        "tempo_bpm": round(piece.tempo_bpm, 2),
        "transposed_semitones": list(piece.shifts),
        "tuning_cents": round(piece.tuning_cents, 2),
        "reverberation_seconds": round(piece.reverberation_seconds, 3),
        "seconds": piece.seconds,
        "sample_rate_hz": sample_rate_hz,
    }


def _json(content: object) -> str:
    return json.dumps(content, indent=1) + "\n"
