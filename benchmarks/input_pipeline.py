"""How fast examples are made beside how fast the model eats them: `python -m benchmarks.input_pipeline`.

Prints one JSON line: examples per second of the input pipeline alone and of the training step alone, at the published
size (147443 -> 16389 samples, 13 sources, batches of 4), one after the other on the same machine, and their ratio.
Ends with 1 where the ratio is below 20.
"""

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from Input.augmentation import Augmentation
from Input.examples import Excerpt, TrainingExamples
from Input.pipeline import training_batches
from Input.preparation import SourcePart, SourceTrack, prepare
from Input.prepared import Prepared, Sources
from Input.urmp import INSTRUMENTS
from Models.lengths import Ladder
from Models.losses import loss
from Models.wave_unet import wave_unet

import keras
import numpy as np
import soundfile

SAMPLE_RATE_HZ = 22_050
SECONDS = 30
TRACKS = 20
PARTS = (3, 4)  # of every other track; URMP has 3.4
BATCH_SIZE = 4
INPUT_BATCHES, STEPS = 200, 5
SMALLEST_RATIO = 20


def main() -> None:
    """Measures both and prints them."""
    ladder = Ladder(levels=12, down_size=15, up_size=5)
    output_samples = ladder.output_samples(16_384)
    excerpt = Excerpt(ladder.input_samples(output_samples), output_samples)
    with tempfile.TemporaryDirectory() as folder:
        input_rate, batch = input_examples_per_second(noise_set(Path(folder)), excerpt)
    model_rate = model_examples_per_second(batch)
    measured = {
        "benchmark": "input_pipeline",
        "batch_size": BATCH_SIZE,
        "input_samples": excerpt.input_samples,
        "output_samples": excerpt.output_samples,
        "input_examples_per_second": round(input_rate, 1),
        "model_examples_per_second": round(model_rate, 2),
        "ratio": round(input_rate / model_rate, 1),
    }
    print(json.dumps(measured))
    sys.exit(input_rate < SMALLEST_RATIO * model_rate)


def input_examples_per_second(prepared: Prepared, excerpt: Excerpt) -> tuple[float, tuple]:
    """The rate of the input pipeline, and a batch of its."""
    augmentation = Augmentation(gain=(0.7, 1.0))
    examples = TrainingExamples(prepared, prepared.split("train"), Sources(INSTRUMENTS), excerpt, augmentation, seed=0)
    batches = iter(training_batches(examples, BATCH_SIZE))
    return examples_per_second(lambda: next(batches), INPUT_BATCHES), next(batches)


def model_examples_per_second(batch: tuple) -> float:
    """The rate of the training step, given the same batch over and over."""
    model = wave_unet(len(INSTRUMENTS), conditioning="film")
    model.compile(keras.optimizers.Adam(1e-5), loss("sum_squared"), jit_compile=True)
    return examples_per_second(lambda: model.train_on_batch(*batch), STEPS)


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
        instruments = random.choice(INSTRUMENTS, parts).tolist()
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
