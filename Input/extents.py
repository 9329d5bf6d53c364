"""Where the sound in a file lies: samples whose number a header gives wrongly, and the streams of an Ogg file.

A recorder that crashed, a pipe and a file of more than 4 GiB leave a size that is too small, or a number that stands
for an unknown one. Chunks that follow the sound show that its size is right; anything else that follows is sound.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

# What writers that cannot go back leave for a size of 32 bits, less what some take off to leave whole frames: 2 GiB
# (SoX, arecord; for aiff 16 MiB less) or the largest number (FFmpeg, LAME).
STREAMED = (range(0x7EFFFFC0, 0x7F000009), range(0x7FFFEFC0, 0x80000001), range(0xFFFF0000, 0x100000000))

# Chunks by whose name alone, though they may be cut, it is known that the sound is over.
ID3V1_BYTES = 128
AFTER_SOUND = frozenset(
    name.ljust(4).encode()
    for name in "LIST list fact cue smpl inst plst bext iXML axml chna id3 ID3 afsp PEAK cart DISP acid strc _PMX JUNK "
    "junk FLLR PAD minf elm1 regn umid levl LGWV ResU SyLp COMM MARK INST COMT NAME AUTH (c) ANNO AESD APPL MIDI FVER "
    "free info strg mark midi uuid".split()
)
OGG_HEADER_BYTES = 27


class SoundBytes(NamedTuple):
    """The bytes of a file's samples, `start` to `end`, how many the header declares, and the format's byte order.

    `declared` is negative where the header states that their number is unknown.
    """

    start: int
    end: int
    declared: int
    endian: str

    @property
    def surplus(self) -> int:
        """How many more bytes there are than declared; 0 or less where the header is right or gives no number."""
        return self.end - self.start - self.declared if self.declared >= 0 else 0


class Slice:
    """The bytes `start` to `end` of a file, as a file of their own to be read."""

    def __init__(self, file: BinaryIO, start: int, end: int):
        self.file, self.start, self.end = file, start, end
        file.seek(start)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a place counted from the slice's start, the present one or the end; returns it from the start."""
        origin = {os.SEEK_SET: self.start, os.SEEK_CUR: self.file.tell(), os.SEEK_END: self.end}[whence]
        return self.file.seek(origin + offset) - self.start

    def tell(self) -> int:
        """The present place from the slice's start."""
        return self.file.tell() - self.start

    def read(self, size: int) -> bytes:
        """The next bytes, fewer at the end."""
        return self.file.read(max(0, min(size, self.end - self.file.tell())))


class _Layout(NamedTuple):
    """How a format lays out its chunks."""

    first: int  # where the first one begins
    name_bytes: int
    size: str  # the form of its size, for `struct`
    counted: int  # bytes of its own beginning that its size counts
    multiple: int  # each begins at a multiple of so many bytes
    sound: bytes  # how the name of the one with the samples begins
    before: int  # bytes in it before them


_RIFF = _Layout(12, 4, "<I", 0, 2, b"data", 0)
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _RIFF._replace(size=">I"),
    b"FORM": _Layout(12, 4, ">I", 0, 2, b"SSND", 8),
    b"riff": _Layout(40, 16, "<q", 24, 8, b"data", 0),
    b"caff": _Layout(8, 4, ">q", 0, 1, b"data", 4),
}


def sound_bytes(path: Path) -> SoundBytes | None:
    """Where the samples of a wav (RIFX, RF64, BW64), W64, aiff, au or caf lie; None for any other file.

    They end where the header states if chunks follow there, or nothing; a size of 32 bits may lack any multiple of
    4 GiB. Otherwise they end with the file.

    Raises:
        ValueError: if the file is shorter than its header states.
    """
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        magic = file.read(4)
        if magic in (b".snd", b"dns."):
            endian = ">" if magic == b".snd" else "<"
            start, declared = struct.unpack(f"{endian}II", file.read(8).ljust(8, b"\0"))
            layout, bits, ends = None, 32, range(0)
        elif (layout := _LAYOUTS.get(magic)) and (found := _sound_chunk(file, layout, length)):
            endian = layout.size[0]
            start, declared, bits = found
            ends = range(start + declared, length, 1 << bits) if declared >= 0 else range(0)
        else:
            return None
        if start > length:
            return None
        if length - start < declared and not _is_streamed(declared, bits):
            raise ValueError(
                f"{path} is truncated: its header promises {declared} bytes of samples, the file has {length - start}"
            )
        end = next((end for end in ends if layout and _chunks_follow(file, layout, start, end, length)), length)
    return SoundBytes(start, end, declared, "LITTLE" if endian == "<" else "BIG")


