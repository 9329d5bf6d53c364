"""The tf.data steps for pre-training on the features of AudioSet and YouTube-8M; needs TensorFlow, like `pipeline`.

Each function gives elements, not batches, of those videos alone in which one of our instruments is heard, file by file.
`labels` is 1.0 where one of `instruments.INSTRUMENTS` is heard somewhere in the video, else 0.0. F is the number of
seconds; it differs between videos, which is what `padded_batch` is for. Features have no unit; frames are within -2.0
and 2.01.

All three raise FileNotFoundError or ValueError at once, with one line for each fault, if a file is missing, empty, cut
short or no TFRecord, if something cannot be read on the way to the first element, or if there is no element at all.
What is found only later, as a flipped bit, a strange record or an unknown class, ends the iteration with a
`tf.errors.OpError` that names the file.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from ..instruments import INSTRUMENTS
from .classes import Classes, check_records, dequantised

Tensors = dict[str, Any]
"""By name; arrays outside of tf.data."""

ID = tf.io.FixedLenFeature([], tf.string)
NUMBERS = tf.io.RaggedFeature(tf.int64)


def audioset_embeddings(paths: Sequence[Path], classes: Classes) -> tf.data.Dataset:
    """AudioSet's embeddings of clips of at most ten seconds, one for each second.

    Args:
        paths: TFRecord files of SequenceExamples.
        classes: what the numbers in the records mean, see `pretraining.audioset_classes`.

    Returns:
        {"id": () string, "start_seconds": () float32, "end_seconds": () float32, "audio": (F, 128) float32,
        "labels": (13,) float32}. `id` is YouTube's, start and end are those of the clip in the video.

    Raises:
        FileNotFoundError, ValueError: as in this module's docstring.
    """
    seconds = {key: tf.io.FixedLenFeature([], tf.float32) for key in ("start_time_seconds", "end_time_seconds")}

    def element(record: tf.Tensor) -> Tensors:
        context, frames = _sequence(record, {"video_id": ID, **seconds}, {"audio_embedding": 128})
        return {
            "id": context["video_id"],
            "start_seconds": context["start_time_seconds"],
            "end_seconds": context["end_time_seconds"],
            "audio": frames["audio_embedding"],
            "labels": _labels(context["labels"], classes),
        }

    return _elements(paths, element)


def youtube8m_frames(paths: Sequence[Path], classes: Classes) -> tf.data.Dataset:
    """YouTube-8M's features at frame level, one for each of the first 300 seconds at most.

    Args:
        paths: TFRecord files of SequenceExamples.
        classes: what the numbers in the records mean, see `pretraining.youtube8m_classes`.

    Returns:
        {"id": () string, "rgb": (F, 1024) float32, "audio": (F, 128) float32, "labels": (13,) float32}. `id` is
        YouTube-8M's, not YouTube's.

    Raises:
        FileNotFoundError, ValueError: as in this module's docstring.
    """

    def element(record: tf.Tensor) -> Tensors:
        context, frames = _sequence(record, {"id": ID}, {"rgb": 1024, "audio": 128})
        return {"id": context["id"], **frames, "labels": _labels(context["labels"], classes)}

    return _elements(paths, element)


def youtube8m_videos(paths: Sequence[Path], classes: Classes) -> tf.data.Dataset:
    """YouTube-8M's features at video level, which are the means of those at frame level.

    Args:
        paths: TFRecord files of Examples.
        classes: what the numbers in the records mean, see `pretraining.youtube8m_classes`.

    Returns:
        {"id": () string, "mean_rgb": (1024,) float32, "mean_audio": (128,) float32, "labels": (13,) float32}. `id` is
        YouTube-8M's, not YouTube's.

    Raises:
        FileNotFoundError, ValueError: as in this module's docstring.
    """
    means = {
        key: tf.io.FixedLenFeature([width], tf.float32) for key, width in (("mean_rgb", 1024), ("mean_audio", 128))
    }

    def element(record: tf.Tensor) -> Tensors:
        parsed = tf.io.parse_single_example(record, {"id": ID, "labels": NUMBERS, **means})
        return {**parsed, "labels": _labels(parsed["labels"], classes)}

    return _elements(paths, element)


def _sequence(record: tf.Tensor, context: Mapping[str, Any], widths: Mapping[str, int]) -> tuple[Tensors, Tensors]:
    """What a SequenceExample holds once, with the numbers of its labels, and its frames (F, width), dequantised."""
    lists = {key: tf.io.FixedLenSequenceFeature([], tf.string) for key in widths}
    once, frames = tf.io.parse_single_sequence_example(record, {"labels": NUMBERS, **context}, lists)
    features = {}
    for key, width in widths.items():
        levels = tf.ensure_shape(tf.io.decode_raw(frames[key], tf.uint8, name=key), (None, width))
        features[key] = dequantised(tf.cast(levels, tf.float32))
    counts = [tf.shape(one)[0] for one in features.values()]
    tf.debugging.Assert(tf.reduce_all(tf.equal(counts, counts[0])), ["as many frames of each kind expected", *counts])
    return once, features


def _labels(numbers: tf.Tensor, classes: Classes) -> tf.Tensor:
    """(13,) from the numbers of the classes heard; of none at all it is the least number there is, not above 0."""
    count = len(classes.ids)
    known = tf.reduce_all((numbers >= 0) & (numbers < count))
    checked = tf.debugging.Assert(known, [f"classes 0 to {count - 1} expected, received", numbers])
    with tf.control_dependencies([checked]):  # or `gather` may come first, whose words nobody understands
        rows = tf.gather(classes.labels, numbers)
    return tf.reduce_max(rows, axis=0)


def _elements(paths: Sequence[Path], element: Callable[[tf.Tensor], Tensors]) -> tf.data.Dataset:
    """The elements with one of our instruments, in the order of the files."""
    check_records(paths)
    names = [str(path) for path in paths]

    def with_names(names: Sequence[str]) -> tf.data.Dataset:
        return (
            tf.data.Dataset.from_tensor_slices(names)
            .flat_map(lambda name: tf.data.TFRecordDataset(name).map(lambda record: (name, record)))
            .map(lambda name, record: (name, element(record)), tf.data.AUTOTUNE, deterministic=True)
            .filter(lambda _, one: tf.reduce_any(one["labels"] > 0))
        )

    ours = with_names(names)

    def elements() -> Iterator[Tensors]:  # a detour through Python, or no error could name the file
        last = names[0]
        try:
            for name, one in ours.as_numpy_iterator():
                last = name.decode()
                yield one
        except tf.errors.OpError:
            _raise_named(names[names.index(last) :], with_names)
            raise

    if next(elements(), None) is None:
        raise ValueError(f"none of {len(names)} files from {names[0]} on has one of {', '.join(INSTRUMENTS)} in it")
    return tf.data.Dataset.from_generator(elements, output_signature=ours.element_spec[1]).prefetch(tf.data.AUTOTUNE)


def _raise_named(names: Sequence[str], steps: Callable[[list[str]], tf.data.Dataset]) -> None:
    """Reads one file after the other to the one that cannot be read, whose name and fault the error holds."""
    for name in names:
        try:
            for _ in steps([name]):
                pass
        except tf.errors.OpError as error:
            raise ValueError(f"{name}: {_reason(error.message)}") from None


def _reason(message: str) -> str:
    """One line of TensorFlow's message, without the names of its functions, iterators and operations."""
    line = message.partition("\n")[0].partition(" [Op:")[0]
    return re.sub(r"^\{\{.*?\}\} (.* with iterator: \S+: )?", "", line)
