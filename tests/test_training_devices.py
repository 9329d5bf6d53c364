"""Training on several devices and in several processes of JAX, as far as a machine with two cores can show it."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from Learning.devices import Devices

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("jax")
ROOT = Path(__file__).resolve().parents[1]
# A batch of 4 and 7 windows of validation: devices that share a batch evenly get one too few in the last.
SMALL = (
    *("with", "demo", "data.sample_rate_hz=8000", "data.output_samples=500", "data.prepared=prepared"),
    *("model.levels=1", "model.filters=2", "training.batch_size=4"),
    *("training.validate_every=4", "training.checkpoint_every=2"),
)


def started(*words: str, **environment: str) -> subprocess.Popen:
    told = {
        "KERAS_BACKEND": "jax",
        "JAX_COMPILATION_CACHE_DIR": "cache",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", ROOT / "tests/scripts.py", "Training.py", *SMALL, *words],
        env=os.environ | told | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def together(*words: str) -> list[subprocess.Popen]:
    """Two processes that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        started(*words, "training.processes=2", JAX_COORDINATOR_ADDRESS=address, JAX_PROCESS_ID=str(index))
        for index in range(2)
    ]


def ended(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def losses(name: str) -> pd.DataFrame:
    return pd.read_json(f"runs/{name}/log.jsonl", lines=True)


@pytest.fixture(scope="module")
def alone(place) -> pd.DataFrame:
    """The losses of one device."""
    ended(started("name=alone", "training.steps=8"))
    return losses("alone")


@pytest.mark.parametrize("cache", ["none", "device"])
def test_four_devices_give_the_losses_of_one(place, alone, cache):
    flags = "--xla_force_host_platform_device_count=4"
    ended(started(f"name=four_{cache}", "training.steps=8", f"data.cache={cache}", XLA_FLAGS=flags))
    pd.testing.assert_frame_equal(losses(f"four_{cache}"), alone, rtol=1e-5)


def test_four_devices_in_bfloat16_give_the_losses_of_one(place):
    for name, count in (("one_bfloat16", 1), ("four_bfloat16", 4)):
        flags = f"--xla_force_host_platform_device_count={count}"
        words = ("training.steps=8", "training.precision=mixed_bfloat16")
        ended(started(f"name={name}", *words, XLA_FLAGS=flags))
    pd.testing.assert_frame_equal(losses("four_bfloat16"), losses("one_bfloat16"), rtol=1e-3)


def test_a_batch_that_devices_cannot_share_is_one_line(place):
    process = started("name=odd", "training.steps=8", XLA_FLAGS="--xla_force_host_platform_device_count=3")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert (
        "Training.py: error: expected a training.batch_size that 3 devices share evenly. Received: 4; 3 is one" in said
    )


def test_two_processes_train_in_step_outlive_a_loss_and_go_on(place, alone):
    first, second = together("name=two", "training.steps=8")
    said = ended(first), ended(second)
    assert "best validation loss" in said[0] and "best validation loss" not in said[1]
    pd.testing.assert_frame_equal(losses("two"), alone, rtol=1e-5)

    long = ("name=lost", "training.steps=4000", "training.patience=0")
    first, second = together(*long)
    while not Path("runs/lost/state.npz").is_file() and first.poll() is None:
        time.sleep(0.1)
    second.kill()
    began = time.monotonic()
    said, _ = first.communicate(timeout=60)  # within a minute, and no hang
    second.communicate()
    assert first.returncode == 1, said
    assert re.search("^Training.py: error: another process of this training is gone .*they go on from", said, re.M)
    assert time.monotonic() - began < 60

    step = step_of("lost")
    assert step >= 2
    first, second = together(*long)
    while step_of("lost") < step + 4 and first.poll() is None:
        time.sleep(0.1)
    first.terminate()  # one is asked to stop: both do
    said = first.communicate(timeout=60)[0], second.communicate(timeout=60)[0]
    assert (first.returncode, second.returncode) == (130, 130), said
    assert step_of("lost") > step
    before = losses("lost")
    assert list(before["step"]) == list(range(4, 4 * len(before) + 1, 4))


def step_of(name: str) -> int:
    import json

    with np.load(f"runs/{name}/state.npz") as arrays:
        return json.loads(str(arrays["course"]))["step"]


def test_what_devices_are():
    devices = Devices(count=4, process=1, processes=2)
    assert devices.share == (1, 2) and not devices.writes
