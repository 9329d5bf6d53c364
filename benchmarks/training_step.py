"""One training step of the published model, with XLA beside without: `python -m benchmarks.training_step`.

Prints one JSON line: seconds a step, examples per second and peak resident memory of the `urmp` preset at its full size
(147443 -> 16389 samples, 13 sources, labels at the bottleneck) in batches of 4, each variant in a process of its own.
The preset's bfloat16 is for accelerators; it is measured beside float32, the precision for a CPU. `every_sample`
computes every sample of the down blocks, as published, also those that nothing uses. `wide` is the preset `urmp_wide`
in batches of 2, which take about as many samples of mixture and supervise more of them
(`supervised_seconds_per_second`: seconds of sources in a batch over the seconds of its step). Ends with 1 where a step
with XLA needs 8 GB or more, or where `wide` needs a tenth more memory than that, or supervises less than 3 times as
much as `every_sample`.
"""

import json
import resource
import subprocess
import sys
import time

import Config
from Actions.task import new_network
from benchmarks.steps import on_arrays
from Models import networks
from Models.lengths import Geometry

import numpy as np

BATCH_SIZE = 4
STEPS = 3
LARGEST_PEAK_GB = 8
VARIANTS = {  # preset, batch, XLA, precision, and whether down blocks compute only what is used
    "xla": ("urmp", BATCH_SIZE, True, "float32", True),
    "plain": ("urmp", BATCH_SIZE, False, "float32", True),
    "xla_bfloat16": ("urmp", BATCH_SIZE, True, "mixed_bfloat16", True),
    "every_sample": ("urmp", BATCH_SIZE, True, "float32", False),
    "wide": ("urmp_wide", BATCH_SIZE // 2, True, "float32", True),
}
SMALLEST_WIDE_RATIO = 3


def main() -> None:
    """Measures every variant and prints them, or the one that the command line names."""
    if len(sys.argv) > 1:
        print(json.dumps(measured(*VARIANTS[sys.argv[1]])))
        return
    results = {variant: in_its_own_process(variant) for variant in VARIANTS}
    xla, published, wide = results["xla"], results["every_sample"], results["wide"]
    ratios = {
        "speedup_by_xla": results["plain"]["seconds_per_step"] / xla["seconds_per_step"],
        "speedup_by_sparing": published["seconds_per_step"] / xla["seconds_per_step"],
        "wide_supervises_more": wide["supervised_seconds_per_second"] / xla["supervised_seconds_per_second"],
        "wide_than_every_sample": wide["supervised_seconds_per_second"] / published["supervised_seconds_per_second"],
    }
    rounded = {name: round(ratio, 2) for name, ratio in ratios.items()}
    print(json.dumps({"benchmark": "training_step", "batch_size": BATCH_SIZE, **results, **rounded}))
    enough = wide["peak_gb"] <= 1.1 * xla["peak_gb"] and ratios["wide_than_every_sample"] >= SMALLEST_WIDE_RATIO
    sys.exit(xla["peak_gb"] >= LARGEST_PEAK_GB or not enough)


def in_its_own_process(variant: str) -> dict[str, float]:
    """The measurement of one variant, with nothing of another in its memory."""
    command = [sys.executable, "-m", "benchmarks.training_step", variant]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measured(preset: str, batch_size: int, xla: bool, precision: str, sparing: bool) -> dict[str, float]:
    """Compiles by a first step, then takes the mean of a few."""
    if not sparing:
        Geometry.sparing = property(lambda geometry: False)  # type: ignore[method-assign, assignment]
    changes = {"training": {"batch_size": batch_size, "xla": xla, "precision": precision}}
    config = Config.resolve(Config.Training, Config.PRESETS, [preset], changes)
    separator = new_network(config)
    batch = noise(config)
    model = on_arrays(config, separator, batch)
    begin = time.perf_counter()
    model.train_on_batch(batch)
    compiled = time.perf_counter()
    for _ in range(STEPS):
        model.train_on_batch(batch)
    seconds_per_step = (time.perf_counter() - compiled) / STEPS
    supervised_seconds = batch_size * batch["sources"].shape[1] / config.data.sample_rate_hz
    return {
        "seconds_per_step": round(seconds_per_step, 2),
        "examples_per_second": round(batch_size / seconds_per_step, 2),
        "supervised_seconds_per_second": round(supervised_seconds / seconds_per_step, 3),
        "first_step_seconds": round(compiled - begin, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
    }


def noise(config: Config.Training) -> dict[str, np.ndarray]:
    """Examples of noise, in which three sources play."""
    lengths = networks.lengths(config.data.output_samples, **config.model.model_dump())
    output_samples = lengths.output_samples(config.data.output_samples)
    random = np.random.default_rng(0)
    batch_size = config.training.batch_size
    labels = np.zeros((batch_size, len(config.data.sources)), np.float32)
    labels[:, :3] = 1
    mixture = random.normal(0, 0.1, (batch_size, lengths.input_samples(output_samples), 1)).astype(np.float32)
    sources = random.normal(0, 0.1, (batch_size, output_samples, labels.shape[1], 1)).astype(np.float32)
    return {
        "mixture": mixture,
        "sources": sources * labels[:, None, :, None],
        "present": labels,
        "labels": labels,
        "weight": np.ones(batch_size, np.float32),
    }


if __name__ == "__main__":
    main()
