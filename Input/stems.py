"""A track's sources as a folder of wavs, `<folder>/<source>.wav`: what Test.py writes and Evaluate.py reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .audio import audio_blocks, audio_info
from .files import wav_writer, whole_folder


def write_stems(folder: Path, sources: np.ndarray, names: Sequence[str], sample_rate_hz: int) -> None:
    """Writes sources (T, S, C) as 32-bit float wavs, all or none; a source that is exactly silent has no file."""
    with whole_folder(folder) as partial:
        for index, name in enumerate(names):
            if sources[:, index].any():
                with wav_writer(partial / f"{name}.wav", sample_rate_hz, sources.shape[2], "FLOAT") as file:
                    file.write(sources[:, index])


def read_stems(folder: Path, names: Sequence[str], sample_rate_hz: int, shape: tuple[int, int]) -> np.ndarray:
    """Reads what `write_stems` or any other separator wrote: (T, S, C), float32; a source without a file is silent.

    Args:
        folder: of one track; wav or flac.
        names: the sources wanted.
        sample_rate_hz: the rate that is expected, in Hz.
        shape: (T, C) that is expected.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if a file is broken or its rate, length or channels are not what is expected, or if no file is
            named like a source.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no estimates at {folder}: expected a folder with {names[0]}.wav and so on")
    files = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".wav", ".flac")}
    if files and not files.keys() & set(names):
        raise ValueError(f"{folder}: expected files named {', '.join(names)}. Received: {', '.join(files)}")
    stems = np.zeros((shape[0], len(names), shape[1]), np.float32)
    for index, name in enumerate(names):
        if name in files:
            _require_format(files[name], sample_rate_hz, shape)
            stems[:, index] = np.concatenate(list(audio_blocks(files[name])))
    return stems


def _require_format(path: Path, sample_rate_hz: int, shape: tuple[int, int]) -> None:
    info = audio_info(path)
    received = (info.sample_rate_hz, info.samples, info.channels)
    if received != (sample_rate_hz, *shape):
        raise ValueError(
            f"{path}: expected {sample_rate_hz} Hz, {shape[0]} samples, {shape[1]} channel(s), like the reference. "
            f"Received: {received[0]} Hz, {received[1]} samples, {received[2]} channel(s)"
        )
