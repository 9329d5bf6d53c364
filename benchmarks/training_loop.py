"""What Python costs between two steps: `KERAS_BACKEND=jax python -m benchmarks.training_loop`.

Prints one JSON line: milliseconds a step of a network with a single weight, of which nearly all is Python's: Keras's
loop, the checks and the bar of `Learning`, and the dispatch; with one step to an execution and with ten, and of Keras
alone. Divided by the time of an accelerator's step it is the share of it that Python takes.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import Utils
from Learning.devices import Devices
from Learning.loop import Loop, Rules
from Learning.state import Course
from Learning.watchers import Bar, Waiting

import keras
import numpy as np

STEPS = 1_000


def main() -> None:
    """Measures and prints."""
    results = {f"ms_per_step_{count}": round(1e3 * seconds_per_step(count), 3) for count in (1, 10)}
    keras_alone = round(1e3 * seconds_per_step(1, watched=False), 3)
    backend = keras.backend.backend()
    print(json.dumps({"benchmark": "training_loop", "backend": backend, **results, "ms_per_step_keras": keras_alone}))


def seconds_per_step(steps_per_execution: int, watched: bool = True) -> float:
    """Of a network with one weight, compiled by a first round."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("adam", "mse", steps_per_execution=steps_per_execution, jit_compile=True)
    with tempfile.TemporaryDirectory() as folder:
        fit(model, Path(folder), watched)
        begin = time.perf_counter()
        fit(model, Path(folder), watched)
        return (time.perf_counter() - begin) / STEPS


def fit(model: keras.Model, folder: Path, watched: bool) -> None:
    """Trains as Training.py does, without its input and without validation."""
    rules = Rules(STEPS * 2, 1, STEPS, STEPS * 2, patience=0, plateau=0, plateau_factor=0.5)
    waiting = Waiting(lambda: 1)
    bar = Bar(Utils.progress(total=STEPS, unit="example"), waiting)
    state, best = folder / Utils.STATE, folder / Utils.BEST
    loop = Loop(Course(), rules, model, None, Devices(), state, best, [waiting, bar], lambda step: False, lambda *_: "")
    model.fit(batches(), steps_per_epoch=STEPS, callbacks=[loop] if watched else [], shuffle=False, verbose=0)


def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same small batch for ever."""
    while True:
        yield np.ones((1, 1), np.float32), np.ones((1, 1), np.float32)


if __name__ == "__main__":
    main()
