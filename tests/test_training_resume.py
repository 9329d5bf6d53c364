"""A run that is killed at random moments, and started again, ends as one that is not: to the bit."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from Learning.state import read_course
from Models.checkpoints import load_network

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    *("demo", "data.sample_rate_hz=8000", "data.output_samples=500", "data.prepared=prepared"),
    *("model.levels=2", "model.filters=2", "training.batch_size=2", "training.xla=false"),
    *("training.steps=60", "training.validate_every=20", "training.checkpoint_every=5"),
)
# All that has a memory of its own: the averages, the gradients that wait, a rate that falls by what validation said.
MEMORY = ("training.ema=0.9", "training.accumulate=2", "training.decay=plateau", "training.plateau_patience=1")
KILLS = {"tensorflow": 12, "jax": 3}
WRITING = ".vimss/writing-*/state.npz"  # while a state is written
# On JAX the data set lies in the device's memory, where a thread draws examples ahead, and steps are compiled, which
# there give the arrays they are called with away.
WORDS = {"tensorflow": MEMORY, "jax": (*MEMORY, "data.cache=device", "training.xla=true")}

# Starts a training in a fork of a process that has imported everything, so that a start takes no seconds; JAX is by
# then imported and has started no threads, which would not survive a fork.
SERVER = """
import os, runpy, sys
root = sys.argv[1]
sys.path[:0] = root, f"{root}/tests"
import scripts
if os.environ["KERAS_BACKEND"] == "tensorflow":
    import tensorflow
without_pictures = scripts.quick()  # which would take most of the moments
without_pictures.__enter__()
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        sys.stdout = sys.stderr
        sys.argv = [f"{root}/Training.py", *line.split()]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
            print(stop.code, file=sys.stderr)
        sys.stderr.flush()
        os._exit(code or 0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Server:
    """Trains in processes that can be killed."""

    def __init__(self, backend: str, folder: Path):
        cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        self.errors = folder / f"{backend}.txt"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", SERVER, ROOT],
                env=os.environ | cache | {"KERAS_BACKEND": backend},
                cwd=folder,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def start(self, *words: str) -> int:
        """Starts a training; returns its process."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(" ".join(("with", *words)) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline() or pytest.fail(self.errors.read_text()))

    def wait(self) -> int:
        """Waits for the end of the training; returns its exit status."""
        assert self.process.stdout
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """Ends the server."""
        self.process.kill()
        self.process.communicate()


def state(name: str) -> dict[str, np.ndarray]:
    with np.load(f"runs/{name}/state.npz") as arrays:
        return dict(arrays)


def step_of(name: str) -> int:
    """Of the newest state, which a kill at the very moment may leave under the name of the one before."""
    paths = (Path(f"runs/{name}/{file}.npz") for file in ("state", "state.previous"))
    return next((read_course(path).step for path in paths if path.is_file()), 0)


def same_run(one: str, other: str) -> None:
    first, second = state(one), state(other)
    assert first.keys() == second.keys()
    assert [key for key in first if not np.array_equal(first[key], second[key])] == []
    assert Path(f"runs/{one}/log.jsonl").read_bytes() == Path(f"runs/{other}/log.jsonl").read_bytes()
    best = [load_network(f"runs/{name}/best.keras").get_weights() for name in (one, other)]
    assert all(np.array_equal(a, b) for a, b in zip(*best, strict=True))


@pytest.mark.parametrize("backend", KILLS)
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(place, backend):
    pytest.importorskip(backend)
    server, whole, killed = Server(backend, place), f"whole_{backend}", f"killed_{backend}"
    words = (*SMALL, *WORDS[backend])
    try:
        server.start(*words, f"name={whole}")
        began = time.monotonic()
        assert server.wait() == 0, server.errors.read_text()
        seconds = time.monotonic() - began
        random.seed(0)
        statuses, steps = [], [0]
        for number in range(KILLS[backend]):
            left = set(Path(f"runs/{killed}").glob(WRITING))  # by one that was killed: no sign of this one
            pid = server.start(*words, f"name={killed}")
            how = {5: signal.SIGTERM, 6: signal.SIGINT}.get(number % 7, signal.SIGKILL)  # 13 of 15 are SIGKILL
            wait_for_a_moment(number, Path(f"runs/{killed}"), left, seconds, backend)
            with contextlib.suppress(ProcessLookupError):  # it was quicker
                os.kill(pid, how)
            statuses.append(server.wait())
            steps.append(step_of(killed))
            assert steps[-1] >= steps[-2], "a checkpoint was lost"
            if statuses[-1] == 0:  # it came to its end: the next one has it all to do again
                Path(f"runs/{killed}").rename(f"runs/{killed}_{number}")
                same_run(whole, f"{killed}_{number}")
                steps.append(0)
        server.start(*words, f"name={killed}")
        assert server.wait() == 0, server.errors.read_text()
        assert set(statuses) <= {0, -9, 130}, (statuses, server.errors.read_text())
        assert statuses.count(-9) >= 2 and len(set(steps)) > 1, (statuses, steps)
        same_run(whole, killed)
    finally:
        server.close()


def wait_for_a_moment(number: int, run_dir: Path, left: set[Path], seconds: float, backend: str) -> None:
    """Until a random moment of a run; every third time, and on JAX, one at or after the writing of a checkpoint."""
    until = time.monotonic() + 2 * seconds
    if number % 3 and backend != "jax":
        time.sleep(random.uniform(0.2, 0.9) * seconds)
        return
    while time.monotonic() < until and not set(run_dir.glob(WRITING)) - left:
        time.sleep(0.0005)
    if number % 3:
        time.sleep(random.uniform(0, 0.5))


def test_a_full_disk_and_a_folder_that_cannot_be_written_keep_the_last_good_state(place, monkeypatch):
    import Learning.state

    path = place / "kept.npz"
    separator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    separator.compile("adam", "mse")
    Learning.state.save_state(path, Learning.state.Course(step=5), separator, separator)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError):
        Learning.state.save_state(path, Learning.state.Course(step=9), separator, separator)
    assert path.read_bytes() == before and not list(place.glob(WRITING))
    monkeypatch.undo()
    assert Learning.state.read_course(path).step == 5
