"""A run whose files a disk, a person or another version spoiled: one line with the way out; nothing more is lost."""

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from Learning.state import read_course
from Models.checkpoints import load_network

import numpy as np
import pytest
import soundfile
from scripts import call

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]

TINY = (
    *("demo", "data.sample_rate_hz=8000", "data.output_samples=500", "data.prepared=prepared"),
    *("model.levels=2", "model.filters=2", "training.batch_size=2", "training.xla=false"),
    *("training.steps=8", "training.validate_every=2", "training.patience=0"),
)
TRAIN = ("Training.py", "with", *TINY, "name=run")
TEST = ("Test.py", "with", "run=runs/run")
EVALUATE = ("Evaluate.py", "with", "run=runs/run")
SEPARATE = ("Separate.py", "mix.wav", "--run", "runs/run", "--labels", "vn,vc")
COMPARE = ("Compare.py", "runs/run")
SWEEP = ("Sweep.py", "--dry-run", "with", *TINY, "name=run")
AGAIN = "python Training.py with runs/run/config.json name=run fresh=true"


@pytest.fixture(scope="module")
def trained(place) -> Path:
    """A finished run with estimates and scores; another that was stopped at its sixth step of eight."""
    soundfile.write("mix.wav", np.random.default_rng(0).normal(0, 0.1, 4000), 8000)
    assert call(*TRAIN) == 0
    assert call(*TEST) == 0
    assert call(*EVALUATE) == 0
    shutil.copytree("runs", "kept/finished")
    stop_at_the_sixth_step()
    shutil.copytree("runs", "kept/stopped")
    return place


def stop_at_the_sixth_step() -> None:
    """Trains runs/run anew until its third checkpoint, of which the first is the best one."""
    import Learning.loop
    from Learning.state import save_state

    def saved(path: Path, course: Any, *models: Any) -> None:
        save_state(path, course, *models)
        if course.step == 6:
            raise Learning.loop.Interrupted("stopped")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learning.loop, "save_state", saved)
        assert call(*TRAIN, "fresh=true") == 130


@pytest.fixture
def run(trained) -> Callable[[str], Path]:
    """Puts a run as it was in the place of the last one."""

    def fresh_copy(which: str) -> Path:
        shutil.rmtree("runs", ignore_errors=True)
        shutil.rmtree("separated", ignore_errors=True)
        shutil.copytree(Path("kept", which), "runs")
        return Path("runs/run")

    return fresh_copy


def contents(folder: Path) -> dict[str, bytes]:
    """What a run consists of, without what Sacred notes of every start."""
    sacred = {".lock", "run.json", "cout.txt", "metrics.json", "info.json", "config.json"}
    files = [path for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name not in sacred}


def cut(path: Path, share: float = 0.5) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])


def flip(path: Path, share: float) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[int(share * len(damaged))] ^= 4
    path.write_bytes(damaged)


