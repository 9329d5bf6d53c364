"""What a run's folder says of its run, and in which words it is missed."""

from pathlib import Path

import Runs

import pytest


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/demo")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"seed": 3}')
    return folder


def test_a_run_gives_its_configuration_and_its_checkpoint(run):
    (run / Runs.BEST).touch()
    assert Runs.stored_config(run) == Runs.stored_config("runs/demo") == {"seed": 3}
    assert Runs.checkpoint(run) == run / Runs.BEST


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("demo", "there is no run at demo; known runs: runs/demo"),
        ("runs/dmeo", "there is no run at runs/dmeo; known runs: runs/demo"),
        ("runs", "runs is no run: it has no config.json; known runs: runs/demo"),
    ],
)
def test_a_wrong_run_folder_is_one_line(run, folder, line):
    with pytest.raises(FileNotFoundError) as error:
        Runs.stored_config(folder)
    assert str(error.value) == line


def test_estimates_lie_in_the_run_by_split(run):
    assert Runs.estimates_dir(run, "test") == Runs.estimates_dir("runs/demo", "test") == run / "estimates" / "test"


def test_no_run_at_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no run at runs/demo; make one with Training.py"):
        Runs.stored_config("runs/demo")


def test_a_run_without_checkpoint_is_one_line(run):
    with pytest.raises(FileNotFoundError, match=f"the run runs/demo has no checkpoint {Runs.BEST} yet"):
        Runs.checkpoint(run)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_configuration_is_one_line(run, text):
    (run / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"^runs/demo/config.json is damaged \("):
        Runs.stored_config(run)
