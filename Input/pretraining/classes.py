"""AudioSet and YouTube-8M as files: which class is which of our instruments, the segments, whether records are whole.

Source: Gemmeke et al. 2017, "Audio Set", and its ontology; Abu-El-Haija et al. 2016, "YouTube-8M".
"""

import csv
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..instruments import INSTRUMENTS

# Classes of AudioSet's ontology by mid. It has neither tuba nor viola, and of oboe, bassoon and the two saxophones no
# clip was released. Families (brass, strings, woodwind) and playing (pizzicato) name no instrument; a cornet is none.
INSTRUMENT_OF_MID = {
    "/m/01c3q": "bn",
    "/m/01wy6": "cl",
    "/m/02fsn": "db",
    "/m/0l14j_": "fl",
    "/m/0319l": "hn",
    "/m/05kms": "ob",
    "/m/06ncr": "sax",
    "/m/02pprs": "sax",  # alto
    "/m/03t22m": "sax",  # soprano
    "/m/07c6l": "tbn",
    "/m/07gql": "tpt",
    "/m/01xqw": "vc",
    "/m/07y_7": "vn",
}

# Classes of YouTube-8M by name, in small letters. Its vocabulary changed from year to year; what a year lacks is empty.
INSTRUMENT_OF_NAME = {
    "bassoon": "bn",
    "clarinet": "cl",
    "bass clarinet": "cl",
    "double bass": "db",
    "flute": "fl",
    "western concert flute": "fl",
    "french horn": "hn",
    "oboe": "ob",
    "saxophone": "sax",
    "soprano saxophone": "sax",
    "alto saxophone": "sax",
    "tenor saxophone": "sax",
    "baritone saxophone": "sax",
    "tuba": "tba",
    "trombone": "tbn",
    "trumpet": "tpt",
    "viola": "va",
    "cello": "vc",
    "violin": "vn",
    "fiddle": "vn",
}

FAULTS_SHOWN = 20


@dataclass(frozen=True)
class Classes:
    """The classes of a data set, in the order of their numbers.

    Attributes:
        ids: what each of the K classes is called in the data set's own files: AudioSet's mid, YouTube-8M's name.
        labels: (K, 13) float32, 1.0 where the class is that instrument of `instruments.INSTRUMENTS`, else 0.0.
    """

    ids: tuple[str, ...]
    labels: np.ndarray


@dataclass(frozen=True)
class Segment:
    """A stretch of a YouTube video, from `start_seconds` to `end_seconds`, and those of our instruments heard in it."""

    video_id: str
    start_seconds: float
    end_seconds: float
    instruments: tuple[str, ...]


def audioset_classes(path: Path) -> Classes:
    """AudioSet's classes, from `class_labels_indices.csv` (index, mid, display_name).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: one line for each broken row, or if none of the classes is one of our instruments.
    """
    return _classes(path, ("index", "mid"), INSTRUMENT_OF_MID)


def youtube8m_classes(path: Path) -> Classes:
    """YouTube-8M's classes, from its `vocabulary.csv` (Index, TrainVideoCount, KnowledgeGraphId, Name, ...).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: one line for each broken row, or if none of the classes is one of our instruments.
    """
    return _classes(path, ("Index", "Name"), INSTRUMENT_OF_NAME)


def audioset_segments(path: Path, classes: Classes) -> list[Segment]:
    """The segments of one of AudioSet's csv files in which at least one of our instruments is heard, in its order.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: one line for each broken row or unknown class, or if our instruments are in no segment.
    """
    numbers = {mid: number for number, mid in enumerate(classes.ids)}
    segments, faults = [], []
    for line, cells in _rows(path):
        try:
            segments.append(_segment(cells, numbers, classes))
        except ValueError as error:
            faults.append(f"{path}, line {line}: {error}")
    raise_faults(faults)
    if not (ours := [segment for segment in segments if segment.instruments]):
        raise ValueError(f"{path}: none of its {len(segments)} segments has one of {', '.join(INSTRUMENTS)}")
    return ours


