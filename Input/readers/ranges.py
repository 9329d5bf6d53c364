"""Tables of the valid ranges of solo recordings, and the instruments' names in them."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from .layouts import AUDIO_SUFFIXES, clean_name

FRAMES_PER_SECOND = 25  # of the videos that the ranges of Solos count
COLUMNS = ("instrument", "recording", "start_seconds", "end_seconds")
Ranges = dict[tuple[str, str], list[tuple[float, float]]]

# URMP's codes for the names that data sets give their folders, without capitals, spaces and signs.
CODES = {
    "bassoon": "bn",
    "clarinet": "cl",
    "doublebass": "db",
    "contrabass": "db",
    "flute": "fl",
    "horn": "hn",
    "frenchhorn": "hn",
    "oboe": "ob",
    "saxophone": "sax",
    "tuba": "tba",
    "trombone": "tbn",
    "trumpet": "tpt",
    "viola": "va",
    "cello": "vc",
    "violoncello": "vc",
    "violin": "vn",
}


def instrument_code(name: str) -> str:
    """URMP's code of an instrument where it has one, else the name as `clean_name` makes it."""
    clean = clean_name(name)
    return CODES.get(clean.replace("_", "").replace("-", ""), clean)


def read_ranges(tables: Sequence[Path]) -> tuple[Ranges, list[str]]:
    """The valid ranges in seconds of each instrument and recording, in order, and a line for every fault.

    Args:
        tables: json files as Solos has them, {instrument: {recording: [[start, end], ...]}} in frames of 25 a second;
            or csv files with the columns instrument, recording, start_seconds, end_seconds.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    ranges: Ranges = defaultdict(list)
    faults = []
    for path in tables:
        if not path.is_file():
            raise FileNotFoundError(f"no such table of ranges: {path}")
        rows = _rows_of_csv(path) if path.suffix.lower() == ".csv" else _rows_of_json(path)
        try:
            for instrument, recording, spans in rows:
                key = instrument_code(instrument), _without_ending(recording)
                ranges[key] += [span for span in spans if span not in ranges[key]]
                faults += [
                    f"{path}: {instrument}/{recording}: expected 0 <= start < end. Received: {start:g} s, {end:g} s"
                    for start, end in spans
                    if not 0 <= start < end < float("inf")
                ]
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            expected = (
                ", ".join(COLUMNS) if path.suffix.lower() == ".csv" else "{instrument: {recording: [[start, end]]}}"
            )
            faults.append(f"{path} is no table of ranges: expected {expected} ({error})")
    return {key: sorted(spans) for key, spans in ranges.items()}, faults


def _rows_of_json(path: Path) -> Iterable[tuple[str, str, list[tuple[float, float]]]]:
    for instrument, recordings in json.loads(path.read_text()).items():
        for recording, spans in recordings.items():
            yield instrument, recording, [(start / FRAMES_PER_SECOND, end / FRAMES_PER_SECOND) for start, end in spans]


def _rows_of_csv(path: Path) -> Iterable[tuple[str, str, list[tuple[float, float]]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if missing := set(COLUMNS) - set(rows.fieldnames or ()):
            raise ValueError(f"no column {', '.join(sorted(missing))}")
        for row in rows:
            yield row["instrument"], row["recording"], [(float(row["start_seconds"]), float(row["end_seconds"]))]


def _without_ending(recording: str) -> str:
    """A table may name the file or the recording."""
    path = Path(recording)
    return path.stem if path.suffix.lower() in AUDIO_SUFFIXES else path.name
