"""Writing files and folders so that each is either whole or not there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile

PARTIAL = ".partial-"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it becomes `path` only if the block ends without an error."""
    partial = path.with_name(f"{PARTIAL}{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` to fill; it takes its place only if the block ends without an error."""
    partial = folder.with_name(f"{PARTIAL}{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def wav_writer(path: Path, sample_rate_hz: int, channels: int, subtype: str) -> Iterator[soundfile.SoundFile]:
    """A wav open for writing; samples beyond full scale are clipped where `subtype` is PCM.

    Raises:
        OSError: if it cannot be written, as on a full disk.
    """
    try:
        with soundfile.SoundFile(path, "w", sample_rate_hz, channels, subtype, format="WAV") as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise OSError(f"{path} cannot be written ({error.error_string.rstrip('.')}); is the disk full?") from None