def holds(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def with_json(**changes: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


BINARY = bytes(range(128, 256))
SPOILED = {
    "cut": cut,
    "cut at its end": lambda path: cut(path, 0.99),
    "cut at its beginning": lambda path: cut(path, 0.01),
    "empty": holds(b""),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a text": holds(b"no checkpoint\n"),
    "a pickle": holds(pickle.dumps({"weights": [1.0]})),
    "wrong bits": lambda path: flip(path, 0.4),
}
WRONG_JSON = {
    "cut": cut,
    "empty": holds(b""),
    "binary": holds(BINARY),
    "a list": holds(b"[1, 2]"),
    "a number": holds(b"5"),
    "no keys": holds(b"{}"),
}
BEST, CONFIG, LOG = "best.keras", "config.json", "log.jsonl"
TESTED, CLIPS, SCORES = "estimates/test/test.json", "listening/test/clips.json", "scores/test/scores.csv"
RETEST, RESCORE = "python Test.py with run=runs/run", "python Evaluate.py with run=runs/run"
FAULTS: dict[str, tuple[str, Callable[[Path], Any], tuple[tuple[str, ...], ...], str]] = {
    **{f"weights {how}": (BEST, spoil, (TEST, SEPARATE), AGAIN) for how, spoil in SPOILED.items()},
    "weights gone": (BEST, Path.unlink, (TEST, SEPARATE, TRAIN), AGAIN),
    "weights of a finished run": (BEST, cut, (TRAIN,), AGAIN),
    "weights of the run to go on from": (
        BEST,
        cut,
        ((*TRAIN[:-1], "name=heir", "continue_from=runs/run"),),
        AGAIN,
    ),
    **{
        f"configuration {how}": (
            CONFIG,
            WRONG_JSON[how],
            (TRAIN, TEST, SEPARATE, EVALUATE, COMPARE, SWEEP),
            "unzip -p runs/run/best.keras vimss.json > runs/run/config.json",
        )
        for how in ("cut", "empty", "binary", "a list", "a number")
    },
    "configuration of another version": (
        CONFIG,
        with_json(colour="blue"),
        (TEST, SEPARATE, EVALUATE),
        "put it back as it was",
    ),
    "configuration of another version, trained": (CONFIG, with_json(colour="blue"), (TRAIN, SWEEP), "colour was blue"),
    "configuration of wrong types": (
        CONFIG,
        with_json(data=[1], model="x"),
        (TEST, SEPARATE, EVALUATE),
        "is a group of keys",
    ),
    "configuration of wrong types, trained": (CONFIG, with_json(data=[1], model="x"), (TRAIN, SWEEP), "other settings"),
    **{f"test.json {how}": (TESTED, spoil, (EVALUATE, COMPARE), RETEST) for how, spoil in WRONG_JSON.items()},
    "test.json of wrong types": (TESTED, with_json(tracks=5), (EVALUATE, COMPARE), RETEST),
    **{f"clips.json {how}": (CLIPS, spoil, (COMPARE,), RETEST) for how, spoil in WRONG_JSON.items() if how != "a list"},
    "clips.json a list of others": (CLIPS, holds(b'[{"rank": 5}, 3]'), (COMPARE,), RETEST),
    "log torn": (LOG, lambda path: cut(path, 0.9), (COMPARE,), "given again, writes it anew"),
    "log binary": (LOG, holds(BINARY), (COMPARE,), "given again, writes it anew"),
    "log of others": (LOG, holds(b'{"step": 1}\n'), (COMPARE,), "given again, writes it anew"),
    "scores binary": (SCORES, holds(BINARY), (COMPARE,), RESCORE),
    "scores torn": (SCORES, lambda path: cut(path, 0.9), (COMPARE,), RESCORE),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_spoiled_file_is_one_line_with_the_way_out_and_nothing_is_lost(run, said, fault):
    name, spoil, commands, remedy = FAULTS[fault]
    folder = run("finished")
    spoil(folder / name)
    config, before = (folder / CONFIG).read_bytes(), contents(folder)
    for command in commands:
        result = said(*command)
        lines = [line for line in result.err.splitlines() if line]
        assert result.code == 1 and len(lines) == 1, (command, result.err)
        assert lines[0].startswith(f"{command[0]}: error: ") and remedy in lines[0], lines
        assert Path(name).name in lines[0] or "other settings" in lines[0]
        assert contents(folder) == before, command
        assert name != CONFIG or (folder / CONFIG).read_bytes() == config


def test_the_configuration_that_is_put_back_from_the_weights_is_the_one_that_was_there(run, said):
    folder = run("finished")
    (folder / CONFIG).write_bytes(b"")
    with zipfile.ZipFile(folder / BEST) as archive:
        (folder / CONFIG).write_bytes(archive.read("vimss.json"))
    for command in (TRAIN, SEPARATE):
        assert said(*command).code == 0, command


@pytest.mark.parametrize("how", WRONG_JSON)
def test_what_sacred_noted_is_not_needed(run, said, how):
    folder = run("finished")
    WRONG_JSON[how](folder / "run.json")
    before = contents(folder)
    for command in (SWEEP, TRAIN):
        assert said(*command).code == 0, command
    assert json.loads((folder / "run.json").read_text())["status"] == "COMPLETED"
    assert contents(folder) == before


@pytest.mark.parametrize("how", ["torn", "binary"])
def test_a_spoiled_log_is_written_anew_from_the_state(run, said, how):
    folder = run("finished")
    whole = (folder / LOG).read_bytes()
    {"torn": cut, "binary": holds(BINARY)}[how](folder / LOG)
    result = said(*TRAIN)
    assert result.code == 0 and "nothing left to do" in result.out
    assert (folder / LOG).read_bytes() == whole
    assert said(*COMPARE).code == 0


@pytest.mark.parametrize("how", ["torn", "binary", "of others", "gone"])
def test_files_that_a_spoiled_record_does_not_tell_of_are_people_s(run, said, how):
    folder = run("finished")
    record = folder / ".vimss/written.jsonl"
    others = b'[1]\n{"file": 5}\n{"file": "a"}\n{"file": "../a", "bytes": 1, "mtime_ns": 1, "sha256": [1]}\n'
    spoil = {"torn": cut, "binary": holds(BINARY), "of others": holds(others), "gone": Path.unlink}[how]
    (folder / "estimates/test/notes.txt").write_text("mine")
    spoil(record)
    before = contents(folder)
    result = said(*TEST)
    kept = contents(folder)
    if how == "gone":  # as in a run of an earlier version, whose test.json tells what it wrote
        assert result.code == 0 and kept["estimates/test/notes.txt"] == b"mine"
        return
    lines = result.err.splitlines()
    assert result.code == 1 and all(line.startswith("Test.py: error: runs/run/") for line in lines)
    assert lines and all("move it away" in line for line in lines)
    assert kept == before


# ---------------------------------------------------------------- the state of a run that was stopped

STATES = ("state.npz", "state.previous.npz")


def test_a_spoiled_state_gives_way_to_the_one_before_and_ends_the_same(run, said):
    ended = contents(run("finished"))
    folder = run("stopped")
    flip(folder / "state.npz", 0.3)
    result = said(*TRAIN)
    notes = [line for line in result.out.splitlines() if "state.npz is damaged" in line]
    assert result.code == 0 and len(notes) == 1, result.err
    assert "going on from the state before, at most 2 steps earlier" in notes[0]
    same_end(folder, ended)


def same_end(folder: Path, ended: dict[str, bytes]) -> None:
    """That a run has the log, the state and the weights of one that was never stopped."""
    now = contents(folder)
    assert now[LOG] == ended[LOG]
    for name in STATES:
        Path("other.npz").write_bytes(ended[name])
        with np.load(folder / name) as arrays, np.load("other.npz") as others:
            assert arrays.files == others.files
            assert all(np.array_equal(arrays[each], others[each]) for each in others.files), name
    Path("other.keras").write_bytes(ended[BEST])
    weights = [load_network(path).get_weights() for path in (folder / BEST, "other.keras")]
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_without_a_state_training_goes_on_from_the_best_weights(run, said, how):
    folder = run("stopped")
    for name in STATES:
        cut(folder / name) if how == "damaged" else (folder / name).unlink()
    rows = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    best = min(rows, key=lambda row: row["validation_loss"])
    result = said(*TRAIN)
    lost = rows[-1]["step"] - best["step"]
    notes = [line for line in result.out.splitlines() if "going on from the best weights" in line]
    assert result.code == 0 and len(notes) == 1, result.err
    assert "state.npz is" in notes[0] and f"those of step {best['step']}: {lost} steps or more are lost" in notes[0]
    assert "the optimizer begins anew" in notes[0]
    now = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    assert [row["step"] for row in now] == [2, 4, 6, 8]
    kept = rows.index(best) + 1
    assert now[:kept] == rows[:kept]
    assert now[kept]["validation_loss"] < 2 * best["validation_loss"], "not from the best weights"
    assert read_course(folder / "state.npz").finished


@pytest.mark.parametrize("also", [BEST, LOG])
def test_with_too_little_left_to_go_on_a_run_starts_over_only_when_told_to(run, said, also):
    folder = run("stopped")
    for name in (*STATES, also):
        cut(folder / name)
    before = contents(folder)
    result = said(*TRAIN)
    lines = [line for line in result.err.splitlines() if line]
    assert result.code == 1 and len(lines) == 1 and lines[0].startswith("Training.py: error: "), result.err
    assert also in lines[0] and contents(folder) == before
    assert ("fresh=true" in lines[0]) == (also == BEST) or also == LOG


def test_a_finished_run_without_its_states_stays_finished(run, said):
    folder = run("finished")
    for name in STATES:
        cut(folder / name)
    before = contents(folder)
    result = said(*TRAIN)
    assert result.code == 0 and "by its log the run has ended" in result.out
    assert contents(folder) == before


def test_a_stopped_run_whose_best_weights_are_gone_keeps_the_best_from_then_on(run, said):
    folder = run("stopped")
    (folder / BEST).unlink()
    result = said(*TRAIN)
    assert result.code == 0 and "the best weights from now on take its place" in result.out
    assert said(*SEPARATE).code == 0


def test_fresh_clears_all_that_a_training_wrote(run):
    folder = run("stopped")
    stop_at_the_sixth_step()
    (folder / "state.previous.npz").write_bytes(b"old")
    assert call(*TRAIN, "fresh=true", "training.steps=2") == 0
    assert not (folder / "state.previous.npz").exists() and os.listdir(folder)
