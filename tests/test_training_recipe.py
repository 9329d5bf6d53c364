"""Whole runs: the second round, no numbers, weights and settings of other runs, and what is said at the end."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import Actions.task as Task
import Actions.training as Training
import Config
import Learning.loop
import Options
import Runs
from Input.prepared import Prepared
from Learning.devices import Devices
from Learning.loop import Interrupted
from Learning.state import read_course, save_state
from Models.checkpoints import load_network

import numpy as np
import pytest
from scripts import call

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]

SMALL = (
    *("demo", "data.sample_rate_hz=8000", "data.output_samples=500", "data.prepared=prepared"),
    *("model.levels=1", "model.filters=2", "training.batch_size=2", "training.xla=false"),
    *("training.steps=4", "training.validate_every=2", "training.decay=constant"),
)


def resolved(*words: str) -> Config.Training:
    keys = dict(word.split("=", 1) for word in (*SMALL[1:], *words))
    return Config.resolve(Config.Training, Config.PRESETS, ["demo"], Options.nested(keys))


def arrays(folder: Path | str) -> dict[str, np.ndarray]:
    with np.load(Path(folder, Runs.STATE)) as file:
        return dict(file)


def same(one: Path | str, other: Path | str) -> bool:
    first, second = arrays(one), arrays(other)
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def weights(folder: Path | str) -> list[np.ndarray]:
    return load_network(Path(folder, Runs.BEST)).get_weights()


def same_weights(one: Path, other: Path) -> bool:
    return all(np.array_equal(*pair) for pair in zip(weights(one), weights(other), strict=True))


@pytest.fixture(scope="module")
def said_by_a(place) -> str:
    """Trains runs/a, which the tests below compare with and leave as it is; returns what was said."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert call("Training.py", "with", *SMALL, "name=a") == 0
    return said.getvalue()


def test_a_run_says_where_it_ended_and_what_to_do_next(said_by_a):
    course = read_course(Path("runs/a", Runs.STATE))
    assert f"best validation loss {course.best:.5g} at step {course.best_step} of 4\n" in said_by_a
    assert "runs/a: score it with  python Test.py with run=runs/a && python Evaluate.py with run=runs/a" in said_by_a
    assert "note: memory: about" in said_by_a and "examples/s" in said_by_a
    assert json.loads(Path("runs/a/run.json").read_text())["result"] == course.best


def test_the_settings_of_a_run_repeat_it_to_the_bit(said_by_a):
    assert call("Training.py", "with", "runs/a/config.json", "name=again") == 0
    assert same("runs/a", "runs/again")
    call("Training.py", "with", *SMALL, "name=other", "seed=6")
    assert not same("runs/a", "runs/other")


def test_a_new_run_begins_with_the_weights_of_another(said_by_a):
    """At a rate that changes nothing they are what it ends with."""
    words = ("continue_from=runs/a", "training.learning_rate=1e-12", "seed=9")
    assert call("Training.py", "with", *SMALL, *words, "name=heir") == 0
    for one, other in zip(weights("runs/a"), weights("runs/heir"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    assert read_course(Path("runs/heir", Runs.STATE)).example == 8  # the first examples again


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("continue_from=runs/../runs/old",), "runs/old cannot both start over and lend its weights"),
        (("continue_from=runs/odl",), "no run at runs/odl"),
        (("data.prepared=preparde",), "preparde holds no manifest.json"),
    ],
)
def test_a_mistake_leaves_the_run_that_was_to_start_over(said_by_a, capsys, words, message):
    shutil.copytree("runs/a", "runs/old", dirs_exist_ok=True)
    assert call("Training.py", "with", *SMALL, *words, "fresh=true", "name=old") == 1
    assert message in capsys.readouterr().err
    assert json.loads(Path("runs/old/run.json").read_text())["status"] == "COMPLETED" and arrays("runs/old")


def test_weights_of_another_network_are_one_line(said_by_a, capsys):
    assert call("Training.py", "with", *SMALL, "model.filters=3", "name=wide", "continue_from=runs/a") == 1
    message = "error: expected a checkpoint of the same network. Received: runs/a/best.keras of another one"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_file_that_goes_while_it_trains_is_one_line_and_the_run_goes_on_when_it_is_back(
    said_by_a, capsys, monkeypatch, split
):
    words, name = (*SMALL, "data.prepared=lost"), f"name=lost_{split}"
    shutil.copytree("prepared", "lost", dirs_exist_ok=True)
    files = [Path("lost", part.audio.file) for track in Prepared("lost").split(split) for part in track.parts]

    fit = Task.fitting

    def fitting(*arguments):  # what is called when all files were found to be there
        for file in files:
            file.rename(file.with_suffix(".away"))
        return fit(*arguments)

    with monkeypatch.context() as changed:
        changed.setattr("Actions.training.fitting", fitting)
        assert call("Training.py", "with", *words, name) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert any(said.startswith(f"Training.py: error: {file} cannot be read") for file in files), said
    for file in files:
        file.with_suffix(".away").rename(file)
    assert call("Training.py", "with", *words, name) == 0
    assert same(f"runs/lost_{split}", "runs/a")


