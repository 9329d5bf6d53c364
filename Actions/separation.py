"""A run and anybody's audio files -> stems."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import Utils
from Actions.data import stem_names
from Actions.order import Order
from Actions.run import Run
from Files import STEMS, Output
from Input.audio import AudioInfo, audio_blocks, audio_info, resampled
from Input.workers import results
from Input.writers import Format, stem_writer
from Models.separation import separate

import numpy as np

BLOCK_SAMPLES = 1 << 16


def separate_files(orders: Sequence[Order], jobs: int = 1) -> Iterator[tuple[Path, list[str], str]]:
    """Separates file after file, or several at a time.

    Yields:
        Each file when it is done, with remarks, and what went wrong with it, which leaves the others alone; empty if
        nothing did.
    """
    if jobs == 1 or len(orders) == 1:
        for order in orders:
            yield _separated(order, bar=True)
        return
    with contextlib.closing(results(_separated, [(order, False) for order in orders], jobs)) as separated:
        yield from Utils.progress(separated, total=len(orders), unit="file", label="separating")


def _separated(order: Order, bar: bool) -> tuple[Path, list[str], str]:
    try:
        return order.path, separate_file(order, bar), ""
    except (ValueError, OSError) as error:
        return order.path, [], Utils.in_words(error)


@functools.lru_cache(maxsize=1)
def _opened(run_dir: Path) -> Run:
    return Run(run_dir)


def separate_file(order: Order, bar: bool = True) -> list[str]:
    """Separates one file into its stems, each of which appears when all are whole; returns remarks.

    Args:
        order: the file, and what is wanted of it.
        bar: whether a progress bar is shown.

    Raises:
        FileNotFoundError, ValueError: if the file cannot be read to its end, or cannot be written in the format.
        FileExistsError: if something that this program did not write is in the place of a stem.
    """
    run, output, path, names = _opened(order.run_dir), Output(order.out), order.path, order.files
    output.require_free(list(names.values()))
    info = audio_info(path)
    order.format.require(info.sample_rate_hz, info.channels)
    with output.folder("", made_of=STEMS) as folder, ExitStack() as stack:
        progress = stack.enter_context(
            Utils.progress(total=info.samples, unit="sample", label=path.name, disable=not bar)
        )
        loudest = np.zeros(len(names))
        floats = [stack.enter_context((folder / f"{number}.f32").open("w+b")) for number in range(len(names))]
        for block in _stems_of(run, info, order):
            loudest = np.maximum(loudest, np.abs(block).max(axis=(0, 2), initial=0))
            for file, samples in zip(floats, np.moveaxis(block, 1, 0), strict=True):
                file.write(np.ascontiguousarray(samples).tobytes())
            progress.update(len(block))
        gain = 1 / loudest.max() if order.clip_mode == "rescale" and loudest.max() > 1 else 1.0
        clipped = {}
        for (stem, name), file in zip(names.items(), floats, strict=True):
            file.seek(0)
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            clipped[stem] = _written(file, place, info, order.format, gain)
            Path(file.name).unlink()
    return list(_remarks(order, loudest, gain, clipped))


def _written(file: BinaryIO, place: Path, info: AudioInfo, form: Format, gain: float) -> int:
    """Writes a stem from its samples in float32; returns how many were beyond full scale and had to be cut."""
    clipped, frame_bytes = 0, 4 * info.channels
    with stem_writer(place, info.sample_rate_hz, info.channels, form) as write:
        while data := file.read(BLOCK_SAMPLES * frame_bytes):
            block = np.frombuffer(data, np.float32).reshape(-1, info.channels) * np.float32(gain)
            clipped += 0 if form.holds_all else int(np.count_nonzero(np.abs(block) > 1))
            write(block)
    return clipped


def _remarks(order: Order, loudest: np.ndarray, gain: float, clipped: dict[str, int]) -> Iterator[str]:
    if gain < 1:
        yield (
            f"{order.path}: its stems reach {loudest.max():.2f} times full scale, so that all were lowered by "
            f"{-20 * np.log10(gain):.1f} dB; --float32 keeps them as they are"
        )
    for stem, samples in clipped.items():
        if samples and gain == 1:
            yield (
                f"{order.path}: {samples:,} samples of {stem} were beyond full scale and clipped; --clip-mode rescale "
                "or --float32 keeps them"
            )


def _stems_of(run: Run, info: AudioInfo, order: Order) -> Iterator[np.ndarray]:
    """The chosen sources of a file as blocks (t, S', C), at the file's rate, as many samples as the file has."""
    rate_hz = run.config.data.sample_rate_hz
    names = stem_names(run.config.data, order.playing)
    chosen = [names.index(stem) for stem in order.stems]
    samples = round(info.samples * rate_hz / info.sample_rate_hz)
    blocks = audio_blocks(order.path, rate_hz)
    separated = separate(run.separator, run.lengths, blocks, run.contexts(order.playing), samples=samples)
    shape = (len(chosen), info.channels)
    flat = (np.ascontiguousarray(block[:, chosen]).reshape(len(block), -1) for block in separated)
    written = 0
    for block in resampled(flat, rate_hz, info.sample_rate_hz, len(chosen) * info.channels):
        block = block[: info.samples - written]
        written += len(block)
        yield block.reshape(-1, *shape)
    yield np.zeros((info.samples - written, *shape), np.float32)  # what rounding of the two rates may leave