def _sound_chunk(file: BinaryIO, layout: _Layout, length: int) -> tuple[int, int, int] | None:
    """Where the samples begin, how many bytes are declared, and of how many bits that number is."""
    long_size = None
    for name, start, size in _chunks(file, layout, layout.first, length):
        if name == b"ds64":
            file.seek(start + 8)
            long_size = struct.unpack("<q", file.read(8).ljust(8, b"\0"))[0]
        if name == layout.sound:
            if long_size is not None and size == 0xFFFFFFFF:
                return start, long_size, 64
            before = layout.before
            if name == b"SSND":  # its samples may begin at an offset, to be aligned
                file.seek(start)
                before += struct.unpack(">I", file.read(4).ljust(4, b"\0"))[0]
            return start + before, size - before, 8 * struct.calcsize(layout.size)
    return None


def _chunks(file: BinaryIO, layout: _Layout, position: int, length: int) -> Iterator[tuple[bytes, int, int]]:
    """The first four letters of each chunk's name, where its content begins, and its size."""
    size_bytes = struct.calcsize(layout.size)
    while position + layout.name_bytes + size_bytes <= length:
        file.seek(position)
        name = file.read(layout.name_bytes)[:4]
        size = struct.unpack(layout.size, file.read(size_bytes))[0] - layout.counted
        start = position + layout.name_bytes + size_bytes
        yield name, start, size
        if size < 0:
            return
        position = start + size + -size % layout.multiple


def _is_streamed(declared: int, bits: int) -> bool:
    return declared >= 1 << 62 if bits == 64 else any(declared in sizes for sizes in STREAMED)


def _chunks_follow(file: BinaryIO, layout: _Layout, start: int, end: int, length: int) -> bool:
    """Whether nothing but a pad byte and chunks lies behind the end; not all writers pad."""
    padding = -(end - start) % layout.multiple
    if length - end <= padding:
        return True
    for first in {end, end + padding}:
        file.seek(first)
        tag = file.read(8)
        if tag == b"APETAGEX" or (tag[:3] == b"TAG" and length - first == ID3V1_BYTES):
            return True
        last = first
        for name, content, size in _chunks(file, layout, first, length):
            if name in AFTER_SOUND:
                return True
            if size < 0 or not all(0x20 <= letter < 0x7F for letter in name):
                break
            last = content + size
        else:
            if first < last <= length:
                return True
    return False


def ogg_streams(path: Path) -> list[tuple[int, int]]:
    """Where each of the streams begins and ends that follow one another in an Ogg file; none for any other file.

    Recordings of a radio have one for each piece. Streams that lie side by side, as sound and picture do, are one here.

    Raises:
        ValueError: if the last page is cut.
    """
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
            starts, page, begins = [], 0, False
            while (page := pages.find(b"OggS\0", page)) >= 0:
                # The header's last byte is the number of bytes that follow, the lengths of the page's parts.
                parts = page + OGG_HEADER_BYTES
                content = parts + int.from_bytes(pages[parts - 1 : parts])
                end = content + sum(pages[parts:content])
                if max(parts, end) > len(pages):
                    raise ValueError(f"{path} is truncated: its last page is cut")
                begun, begins = begins, bool(pages[page + 5] & 2)
                starts += [page] if begins and not begun else []
                page = end
            return list(zip(starts, [*starts[1:], len(pages)], strict=True))
