"""A track of any length through a recogniser, in constant memory."""

from collections.abc import Iterable, Iterator

import keras
import numpy as np

from .lengths import Lengths


def recognise(
    recogniser: keras.Model, lengths: Lengths, mixture: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, int]]:
    """Which classes play in each window of a stream.

    Windows are as long as the excerpts of the training and follow each other; the last one ends in silence. A mono
    recogniser takes the mean of all channels, one of more channels a mono mixture on all of them. Nothing depends on
    how the stream comes in blocks.

    Args:
        recogniser: a model of this floor that emits `playing` alone.
        lengths: its lengths.
        mixture: consecutive blocks (t, C) of any lengths, linear amplitude.

    Yields:
        Probabilities (K,), float32, of one window after the other, and how many samples of the stream it holds.

    Raises:
        ValueError: if it needs more channels than there are.
    """
    samples, channels = lengths.output_samples(1), recogniser.input["mixture"].shape[-1]
    waiting = np.zeros((0, channels), np.float32)
    for block in mixture:
        waiting = np.concatenate([waiting, _with_channels(block, channels)])
        while len(waiting) >= samples:
            yield _probabilities(recogniser, waiting[:samples]), samples
            waiting = waiting[samples:]
    if len(waiting):
        yield _probabilities(recogniser, np.pad(waiting, [(0, samples - len(waiting)), (0, 0)])), len(waiting)


def _probabilities(recogniser: keras.Model, window: np.ndarray) -> np.ndarray:
    return np.asarray(recogniser.predict_on_batch({"mixture": window[None]}))[0]


def _with_channels(block: np.ndarray, channels: int) -> np.ndarray:
    if channels == 1:
        return block.mean(axis=1, keepdims=True, dtype=np.float32)
    if block.shape[1] not in (1, channels):
        raise ValueError(f"expected a mixture of 1 or {channels} channels. Received: {block.shape[1]} channels")
    return np.broadcast_to(block, (len(block), channels)).astype(np.float32)
