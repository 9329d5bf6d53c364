"""Tracks are scored and prepared by a real Dask cluster of two workers, to the same bytes as on one machine."""

import os
import signal
from pathlib import Path

from Input.workers import KILLED

import numpy as np
import pytest
import soundfile
from scripts import ROOT, call

pytestmark = pytest.mark.slow

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
RATE_HZ = 8_000


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes that run in the repository, as `PYTHONPATH=. dask worker` does."""
    environment = {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        # No second attempt at what kills a worker; there are three unless it is asked for fewer.
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": 0}),
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
            ) as started,
        ):
            yield started.scheduler_address
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def stems(tmp_path, monkeypatch):
    """A folder with the stems of four tracks, and estimates of them, from which it is worked."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for track in "abcd":
        for source in ("bass", "vocals"):
            sound = random.standard_normal((20_000, 1)) / 10
            for root, stem in (("stems", sound), ("mine", sound + random.standard_normal((20_000, 1)) / 30)):
                path = Path(root, track, f"{source}.wav")
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, stem, RATE_HZ, "PCM_16")
    return tmp_path


def files(root: str) -> dict[str, bytes]:
    paths = [path for path in Path(root).rglob("*.*") if path.is_file() and ".vimss" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_a_cluster_scores_and_prepares_what_one_machine_would(stems, cluster, monkeypatch):
    words = ("with", "estimates=mine", "references=stems")
    assert call("Evaluate.py", *words, "out=here", "jobs=1") == 0
    assert call("Evaluate.py", *words, "out=there", f"scheduler={cluster}") == 0
    assert files("there") == files("here") and len(files("here")) == 5 + 8
    prepare = ("Prepare.py", "stems", "stems")
    assert call(*prepare, "prepared_here", "--sample-rate", 4_000, "--workers", 1) == 0
    assert call(*prepare, "prepared_there", "--sample-rate", 4_000, "--scheduler", cluster) == 0
    assert files("prepared_there") == files("prepared_here")


def test_a_scheduler_that_does_not_answer_is_one_line(stems, capsys, monkeypatch):
    words = ("with", "estimates=mine", "references=stems", "out=scores", "scheduler=tcp://127.0.0.1:9")
    assert call("Evaluate.py", *words) == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "words", "address", "called"),
    [
        (
            "Evaluate.py",
            ("with", "estimates=mine", "references=stems", "out=scores"),
            "scheduler={}",
            "evaluation.score",
        ),
        ("Prepare.py", ("stems", "stems", "prepared"), "--scheduler={}", "preparation.prepare_track"),
    ],
)
def test_a_worker_of_a_cluster_that_is_killed_is_one_line(
    stems, cluster, monkeypatch, capsys, script, words, address, called
):
    floor = "Actions" if script == "Evaluate.py" else "Input"
    monkeypatch.setattr(f"{floor}.{called}", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    assert call(script, *words, address.format(cluster)) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert lines == [f"{script}: error: {KILLED}"]
