"""The two straight lists of tf.data steps: one for training, one for whole tracks. The one room with TensorFlow."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from .examples import Examples, TrainingExamples, Windows, piece_of


def training_batches(
    examples: TrainingExamples, batch_size: int, first: int = 0, share: tuple[int, int] = (0, 1)
) -> tf.data.Dataset:
    """Endless batches of training examples, from example number `first` on.

    Args:
        examples: what example n is.
        batch_size: B of all hosts together; each batch is full.
        first: the number of the first example, so that a restart is exact.
        share: this host's index and how many there are: host h of H reads the h-th of H even pieces of each batch.

    Returns:
        ({"mixture": (B / H, T_in, C), "labels": (B / H, S)}, sources (B / H, T_out, S, C)), float32.

    Raises:
        ValueError: if the hosts cannot share a batch evenly.
    """
    mine = piece_of(batch_size, share)
    return (
        tf.data.Dataset.counter(first + share[0] * mine, batch_size)
        .map(lambda start: (start, start + mine))
        .map(_batch(examples, mine), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def track_batches(windows: Windows, batch_size: int, share: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
    """Batches of consecutive windows, every sample of every track once; the last batch may be smaller.

    Args:
        windows: the windows, in order.
        batch_size: B at most.
        share: as of `training_batches`.

    Returns:
        Elements as `training_batches`; where the windows fill all batches, with the windows' weights (B,) behind them.
    """
    mine = piece_of(batch_size, share)

    def weighted(start: tf.Tensor, end: tf.Tensor) -> tuple:
        if windows.full == 1:
            return read(start, end)
        weights = tf.cast(tf.range(start, end) < windows.count, tf.float32)
        return *read(start, end), tf.ensure_shape(weights, (mine,))

    read = _batch(windows, None if windows.full == 1 else mine)
    return (
        tf.data.Dataset.range(share[0] * mine, len(windows), batch_size)
        .map(lambda start: (start, tf.minimum(start + mine, len(windows))))
        .map(weighted, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def _batch(of: Examples, batch_size: int | None) -> Callable:
    """The function (first number, one past the last) -> batch, with the shapes that a numpy function cannot tell."""
    excerpt, channels, sources = of.excerpt, of.prepared.channels, len(of.sources)

    def read(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, ...]:
        context, target = of.batch(range(int(start), int(end)))
        return context["mixture"], context["labels"], target

    def batch(start: tf.Tensor, end: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        mixture, labels, target = tf.numpy_function(read, [start, end], [tf.float32] * 3)
        mixture.set_shape((batch_size, excerpt.input_samples, channels))
        labels.set_shape((batch_size, sources))
        target.set_shape((batch_size, excerpt.output_samples, sources, channels))
        return {"mixture": mixture, "labels": labels}, target

    return batch