def test_a_loss_that_is_no_number_is_one_line_and_its_examples_are_kept(place, capsys):
    """At such a rate the first step throws the weights so far that the second one's loss is no number."""
    rate = "training.learning_rate=1e30"
    assert (
        call("Training.py", "with", *SMALL, rate, "name=far", "model.activation=linear", "training.checkpoint_every=1")
        == 1
    )
    [line] = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    step, first, last = (int(word.strip(",;")) for word in line.split() if word.strip(",;").isdigit())
    assert line.startswith("Training.py: error: the loss became ") and "runs/far/offending.npz" in line
    assert (first, last) == (2 * (step - 1), 2 * step - 1)
    examples = Task.task_of(resolved(rate), Devices()).examples
    batch = examples.batch(range(first, last + 1))
    with np.load("runs/far/offending.npz") as kept:
        assert set(kept) == {*batch, "first"}
        for name, array in batch.items():
            np.testing.assert_array_equal(kept[name], array)
        assert kept["first"] == first
    assert read_course(Path("runs/far", Runs.STATE)).step == step - 1
    assert json.loads(Path("runs/far/run.json").read_text())["status"] == "FAILED"


ROUNDS = ("training.second_round=true", "training.patience=1", "training.steps=40", "training.learning_rate=0.1")


@pytest.fixture(scope="module")
def rounds(place) -> Path:
    """A run of two rounds that was never stopped."""
    run_dir = place / "rounds"
    run_dir.mkdir()
    Training.train(resolved(*ROUNDS), run_dir)
    return run_dir


@pytest.mark.parametrize("stop_after", [None, 1, 2])
def test_the_second_round_begins_with_the_best_weights_and_twice_the_batch(place, rounds, stop_after):
    config, run_dir = resolved(*ROUNDS), rounds
    if stop_after:
        run_dir = place / f"rounds_{stop_after}"
        run_dir.mkdir()
        end_of_first = next(row["step"] for row in rows(rounds) if row["learning_rate"] < 0.05) - 2
        asked = iter(range(end_of_first - 1 + stop_after - 1))  # once a step, and not where a round ends
        with pytest.raises(Interrupted):
            Training.train(config, run_dir, asked_to_stop=lambda: next(asked, None) is None)
        course = read_course(run_dir / Runs.STATE)
        assert (course.round, course.step) == (2, end_of_first + stop_after)
        Training.train(config, run_dir)
        assert same(run_dir, rounds) and rows(run_dir) == rows(rounds)
    course = read_course(run_dir / Runs.STATE)
    rates = [row["learning_rate"] for row in rows(run_dir)]
    first = sum(rate > 0.05 for rate in rates)
    assert course.round == 2 and 0 < first < len(rates)
    np.testing.assert_allclose(rates, [0.1] * first + [0.01] * (len(rates) - first), rtol=1e-5)
    steps = [row["step"] for row in rows(run_dir)]
    assert steps == list(range(2, 2 * len(rates) + 1, 2))
    assert course.example == 2 * 2 * first + 4 * 2 * (len(rates) - first)  # examples go on, four to a batch
    losses = [row["validation_loss"] for row in rows(run_dir)]
    assert course.best == min(losses)


def test_a_second_round_that_dies_after_its_first_validation_begins_as_it_did(place, rounds, monkeypatch):
    """The best weights, from which it is to begin, may be its own by then."""
    config, died = resolved(*ROUNDS), place / "rounds_died"
    died.mkdir()

    def disk_is_full(path, course, *models):
        if course.round == 2:
            raise OSError(28, "No space left on device")
        save_state(path, course, *models)

    monkeypatch.setattr(Learning.loop, "save_state", disk_is_full)
    with pytest.raises(OSError):
        Training.train(config, died)
    monkeypatch.undo()
    second = rows(died)[-1]
    assert second["learning_rate"] < 0.05 and second["validation_loss"] < read_course(died / Runs.STATE).best
    Training.train(config, died)
    assert same(rounds, died) and rows(rounds) == rows(died) and same_weights(rounds, died)


def test_sacred_keeps_each_number_once_although_a_run_was_stopped(place, monkeypatch):
    def stops(path, course, *models):
        save_state(path, course, *models)
        raise Interrupted("stopped")

    monkeypatch.setattr(Learning.loop, "save_state", stops)
    assert call("Training.py", "with", *SMALL, "name=kept") == 130
    monkeypatch.undo()
    assert call("Training.py", "with", *SMALL, "name=kept") == 0
    kept = json.loads(Path("runs/kept/metrics.json").read_text())
    for name in ("loss", "validation_loss"):
        assert kept[name]["steps"] == [row["step"] for row in rows("runs/kept")] == [2, 4]
        assert kept[name]["values"] == [row[name] for row in rows("runs/kept")]


def rows(folder: Path | str) -> list[dict[str, float]]:
    return [json.loads(line) for line in Path(folder, Runs.LOG).read_text().splitlines()]
