"""The two straight lists of tf.data steps: one for training, one for whole tracks. The one room with TensorFlow."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from .examples import TrainingExamples, Windows


def training_batches(examples: TrainingExamples, batch_size: int, first: int = 0) -> tf.data.Dataset:
    """Endless batches of training examples, from example number `first` on.

    Args:
        examples: what example n is.
        batch_size: B; each batch is full.
        first: the number of the first example, so that a restart is exact.

    Returns:
        ({"mixture": (B, T_in, C), "labels": (B, S)}, sources (B, T_out, S, C)), float32.
    """
    return (
        tf.data.Dataset.range(first, tf.int64.max)
        .map(_element(examples), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def track_batches(windows: Windows, batch_size: int) -> tf.data.Dataset:
    """Batches of consecutive windows, every sample of every track once; the last batch may be smaller.

    Args:
        windows: the windows, in order.
        batch_size: B at most.

    Returns:
        Elements as `training_batches`.
    """
    return (
        tf.data.Dataset.range(len(windows))
        .map(_element(windows), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def _element(of: TrainingExamples | Windows) -> Callable:
    """The function number -> element, with the shapes that a numpy function cannot tell."""
    excerpt, channels, sources = of.excerpt, of.prepared.channels, len(of.names)

    def read(number: np.ndarray) -> tuple[np.ndarray, ...]:
        context, target = of.element(int(number))
        return context["mixture"], context["labels"], target

    def element(number: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        mixture, labels, target = tf.numpy_function(read, [number], [tf.float32] * 3)
        mixture.set_shape((excerpt.input_samples, channels))
        labels.set_shape((sources,))
        target.set_shape((excerpt.output_samples, sources, channels))
        return {"mixture": mixture, "labels": labels}, target

    return element
