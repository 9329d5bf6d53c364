import contextlib
import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import Options
from Experiment import Experiment, RunFolder, folder_of, register
from Runs import BEST, STATE
from Utils import errors_in_one_line

import pytest
from test_config import PRESETS, ROOT, Tiny, resolve


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """One in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tiny_experiment()


def tiny_experiment(result=lambda tree: tree):
    """An experiment whose main function returns the configuration that it received, or a number."""
    made = register(Experiment("tiny"), Tiny, PRESETS)
    made.observers.append(RunFolder("runs"))
    made.mistake = None

    @made.main
    def main(_config, _run):
        if made.mistake:
            raise made.mistake
        (folder_of(_run) / "weights").touch()
        return result(Options.to_dict(Options.from_dict(Tiny, _config)))

    return made


def command(experiment, line):
    with errors_in_one_line("tiny.py"):
        return experiment.run_commandline("tiny.py " + line)


def stored(run, file="config.json"):
    return json.loads(Path("runs", run, file).read_text())


def test_sacred_stores_and_passes_on_what_the_schema_says(experiment):
    run = command(experiment, "with deep flag=false net.weights=null net.sources=fl,ob name=a")
    expected = resolve({"flag": False, "net": {"weights": None, "sources": ["fl", "ob"]}, "name": "a"}, "deep")
    assert run.result == run.config == stored("a") == Options.to_dict(expected)
    assert stored("a", "run.json")["meta"]["named_configs"] == ["deep"]
    assert stored("a", "run.json")["meta"]["config_updates"]["flag"] == "false"


def test_print_config_shows_converted_values_and_leaves_no_run(experiment, capsys):
    command(experiment, "print_config with deep flag=false")
    shown = capsys.readouterr().out
    assert "  flag=False\n" in shown and "  net.levels=9" in shown
    assert not Path("runs").exists()


def test_the_same_stored_configuration_restores_the_seed(experiment):
    command(experiment, "with seed=77 name=a")
    assert command(experiment, "with runs/a/config.json name=b").config == {**stored("a"), "name": "b"}


@pytest.mark.parametrize("words", ["with net.levls=3", "with depe", "with net.gain.0=5", "with nonsense=1", "with =1"])
def test_mistakes_end_with_one_line_and_no_run(experiment, capsys, words):
    with pytest.raises(SystemExit) as stop:
        command(experiment, words)
    assert str(stop.value.code).startswith("tiny.py: error: unknown ") or "must be set as a whole" in str(stop.value)
    assert capsys.readouterr() == ("", "")
    assert not Path("runs").exists()


def test_a_mistake_in_the_run_marks_it_failed(experiment, capsys):
    experiment.mistake = ValueError("data.prepared: there is no folder x")
    with pytest.raises(SystemExit, match="^tiny.py: error: data.prepared: there is no folder x$"):
        command(experiment, "with name=a")
    assert stored("a", "run.json")["status"] == "FAILED"
    assert "there is no folder x" in "".join(stored("a", "run.json")["fail_trace"])
    assert capsys.readouterr() == ("", "")


def test_a_bug_keeps_its_traceback(experiment):
    experiment.mistake = KeyError("bug")
    with pytest.raises(KeyError):
        command(experiment, "with name=a")
    assert stored("a", "run.json")["status"] == "FAILED"


def test_an_interrupted_run_says_so(experiment, capsys):
    experiment.mistake = KeyboardInterrupt()
    with pytest.raises(SystemExit) as stop:
        command(experiment, "with name=a")
    assert stop.value.code == 130
    assert capsys.readouterr().err == "tiny.py: interrupted\n"
    assert stored("a", "run.json")["status"] == "INTERRUPTED"


def test_runs_without_a_name_are_numbered(experiment):
    assert [command(experiment, "")._id, command(experiment, "")._id, command(experiment, "-i x")._id] == [
        "1",
        "2",
        "x",
    ]


def test_databases_keep_runs_beside_the_folder(tmp_path):
    """SQL counts each part of a run as one of its own; the folder keeps its name and goes on."""
    lines = ["-s sqlite:///runs.db with name=a seed=1", *["-s sqlite:///runs.db -t tiny with name=b seed=2"] * 2]
    code = f"import test_experiment as t\nfor line in {lines}: t.command(t.tiny_experiment(lambda tree: 0.5), line)"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    # In a process of its own, because Sacred's TinyDB leaves files open.
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths})
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as database:
        rows = database.execute("select run_id, status from run").fetchall()
    assert rows == [("0", "COMPLETED"), ("2", "COMPLETED"), ("3", "COMPLETED")]
    documents = json.loads((tmp_path / "tiny" / "metadata.json").read_text())["runs"].values()
    assert [document["status"] for document in documents] == ["COMPLETED", "COMPLETED"]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"a", "b", "_sources"}
    assert json.loads((tmp_path / "runs" / "b" / "config.json").read_text())["seed"] == 2


def test_the_same_command_goes_on_with_its_run_and_another_one_is_refused(experiment):
    command(experiment, "with name=a seed=1")
    Path("runs/a/best.keras").touch()
    assert command(experiment, "with name=a seed=1")._id == "a" and Path("runs/a/best.keras").exists()
    message = (
        "^tiny.py: error: the run runs/a was started with other settings: net.levels was 3 and is 4; seed was 1 and "
        "is 2. Choose another name=..., start over with fresh=true, or begin a new run with its weights: name=... "
    )
    with pytest.raises(SystemExit, match=message):
        command(experiment, "with name=a seed=2 net.levels=4")
    assert stored("a")["seed"] == 1 and Path("runs/a/best.keras").exists()
    command(experiment, "with name=a seed=2 fresh=true")
    assert stored("a")["seed"] == 2 and not Path("runs/a/best.keras").exists()


def test_the_same_command_finds_its_unfinished_run_without_a_name(experiment, capsys):
    experiment.mistake = KeyboardInterrupt()
    with pytest.raises(SystemExit):
        command(experiment, "with seed=3")
    experiment.mistake = None
    assert command(experiment, "with seed=4")._id == "2"
    assert command(experiment, "with seed=3")._id == "1"
    assert "going on with runs/1, which was stopped" in capsys.readouterr().out
    assert command(experiment, "with seed=3")._id == "3"  # the first one is finished now


def test_a_run_that_another_process_trains_is_left_alone(experiment):
    command(experiment, "with name=a")
    before = Path("runs/a/run.json").read_text()
    with open("runs/a/.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for fresh in ("", " fresh=true"):
            with pytest.raises(SystemExit, match="the run runs/a is being trained by another process"):
                command(experiment, f"with name=a{fresh}")
    assert Path("runs/a/run.json").read_text() == before


def test_a_run_that_came_to_nothing_is_replaced(experiment):
    experiment.mistake = ValueError("no data")
    with pytest.raises(SystemExit):
        command(experiment, "with name=a")
    experiment.mistake = None
    assert command(experiment, "with name=a").result["name"] == "a"


def test_a_run_that_has_only_begun_is_not_replaced(experiment):
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/run.json").write_text('{"status": "RUNNING"}')
    Path("runs/a/state.npz").touch()
    with pytest.raises(SystemExit, match="runs/a exists already and is no run"):
        command(experiment, "with name=a")


def test_fresh_deletes_nothing_but_runs(experiment):
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/thesis.txt").touch()
    with pytest.raises(SystemExit, match="runs/a exists already and is no run"):
        command(experiment, "with name=a fresh=true")
    assert Path("runs/a/thesis.txt").exists()


def test_a_run_starts_over_beneath_its_lock(experiment):
    """Its lock stays the same file: a removed one would let a second process lock another of the same name."""
    command(experiment, "with name=a")
    Path("runs/a/tensorboard").mkdir()
    for name in (BEST, STATE, "tensorboard/events.out.tfevents.1"):
        Path("runs/a", name).touch()
    experiment.mistake = ValueError("no data")
    with open("runs/a/.lock") as before:  # open, so that no new file takes its number
        with pytest.raises(SystemExit):
            command(experiment, "with name=a fresh=true")
        assert os.path.samestat(os.stat("runs/a/.lock"), os.fstat(before.fileno()))
    assert not {BEST, STATE, "tensorboard"} & {path.name for path in Path("runs/a").iterdir()}
    assert Path("runs/a/weights").exists()  # which no script of ours wrote


def test_what_is_refused_before_a_run_starts_leaves_the_earlier_one(experiment, capsys):
    def refuse(config):
        raise FileNotFoundError("no such data set")

    command(experiment, "with name=a")
    experiment.check = refuse
    with pytest.raises(SystemExit, match="^tiny.py: error: no such data set"):
        command(experiment, "with name=a fresh=true")
    assert stored("a", "run.json")["status"] == "COMPLETED" and Path("runs/a/weights").exists()
    command(experiment, "print_config with name=a")  # which needs no data


def test_a_run_that_is_to_leave_nothing_behind_is_one_line(experiment):
    with pytest.raises(SystemExit, match="^tiny.py: error: expected a run that has a folder. Received: -u"):
        command(experiment, "-u with name=a")


def test_a_run_is_never_stored_in_half(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.dir = str(tmp_path)
    folder.save_json({"status": "RUNNING"}, "run.json")

    def full_disk(tree, file, **options):
        file.write("{")
        raise OSError("no space left on device")

    monkeypatch.setattr(json, "dump", full_disk)
    with pytest.raises(OSError):
        folder.save_json({"status": "COMPLETED"}, "run.json")
    assert json.loads((tmp_path / "run.json").read_text()) == {"status": "RUNNING"}


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import Config
import Options
from Experiment import Experiment, register
from Utils import errors_in_one_line
experiment = register(Experiment("script"), Config.Training)

@experiment.main
def main(_config):
    print(Options.from_dict(Config.Training, _config).training.xla)

if __name__ == "__main__":
    with errors_in_one_line("script.py"):
        experiment.run_commandline()
"""


def test_sacred_records_the_script_and_not_this_module(experiment):
    assert Path(experiment.mainfile.filename) == Path(__file__).resolve()


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["training.xla=false"], 0, "False\n", ""),
        (["training.xle=false"], 1, "", "script.py: error: unknown key 'training.xle'; did you mean 'training.xla'?\n"),
    ],
)
def test_the_process_says_one_line_and_exits_right(tmp_path, words, code, out, err):
    (tmp_path / "script.py").write_text(SCRIPT.format(root=str(ROOT)))
    line = [sys.executable, "script.py", "with", *words]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)
