"""How fast examples are made: `python -m benchmarks.input_pipeline`.

At the published size (147443 -> 16389 samples, 13 sources, batches of 4), one after the other on the same machine:
examples per second of the input pipeline, of the scheme of the original (VIMSS, Input/urmp_input.py: TFRecords of the
mixture's and all 13 sources' floats for every 16384 samples, read 16 files at a time through a shuffle buffer), of
copying an example's bytes in memory by one thread, and of the training step. Prints one JSON line with these, the
processor time an example takes, the bytes on disk of both schemes and the ratios. All files are in the page cache.
Ends with 1 where the pipeline makes fewer examples than the original's scheme, takes more than a third of its processor
time or a ninth of its bytes, or makes less than 20 times what the model eats.
"""

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import Config
import Utils  # noqa: F401 - sets how memory is kept
from Actions.task import new_network
from benchmarks.steps import on_arrays
from Input.augmentation import Augmentation
from Input.examples import Excerpt, TrainingExamples
from Input.instruments import INSTRUMENTS
from Input.pipeline import training_batches
from Input.preparation import SourcePart, SourceTrack, prepare
from Input.prepared import Prepared
from Input.sources import Sources
from Models.lengths import Ladder

import numpy as np
import soundfile
import tensorflow as tf

SAMPLE_RATE_HZ = 22_050
SECONDS = 30
TRACKS = 10
PARTS = (3, 4)  # of every other track; URMP has 3.4
BATCH_SIZE = 4
INPUT_BATCHES, STEPS = 200, 5
SHUFFLED, READ_BYTES, RECORD_FILES, RECORD_SAMPLES = 1024, 128 << 20, 16, 16_384
LEAST_OVER_MODEL, LEAST_OVER_RECORDS, LEAST_PROCESSOR, LEAST_BYTES = 20, 1, 3, 9


def main() -> None:
    """Measures all and prints them."""
    ladder = Ladder(levels=12, down_size=15, up_size=5)
    output_samples = ladder.output_samples(16_384)
    excerpt = Excerpt(ladder.input_samples(output_samples), output_samples)
    with tempfile.TemporaryDirectory() as folder:
        prepared = noise_set(Path(folder))
        begin = time.process_time()
        input_rate, batch = input_examples_per_second(prepared, excerpt)
        input_seconds = time.process_time() - begin
        files = write_records(prepared, excerpt, Path(folder))
        begin = time.process_time()
        records_rate = records_examples_per_second(files, excerpt)
        records_seconds = time.process_time() - begin
        bytes_of = sum(path.stat().st_size for path in prepared.root.rglob("*.*"))
        bytes_of_records = sum(path.stat().st_size for path in files)
    rates = {
        "input": input_rate,
        "records": records_rate,
        "copy": copy_examples_per_second(batch),
        "model": model_examples_per_second(batch),
    }
    times = {name: input_rate / rate for name, rate in rates.items()}
    times_smaller, times_processor = bytes_of_records / bytes_of, records_seconds / input_seconds
    measured = {
        "benchmark": "input_pipeline",
        "batch_size": BATCH_SIZE,
        "input_samples": excerpt.input_samples,
        "output_samples": excerpt.output_samples,
        **{f"{name}_examples_per_second": round(rate, 2) for name, rate in rates.items()},
        **{f"times_{name}": round(times[name], 2) for name in ("records", "copy", "model")},
        "input_processor_seconds": round(input_seconds, 2),
        "records_processor_seconds": round(records_seconds, 2),
        "times_processor": round(times_processor, 2),
        "bytes": bytes_of,
        "bytes_of_records": bytes_of_records,
        "times_smaller": round(times_smaller, 2),
    }
    print(json.dumps(measured))
    enough = times["model"] >= LEAST_OVER_MODEL and times["records"] >= LEAST_OVER_RECORDS
    sys.exit(not (enough and times_smaller >= LEAST_BYTES and times_processor >= LEAST_PROCESSOR))


def input_examples_per_second(prepared: Prepared, excerpt: Excerpt) -> tuple[float, dict[str, np.ndarray]]:
    """The rate of the input pipeline, and a batch of its."""
    augmentation = Augmentation(gain=(0.7, 1.0))
    examples = TrainingExamples(
        prepared, prepared.split("train"), Sources(tuple(INSTRUMENTS)), excerpt, augmentation, seed=0
    )
    batches = iter(training_batches(examples, BATCH_SIZE))
    return examples_per_second(lambda: next(batches), INPUT_BATCHES), examples.batch(range(BATCH_SIZE))


