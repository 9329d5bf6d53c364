"""What Python costs between two steps: `KERAS_BACKEND=jax python -m benchmarks.training_loop`.

Prints one JSON line, each number with one step to an execution and with ten:

- `python_ms`: a step of a network with a single weight, of which nearly all is Python's: Keras's loop, the checks and
  the bar of `Learning`, and the dispatch; `keras_ms` is Keras's alone;
- `percent`: the share by which a step of some 20 ms is longer than where all are dispatched without a look at any.
  One core computes and stands for an accelerator, Python has the other one: needs two cores with nothing else to do.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")  # before keras is imported

import Runs
import Utils
from benchmarks.clock import Clock
from Learning.devices import Devices
from Learning.loop import Loop, Rules
from Learning.state import Course
from Learning.watchers import Bar, Waiting

import keras
import numpy as np

FEATURES, BATCH_SIZE = 1_024, 64
COUNTS = (1, 10)


def main() -> None:
    """Measures and prints."""
    python = {count: seconds_per_step(small(), 1_000, count) for count in COUNTS}
    keras_alone = seconds_per_step(small(), 1_000, 1, watched=False)
    alone = seconds_per_step(large(), 200, 200, watched=False)
    looked_at = {count: seconds_per_step(large(), 200, count) for count in COUNTS}
    results = {
        "python_ms": {count: round(1e3 * seconds, 3) for count, seconds in python.items()},
        "keras_ms": round(1e3 * keras_alone, 3),
        "step_ms": round(1e3 * alone, 2),
        "percent": {count: round(100 * (1 - alone / seconds), 1) for count, seconds in looked_at.items()},
    }
    print(json.dumps({"benchmark": "training_loop", "backend": keras.backend.backend(), **results}))


def small() -> keras.Model:
    """One weight."""
    return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])


def large() -> keras.Model:
    """Some 20 ms of one core."""
    layers = [keras.layers.Dense(FEATURES, use_bias=False) for _ in range(2)]
    return keras.Sequential([keras.Input((FEATURES,)), *layers])


def seconds_per_step(model: keras.Model, steps: int, steps_per_execution: int, watched: bool = True) -> float:
    """The mean of so many, compiled by a first round."""
    model.compile("adam", "mse", steps_per_execution=steps_per_execution, jit_compile=True)
    with tempfile.TemporaryDirectory() as folder:
        fit(model, steps, Path(folder), watched)
        return fit(model, steps, Path(folder), watched) / steps


def fit(model: keras.Model, steps: int, folder: Path, watched: bool) -> float:
    """Trains as Training.py does, without its input, validations and checkpoints; seconds."""
    rules = Rules(steps * 2, 1, steps, steps * 2, patience=0, plateau=0, plateau_factor=0.5)
    bar = Utils.progress(total=steps, unit="example")
    waiting = Waiting(lambda: steps + 1)
    state = folder / Runs.STATE
    watchers = [waiting, Bar(bar, waiting)]
    loop = Loop(
        Course(), rules, model, None, Devices(), state, lambda: None, watchers, lambda step: False, lambda *_: ""
    )
    clock = Clock()
    callbacks = [clock, loop] if watched else [clock]
    model.fit(batches(model.inputs[0].shape[1]), steps_per_epoch=steps, callbacks=callbacks, shuffle=False, verbose=0)
    return clock.seconds


def batches(features: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same batch for ever."""
    batch = np.ones((BATCH_SIZE if features > 1 else 1, features), np.float32)
    while True:
        yield batch, batch


if __name__ == "__main__":
    main()
