"""One training step of the published model, with XLA beside without: `python -m benchmarks.training_step`.

Prints one JSON line: seconds a step, examples per second and peak resident memory of the `urmp` preset at its full size
(147443 -> 16389 samples, 13 sources, FiLM at the bottleneck) in batches of 4, each variant in a process of its own.
The preset's bfloat16 is for accelerators; it is measured beside float32, the precision for a CPU. Ends with 1 where a
step with XLA needs 8 GB or more.
"""

import json
import resource
import subprocess
import sys
import time

import Config
from Models.lengths import Ladder
from Training import new_separator

import numpy as np

BATCH_SIZE = 4
STEPS = 3
LARGEST_PEAK_GB = 8
VARIANTS = {"xla": (True, "float32"), "plain": (False, "float32"), "xla_bfloat16": (True, "mixed_bfloat16")}


def main() -> None:
    """Measures every variant and prints them, or the one that the command line names."""
    if len(sys.argv) > 1:
        print(json.dumps(measured(*VARIANTS[sys.argv[1]])))
        return
    results = {variant: in_its_own_process(variant) for variant in VARIANTS}
    speedup = results["plain"]["seconds_per_step"] / results["xla"]["seconds_per_step"]
    line = {"benchmark": "training_step", "batch_size": BATCH_SIZE, **results, "speedup_by_xla": round(speedup, 2)}
    print(json.dumps(line))
    sys.exit(results["xla"]["peak_gb"] >= LARGEST_PEAK_GB)


def in_its_own_process(variant: str) -> dict[str, float]:
    """The measurement of one variant, with nothing of another in its memory."""
    command = [sys.executable, "-m", "benchmarks.training_step", variant]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measured(xla: bool, precision: str) -> dict[str, float]:
    """Compiles by a first step, then takes the mean of a few."""
    changes = {"training": {"batch_size": BATCH_SIZE, "xla": xla, "precision": precision}}
    config = Config.resolve(Config.Training, Config.PRESETS, ["urmp"], changes)
    separator = new_separator(config)
    batch = noise(config)
    begin = time.perf_counter()
    separator.train_on_batch(*batch)
    compiled = time.perf_counter()
    for _ in range(STEPS):
        separator.train_on_batch(*batch)
    seconds_per_step = (time.perf_counter() - compiled) / STEPS
    return {
        "seconds_per_step": round(seconds_per_step, 2),
        "examples_per_second": round(BATCH_SIZE / seconds_per_step, 2),
        "first_step_seconds": round(compiled - begin, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
    }


def noise(config: Config.Training) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A batch of sources of noise, three of them playing, in the shape that the model wants."""
    ladder = Ladder(config.model.levels, config.model.down_size, config.model.up_size)
    output_samples = ladder.output_samples(config.data.output_samples)
    random = np.random.default_rng(0)
    labels = np.zeros((BATCH_SIZE, len(config.data.sources)), np.float32)
    labels[:, :3] = 1
    mixture = random.normal(0, 0.1, (BATCH_SIZE, ladder.input_samples(output_samples), 1)).astype(np.float32)
    sources = random.normal(0, 0.1, (BATCH_SIZE, output_samples, labels.shape[1], 1)).astype(np.float32)
    return {"mixture": mixture, "labels": labels}, sources * labels[:, None, :, None]


if __name__ == "__main__":
    main()
