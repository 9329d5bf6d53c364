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
        B / H examples at a time, each array of `Examples.shapes` with an axis before its own.

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
        Batches as of `training_batches`.
    """
    mine = piece_of(batch_size, share)
    return (
        tf.data.Dataset.range(share[0] * mine, len(windows), batch_size)
        .map(lambda start: (start, tf.minimum(start + mine, len(windows))))
        .map(
            _batch(windows, None if windows.full == 1 else mine),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .prefetch(tf.data.AUTOTUNE)
    )


def _batch(of: Examples, batch_size: int | None) -> Callable:
    """The function (first number, one past the last) -> batch, with shapes, which numpy functions do not declare."""
    shapes = of.shapes

    def read(start: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
        batch = of.batch(range(int(start), int(end)))
        return [batch[name] for name in shapes]

    def batch(start: tf.Tensor, end: tf.Tensor) -> dict[str, tf.Tensor]:
        arrays = tf.numpy_function(read, [start, end], [tf.float32] * len(shapes))
        return {
            name: tf.ensure_shape(array, (batch_size, *shape))
            for (name, shape), array in zip(shapes.items(), arrays, strict=True)
        }

    return batch
