"""What an accelerator makes of a preset: `KERAS_BACKEND=jax python -m benchmarks.accelerator PREPARED PRESET [1,2,4]`.

Trains on a data set that Prepare.py made at the preset's rate, with data.cache=device, as Training.py does. Prints one
JSON line for each batch size, the smaller ones first, and ends at the first that does not fit:

- `examples_per_second`, and seconds of sources that were supervised in a second, of whole executions of ten steps;
- `tflops`: three times the multiplications of separating an excerpt, over the time of a step (only the network's: what
  nobody hears is neither computed nor counted), and its share of what a large matrix product in the same precision
  reaches in the same process;
- `python_percent`: what a step takes longer than one of fifty that are dispatched without looking at any, with one step
  to an execution and with ten;
- `peak_gb`: the most memory that was taken, beside what the note before a training says (`told_gb`).
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import Config
import Runs
import Utils
from Actions.task import fitting, prepared_for, task_of
from benchmarks.clock import Clock
from Learning.devices import accelerator_bytes, explained, joined
from Learning.loop import Loop, Rules
from Learning.state import Course
from Learning.watchers import Bar, Waiting
from Models import networks
from Models.cost import cost

import keras

STEPS = 50
SIZE = 8_192  # of the matrix product
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


def main() -> None:
    """Measures each batch size and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", metavar="PREPARED", help="a data set that Prepare.py made")
    parser.add_argument("preset", metavar="PRESET", help="a file of Presets")
    parser.add_argument("batches", type=batch_sizes, nargs="?", default=BATCHES, help="batch sizes, as 8,64")
    options = parser.parse_args()
    configs = [configured(options.prepared, options.preset, batch_size) for batch_size in sorted(options.batches)]
    prepared_for(configs[0].data)  # what is wrong with it is told at once
    matrices = matrix_tflops(configs[0].training.precision)
    for config in configs:
        result = measured(config)
        result["share_of_matrix_product"] = round(result["tflops"] / matrices, 3) if matrices else 0
        said = {"benchmark": "accelerator", "preset": options.preset, "matrix_tflops": round(matrices)}
        print(json.dumps(said | result), flush=True)


def batch_sizes(text: str) -> tuple[int, ...]:
    """Numbers with commas between them; raises ValueError where one is none."""
    return tuple(map(int, text.split(",")))


def configured(prepared: str, preset: str, batch_size: int) -> Config.Training:
    """The preset, with its data set on the device."""
    changes = {"data": {"prepared": prepared, "cache": "device"}, "training": {"batch_size": batch_size}}
    return Config.resolve(Config.Training, Config.PRESETS, [preset], changes)


def measured(config: Config.Training) -> dict[str, Any]:
    """Three ways to take as many steps."""
    batch_size = config.training.batch_size
    task = task_of(config, joined(1))
    built = fitting(task, batch_size)
    model, training_batches, memory = built.model, built.batches, built.memory
    some = list(itertools.islice(training_batches(0), 10))
    with explained(memory, batch_size):
        began = time.perf_counter()
        seconds_of(model, again(some), 10, config, watched=False)
        compiled = time.perf_counter() - began
        alone = seconds_of(model, again(some), STEPS, config, watched=False)
        of_one, of_ten = (seconds_of(model, training_batches(0), steps, config) for steps in (1, 10))
    lengths = networks.lengths(config.data.output_samples, **config.model.model_dump())
    work = cost(built.network, lengths, config.data.output_samples)
    return {
        "device": device_name(),
        "batch_size": batch_size,
        "examples_per_second": round(batch_size / of_ten, 1),
        "supervised_seconds_per_second": round(
            batch_size * work.output_samples / config.data.sample_rate_hz / of_ten, 1
        ),
        "ms_per_step": {"alone": round(1e3 * alone, 2), "1": round(1e3 * of_one, 2), "10": round(1e3 * of_ten, 2)},
        "python_percent": {"1": percent(of_one, alone), "10": percent(of_ten, alone)},
        "tflops": round(3 * work.flops * batch_size / of_ten / 1e12, 1),
        "peak_gb": round(peak_bytes() / 1e9, 2),
        "told_gb": round(memory.needed(batch_size) / 1e9, 2),
        "of_gb": round(accelerator_bytes() / 1e9, 2),
        "first_steps_seconds": round(compiled, 1),
    }


def seconds_of(
    model: keras.Model, batches: Any, steps_per_execution: int, config: Config.Training, watched: bool = True
) -> float:
    """A step, the mean of `STEPS`, with what Training.py does between executions where it is `watched`."""
    model.compile(
        model.optimizer,
        jit_compile=config.training.xla,
        steps_per_execution=steps_per_execution,
    )
    model.fit(batches, steps_per_epoch=steps_per_execution, shuffle=False, verbose=0)  # what is compiled now
    course = Course()
    rules = Rules(10 * STEPS, config.training.batch_size, STEPS, 10 * STEPS, patience=0, plateau=0, plateau_factor=0.5)
    waiting = Waiting(lambda: sys.maxsize)
    bar = Bar(Utils.progress(total=STEPS * config.training.batch_size, unit="example"), waiting)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, Runs.STATE)
        loop = Loop(
            course, rules, model, None, joined(1), state, lambda: None, [waiting, bar], lambda step: False, told
        )
        callbacks = [clock, loop] if watched else [clock]
        model.fit(batches, steps_per_epoch=STEPS, callbacks=callbacks, shuffle=False, verbose=0)
    return clock.seconds / STEPS


def again(batches: list[Any]) -> Iterator[Any]:
    """The same batches for ever."""
    while True:
        yield from batches


def told(first: int, end: int) -> str:
    """Nothing is kept of examples whose loss is no number."""
    return ""


def percent(seconds: float, alone: float) -> float:
    """How much longer, of the whole."""
    return round(100 * (1 - alone / seconds), 1)


def matrix_tflops(precision: str) -> float:
    """What a product of large matrices reaches, the mean of twenty."""
    import jax

    dtype = keras.dtype_policies.get(precision).compute_dtype
    matrix = jax.random.normal(jax.random.key(0), (SIZE, SIZE), dtype)
    product = jax.jit(lambda one, other: one @ other)
    product(matrix, matrix).block_until_ready()
    began = time.perf_counter()
    for _ in range(20):
        result = product(matrix, matrix)
    result.block_until_ready()
    return 20 * 2 * SIZE**3 / (time.perf_counter() - began) / 1e12


def device_name() -> str:
    """What computes."""
    import jax

    return jax.local_devices()[0].device_kind


def peak_bytes() -> int:
    """The most memory that the device has held; 0 where it does not tell."""
    import jax

    return int((jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0))


if __name__ == "__main__":
    with Utils.errors_in_one_line("benchmarks.accelerator"):
        main()
