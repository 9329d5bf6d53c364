"""Records of files that a test wrote into a prepared data set."""

from pathlib import Path

from Files import sha256
from Input.prepared import AUDIO, Origin, Part, audio_stream

import soundfile


def part_of(root: Path, file: str) -> Part:
    """The record of `<track>/<number>_<instrument>.wav`, which is there."""
    info = soundfile.info(root / file)
    number, _, instrument = Path(file).stem.partition("_")
    origin = Origin(rate_hz=info.samplerate, bytes=0, mtime_ns=0)
    audio = audio_stream(file, sha256(root / file), info.frames, info.channels, info.samplerate, origin)
    return Part(number=int(number), instrument=instrument, streams={AUDIO: audio})