def dequantised(levels: Any) -> Any:
    """Features from their 8 bits: 0 to 255 become -2 to 2, and half a step more because quantising rounded down.

    The same for both data sets: AudioSet's embeddings were whitened, clipped to -2 to 2 and quantised to be like those
    of YouTube-8M. They have no unit.

    Args:
        levels: an array or tensor of floats, of any shape.
    """
    return levels * (4 / 255) + (4 / 512 - 2)


def check_records(paths: Sequence[Path]) -> None:
    """Walks from record to record of each TFRecord file by their lengths, without reading what is in them.

    Raises:
        FileNotFoundError: if there is no file at all, or one is missing.
        ValueError: one line for each file that is empty, cut short or no TFRecord.
    """
    if not paths:
        raise FileNotFoundError("expected TFRecord files; received none (is the folder or the pattern right?)")
    for path in paths:
        _check_is_file(path)
    raise_faults([f"{path} {fault}" for path in paths if (fault := _broken(path))])


def raise_faults(faults: Sequence[str]) -> None:
    """Raises one ValueError with a line for each fault, up to FAULTS_SHOWN of them; does nothing if there is none."""
    if faults:
        more = [f"and {len(faults) - FAULTS_SHOWN} more"] if len(faults) > FAULTS_SHOWN else []
        raise ValueError("\n".join([*faults[:FAULTS_SHOWN], *more]))


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that is neither blank nor a comment."""
    _check_is_file(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, skipinitialspace=True, strict=True)
        try:
            for cells in reader:
                if cells and not cells[0].startswith("#"):
                    yield reader.line_num, cells
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}, line {reader.line_num}: expected csv in UTF-8 ({error})") from None


def _classes(path: Path, columns: tuple[str, str], instrument_of: Mapping[str, str]) -> Classes:
    """Reads number and id of each class from the columns of these names."""
    rows = _rows(path)
    line, header = next(rows, (1, []))
    if missing := [column for column in columns if column not in header]:
        raise ValueError(f"{path}, line {line}: expected the column {missing[0]}. Received: {', '.join(header)}")
    index, name = (header.index(column) for column in columns)
    ids, faults, number = [], [], 0
    for line, cells in rows:
        if len(cells) != len(header):
            faults.append(f"{path}, line {line}: expected {len(header)} cells, received {len(cells)}")
        elif cells[index] != str(number):
            faults.append(f"{path}, line {line}: expected class {number}, received '{cells[index]}'")
            number = int(cells[index]) if cells[index].isdecimal() else number
        else:
            ids.append(cells[name])
        number += 1
    raise_faults(faults)
    labels = np.array([[instrument_of.get(id.lower()) == one for one in INSTRUMENTS] for id in ids], np.float32)
    if not labels.any():
        raise ValueError(f"{path}: none of its {len(ids)} classes is one of {', '.join(INSTRUMENTS)}")
    return Classes(tuple(ids), labels)


def _segment(cells: list[str], numbers: Mapping[str, int], classes: Classes) -> Segment:
    if len(cells) != 4 or not cells[0]:
        raise ValueError(f'expected id, start, end, "mid,mid,...". Received: {", ".join(cells)}')
    try:
        start, end = float(cells[1]), float(cells[2])
    except ValueError:
        start = end = math.nan
    if not 0 <= start < end < math.inf:
        raise ValueError(f"expected start and end in seconds, received {cells[1]} and {cells[2]}")
    mids = cells[3].split(",")
    if unknown := [mid for mid in mids if mid not in numbers]:
        raise ValueError(f"unknown class '{unknown[0]}'")
    heard = classes.labels[[numbers[mid] for mid in mids]].any(axis=0)
    return Segment(cells[0], start, end, tuple(np.array(list(INSTRUMENTS))[heard].tolist()))


def _broken(path: Path) -> str | None:
    """What is wrong with the file: a record is its length (8 bytes), a checksum (4), the content, a checksum (4)."""
    size, end = path.stat().st_size, 0
    with path.open("rb") as file:
        while end < size:
            file.seek(end)
            start, header = end, file.read(12)
            end += 16 + struct.unpack("<Q", header[:8])[0] if len(header) == 12 else size + 1
    if size == 0:
        return "is empty"
    if end > size:
        return f"is cut short after {start} of its {size} bytes" if start else "is no TFRecord, or only a piece of one"
    return None
