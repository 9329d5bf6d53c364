"""A track's sources as a folder of wavs, `<folder>/<source>.wav`: what Test.py writes and Evaluate.py reads."""

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from .audio import audio_info, read_audio
from .prepared import source_major
from .readers.layouts import clean_name, visible
from .writers import wav_writer


def write_stems(folder: Path, sources: np.ndarray, names: Sequence[str], sample_rate_hz: int) -> None:
    """Writes sources (T, S, C) into a folder as 32-bit float wavs; a source that is exactly silent has no file."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        if sources[:, index].any():
            with wav_writer(folder / f"{name}.wav", sample_rate_hz, sources.shape[2], "FLOAT") as file:
                file.write(sources[:, index])


def read_stems(
    folder: Path,
    names: Sequence[str],
    sample_rate_hz: int,
    shape: tuple[int, int],
    required: Collection[str] = (),
) -> np.ndarray:
    """Reads what `write_stems` or any other separator wrote: (T, S, C), float32; a source without a file is silent.

    Args:
        folder: of one track; wav or flac. Names of files may differ from those of the sources in capitals.
        names: the sources wanted.
        sample_rate_hz: the rate that is expected, in Hz.
        shape: (T, C) that is expected.
        required: the sources that must have a file.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: one line for each file that is broken or whose rate, length or channels are not what is expected; or
            if a source that must have a file has none, or no file is named like a source.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no estimates at {folder}: expected a folder with {names[0]}.wav and so on")
    given = stem_files(folder)
    files = {name: path for name in names if (path := given.get(name) or given.get(clean_name(name)))}
    missing = [name for name in names if name in required and name not in files]
    if missing or (given and not files):
        raise ValueError(
            f"{folder}: expected files named {', '.join(f'{name}.wav' for name in missing or names)}. "
            f"Received: {', '.join(sorted(path.name for path in set(given.values()))) or 'none'}"
        )
    faults = [fault for path in files.values() if (fault := _fault(path, sample_rate_hz, shape))]
    if faults:
        raise ValueError("\n".join(faults))
    stems = source_major(shape[0], len(names), shape[1])
    for name, path in files.items():
        stems[:, names.index(name)] = read_audio(path)
    return stems


def stem_files(folder: Path) -> dict[str, Path]:
    """The wavs and flacs in a folder by their names without ending, as written and in small letters.

    Raises:
        ValueError: if two of them are of one source, such as bass.wav and Bass.flac.
    """
    paths = [path for path in visible(folder) if path.suffix.lower() in (".wav", ".flac")]
    sources = [clean_name(path.stem) for path in paths]
    for name in sources:
        if name and sources.count(name) > 1:
            given = ", ".join(path.name for path in paths if clean_name(path.stem) == name)
            raise ValueError(f"{folder}: the source {name} is there {sources.count(name)} times ({given}); keep one")
    return {clean_name(path.stem): path for path in paths} | {path.stem: path for path in paths}


def _fault(path: Path, sample_rate_hz: int, shape: tuple[int, int]) -> str:
    """What keeps a file from being scored, and what to do about it; empty where nothing does."""
    info = audio_info(path)
    received = (info.sample_rate_hz, info.samples, info.channels)
    if received == (sample_rate_hz, *shape):
        return ""
    if info.sample_rate_hz != sample_rate_hz:
        advice = f"score at one rate: resample it, or name references of {info.sample_rate_hz} Hz"
    elif info.samples != shape[0]:
        more = "longer" if info.samples > shape[0] else "shorter"
        seconds = abs(info.samples - shape[0]) / sample_rate_hz
        advice = f"it is {seconds:.3g} s {more}: an estimate begins and ends with the mixture"
    else:
        advice = "estimates have as many channels as the references"
    return (
        f"{path}: expected {sample_rate_hz} Hz, {shape[0]} samples, {shape[1]} channel(s), like the reference. "
        f"Received: {received[0]} Hz, {received[1]} samples, {received[2]} channel(s); {advice}"
    )


def write_clips(folder: Path, clips: Mapping[str, np.ndarray], sample_rate_hz: int) -> float:
    """Writes short signals (T, C) into a folder as flacs of 16 bits, to be listened to.

    Where one is beyond full scale, all are lowered by one factor, which is returned: so they compare.
    """
    gain = min(1.0, 1 / max(1e-9, *(float(np.abs(clip).max()) for clip in clips.values())))
    folder.mkdir(parents=True, exist_ok=True)
    for name, clip in clips.items():
        soundfile.write(folder / f"{name}.flac", gain * clip, sample_rate_hz, subtype="PCM_16")
    return gain


def flac(signal: np.ndarray, sample_rate_hz: int) -> bytes | None:
    """A signal (T, C) as a flac of 16 bits in memory, clipped at full scale; None where it is silent."""
    if not signal.any():
        return None
    file = io.BytesIO()
    soundfile.write(file, np.clip(signal, -1, 1), sample_rate_hz, subtype="PCM_16", format="FLAC")
    return file.getvalue()