def write_records(prepared: Prepared, excerpt: Excerpt, folder: Path) -> list[Path]:
    """The same tracks as the original stored them: an example every 16384 samples."""
    paths = [folder / f"train-{n:05d}-of-{RECORD_FILES:05d}" for n in range(RECORD_FILES)]
    writers = itertools.cycle([tf.io.TFRecordWriter(str(path)) for path in paths])
    sources, margin = Sources(tuple(INSTRUMENTS)), excerpt.margin_samples
    for track in prepared.split("train"):
        for start in range(0, track.samples, RECORD_SAMPLES):
            signals = prepared.sources(track, sources, start - margin, excerpt.input_samples)
            target = signals[margin : margin + RECORD_SAMPLES]
            floats = np.concatenate([signals.sum(axis=1).ravel(), target.ravel()])
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=floats))
            record = tf.train.Example(features=tf.train.Features(feature={"audio/encoded": feature}))
            next(writers).write(record.SerializeToString())
    for _ in paths:
        next(writers).close()
    return paths


def records_examples_per_second(paths: list[Path], excerpt: Excerpt) -> float:
    """The rate of the original's scheme, with its numbers, in today's tf.data."""

    def parsed(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = {"audio/encoded": tf.io.VarLenFeature(tf.float32)}
        floats = tf.sparse.to_dense(tf.io.parse_single_example(record, features)["audio/encoded"])
        mixture, sources = floats[: excerpt.input_samples], floats[excerpt.input_samples :]
        return mixture[:, None], tf.reshape(sources, (RECORD_SAMPLES, len(INSTRUMENTS), 1))

    batches = iter(
        tf.data.Dataset.from_tensor_slices([str(path) for path in paths])
        .repeat()
        .interleave(
            lambda path: tf.data.TFRecordDataset(path, buffer_size=READ_BYTES),
            cycle_length=16,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=False,
        )
        .shuffle(SHUFFLED)
        .map(parsed, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(BATCH_SIZE, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    return examples_per_second(lambda: next(batches), INPUT_BATCHES)


def copy_examples_per_second(batch: dict[str, np.ndarray]) -> float:
    """The rate at which one thread copies a batch into memory that is there already."""
    arrays = list(batch.values())
    copies = [np.copy(array) for array in arrays]

    def copy() -> None:
        for to, array in zip(copies, arrays, strict=True):
            np.copyto(to, array)

    return examples_per_second(copy, INPUT_BATCHES)


def model_examples_per_second(batch: dict[str, np.ndarray]) -> float:
    """The rate of the training step, given the same batch over and over."""
    changes = {"model": {"conditioning": "film"}, "training": {"precision": "float32"}}
    config = Config.resolve(Config.Training, Config.PRESETS, ["urmp"], changes)
    model = on_arrays(config, new_network(config), batch)
    return examples_per_second(lambda: model.train_on_batch(batch), STEPS)


def examples_per_second(make_a_batch: Callable[[], object], batches: int) -> float:
    """The rate after a start that does not count: compiling, filling of buffers, page cache."""
    for _ in range(2):
        make_a_batch()
    begin = time.perf_counter()
    for _ in range(batches):
        make_a_batch()
    return batches * BATCH_SIZE / (time.perf_counter() - begin)


def noise_set(folder: Path) -> Prepared:
    """A prepared data set of noise."""
    random = np.random.default_rng(0)
    tracks = []
    for number, parts in zip(range(TRACKS), itertools.cycle(PARTS)):
        instruments = random.choice(list(INSTRUMENTS), parts).tolist()
        paths = [folder / f"{number}_{part}.wav" for part in range(parts)]
        for path in paths:
            pcm = random.integers(-8_000, 8_000, SECONDS * SAMPLE_RATE_HZ).astype(np.int16)
            soundfile.write(path, pcm, SAMPLE_RATE_HZ)
        played = zip(itertools.count(1), instruments, paths)
        tracks.append(SourceTrack(str(number), "train", str(number), tuple(SourcePart(*part) for part in played)))
    prepare(tracks, folder / "prepared", sample_rate_hz=SAMPLE_RATE_HZ)
    return Prepared(folder / "prepared")


if __name__ == "__main__":
    main()
