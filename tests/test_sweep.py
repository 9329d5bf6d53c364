"""Sweep.py: what a grid means, and that each run of it is done once, by one."""

import contextlib
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import Claims
import Compare
import Runs
import Sweep
from Actions import sweeping

import pytest
from scripts import call

# Stands for Training.py, Test.py and Evaluate.py: what they leave behind, and a run that fails.
SCRIPT = """
import json, sys
from pathlib import Path
words = dict(word.split("=", 1) for word in sys.argv[2:] if "=" in word)
with open("calls.txt", "a") as file:
    file.write(" ".join([Path(sys.argv[0]).stem, *sys.argv[1:]]) + "\\n")
folder = Path(words["run"]) if "run" in words else Path("runs", words["name"])
if words.get("training.loss") == "l1" and Path("l1 fails").exists():
    sys.exit(1)
if "Training" in sys.argv[0]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"status": "COMPLETED"}))
if "Evaluate" in sys.argv[0]:
    for split in words["split"].split(","):
        (folder / "scores" / split).mkdir(parents=True)
        (folder / "scores" / split / "scores.csv").touch()
"""


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """A folder to sweep in, with stand-ins; gives what was called since it was last asked."""
    monkeypatch.chdir(tmp_path)
    for name in ("Training.py", "Test.py", "Evaluate.py"):
        (tmp_path / name).write_text(SCRIPT)
    monkeypatch.setattr(sweeping, "ROOT", tmp_path)

    def called() -> list[str]:
        path = Path("calls.txt")
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    return called


def names(*words: str) -> list[str]:
    return [cell.folder.name for cell in sweeping.grid(words)]


def test_values_between_commas_make_a_grid_with_the_seed_last_and_outermost():
    assert names("demo", "name=x", "training.loss=mse,l1", "seed=1,2", "model.levels=3,4") == [
        f"x-{loss}-levels{levels}-seed{seed}" for seed in (1, 2) for loss in ("mse", "l1") for levels in (3, 4)
    ]


def test_a_list_is_one_value_and_slashes_part_several():
    [one] = sweeping.grid(["demo", "model.places=every,output"])
    assert one.words == ("demo", "model.places=every,output") and one.folder.name == "sweep"
    two = sweeping.grid(["demo", "model.places=bottleneck/every,output"])
    assert [cell.words[1] for cell in two] == ["model.places=bottleneck", "model.places=every,output"]
    assert [cell.folder.name for cell in two] == ["sweep-bottleneck", "sweep-every_output"]


def test_a_grid_by_name_is_every_combination_once():
    grid = sweeping.GRIDS["conditioning"]
    cells = sweeping.grid(["demo", "conditioning", "name=labels"])
    expected = {tuple(values) for values in itertools.product(*grid.values())}
    found = {tuple(dict(word.split("=") for word in cell.words[1:])[key] for key in grid) for cell in cells}
    assert found == expected and len({cell.folder for cell in cells}) == len(cells) == len(expected)


def test_a_grid_varies_keys_that_only_its_network_has():
    cells = sweeping.grid(["demo", "name=x", "model.network=band_split", "model.features=16,32"])
    assert [cell.settings["model"]["features"] for cell in cells] == [16, 32]
    assert {cell.settings["model"]["network"] for cell in cells} == {"band_split"}


def test_keys_that_fit_only_together_are_a_grid_and_contradictions_are_not():
    """The demo validates every 150 of its 600 steps: 400 steps alone do not fit."""
    assert len(names("demo", "training.steps=400,800", "training.validate_every=100,200")) == 4
    with pytest.raises(ValueError, match="must have steps that are multiples of validate_every, not 400 and 150"):
        names("demo", "training.steps=400,800")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["demo", "training.lss=mse,l1"], "did you mean 'training.loss'"),
        (["demo", "training.loss=mse,l2"], "'training.loss' must be among"),
        (["demo", "model.places=every/bottom"], "'model.contexts.labels.places.0' must be 'input'"),
        (["dmeo", "seed=1,2"], "did you mean 'demo'"),
        (["demo", "fresh=true", "seed=1,2"], "expected no fresh=...: a grid does what is missing"),
        (["demo", "training.processes=2", "name=a"], "expected training.processes=1"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_done(scripts, capsys, words, message):
    assert call("Sweep.py", "with", *words) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("Sweep.py: error: ") and message in said[0]
    assert not scripts()


def test_a_dry_run_only_lists(scripts, capsys):
    Sweep.main(["--dry-run", "with", "demo", "name=x", "seed=1,2"])
    assert capsys.readouterr().out == "2 runs:\n  x-seed1\n  x-seed2\n"
    assert not scripts() and not Path("runs").exists()


def test_each_run_is_trained_tested_and_scored_once(scripts, capsys):
    words = ["--splits", "test,test_unseen_bank", "with", "demo", "name=x", "seed=1,2"]
    Sweep.main(words)
    assert scripts() == [
        line
        for seed in (1, 2)
        for line in (
            f"Training with demo seed={seed} name=x-seed{seed}",
            f"Test with run=runs/x-seed{seed} split=test,test_unseen_bank",
            f"Evaluate with run=runs/x-seed{seed} split=test,test_unseen_bank",
        )
    ]
    said = [line for line in capsys.readouterr().out.splitlines() if "Compare.py" in line]
    assert len(said) == 2
    told = Compare._parser().parse_args(shlex.split(said[1].partition("Compare.py ")[2]))
    assert told.runs == [Path("runs/x-seed1"), Path("runs/x-seed2")] and told.split == "test_unseen_bank"
    Sweep.main(words)
    assert not scripts()
    Runs.scores_dir("runs/x-seed2", "test").joinpath("scores.csv").unlink()
    Sweep.main([*words[:1], "test_other", *words[2:]])
    assert len(scripts()) == 6  # another split has no scores yet


def test_a_run_that_fails_is_told_and_the_others_are_done(scripts, capsys):
    Path("l1 fails").touch()
    words = ["with", "demo", "name=x", "training.loss=l1,mse"]
    with pytest.raises(
        SystemExit, match="^Sweep.py: error: runs/x-l1 failed: python Training.py with demo training.loss=l1"
    ):
        Sweep.main(words)
    assert [line.split()[0] for line in scripts()] == ["Training", "Training", "Test", "Evaluate"]
    Path("l1 fails").unlink()
    Sweep.main(words)
    assert [line.split()[0] for line in scripts()] == ["Training", "Test", "Evaluate"]


# A sweep of its own process, with the stand-ins of the folder in which it runs.
SWEEP = "import Sweep; from Actions import sweeping; sweeping.ROOT = sweeping.Path.cwd(); Sweep.main({words})"

# Trains until it is asked to stop, and takes a while to save.
SLOW = """
import os, signal, sys, time
from pathlib import Path
def stop(number, frame):
    time.sleep(0.8)
    Path("saved").write_text(str(number))
    sys.exit(130)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
Path("pid").write_text(str(os.getpid()))
time.sleep(60)
"""


@contextmanager
def begun(*words):
    """A sweep in a process of its own, whose training has begun; gives both."""
    Path("Training.py").write_text(SLOW)
    line = SWEEP.format(words=list(words))
    home = {"PYTHONPATH": str(Path(Sweep.__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", line], env=os.environ | home, start_new_session=True) as sweep:
        until = time.monotonic() + 60
        while not (Path("pid").exists() and Path("pid").read_text()) and time.monotonic() < until:
            time.sleep(0.01)
        training = int(Path("pid").read_text())
        try:
            yield sweep, training
        finally:
            for pid in (sweep.pid, training):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_stopped_waits_until_its_training_has_saved(scripts, number):
    with begun("with", "demo", "name=x", "seed=1,2") as (sweep, _):
        os.killpg(sweep.pid, number)  # as a terminal does: all of the group that the sweep began
        assert sweep.wait(timeout=60) == 130
    assert Path("saved").read_text() == str(int(number))


@pytest.mark.slow
def test_a_run_stays_its_sweep_s_until_its_training_ends_although_the_sweep_is_killed(scripts, capsys):
    words = ("with", "demo", "name=x", "seed=1,2")
    with begun(*words) as (sweep, training):
        os.kill(sweep.pid, signal.SIGKILL)
        sweep.wait(timeout=60)
        Path("Training.py").write_text(SCRIPT)
        Sweep.main([*words])
        assert {line.split()[-1 if line.startswith("Tr") else 2][-5:] for line in scripts()} == {"seed2"}
        assert "others work on: x-seed1" in capsys.readouterr().out
        os.kill(training, signal.SIGKILL)
        until = time.monotonic() + 60
        while Runs.status("runs/x-seed1") != "COMPLETED" and time.monotonic() < until:
            Sweep.main([*words])
            time.sleep(0.1)
    assert Runs.status("runs/x-seed1") == "COMPLETED"


def test_a_finished_run_of_other_settings_does_not_pass_for_this_one(scripts, capsys):
    words = ["with", "demo", "name=x", "seed=1,2"]
    Sweep.main(words)
    scripts()
    for cell in sweeping.grid(words[1:]):
        (cell.folder / "config.json").write_text(json.dumps(cell.settings))
    Sweep.main(words)  # the same settings
    with pytest.raises(SystemExit, match="runs/x-seed1 was trained with other settings: training.steps was 600 and is"):
        Sweep.main([*words, "training.steps=1200"])
    assert not scripts()


def test_words_win_over_a_grid_s_own_and_values_make_names_of_folders():
    assert len(names("demo", "conditioning", "seed=1")) == 8
    found = names("demo", "name=x", "training.loss=mse,l1+0.1*si_sdr")
    assert found == ["x-mse", "x-l1_0.1_si_sdr"]


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("augmentation.gain=0.7,1", [(0.7, 1.0)]),
        ("augmentation.gain=0.7,1/0.5,1", [(0.7, 1.0), (0.5, 1.0)]),
        ("data.mix=2,3", [(2, 3)]),
        ("data.parts=2,3", [(2, 3)]),
        ("data.parts=2/2,3", [(2,), (2, 3)]),
    ],
)
def test_a_range_is_one_value(word, values):
    group, key = word.partition("=")[0].split(".")
    assert [tuple(cell.settings[group][key]) for cell in sweeping.grid(["demo", word])] == values


def test_a_run_that_another_process_trains_is_left_to_it(scripts, capsys):
    Path("runs/x-seed1").mkdir(parents=True)
    with Claims.locked(Path("runs/x-seed1")):
        Sweep.main(["with", "demo", "name=x", "seed=1,2"])
    assert {line.split()[2] for line in scripts() if line.startswith("T")} == {"demo", "run=runs/x-seed2"}
    assert "1 of 2 runs are done; others work on: x-seed1" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_another_sweep_has_trained_and_not_yet_scored_is_left_to_it(scripts, capsys):
    """Two sweeps; the second begins while the first one tests its run."""
    words = ["with", "demo", "name=x", "seed=1,2"]
    again = SWEEP.format(words=words)
    Path("Test.py").write_text(
        SCRIPT
        + f"""
import os, subprocess
os.environ["PYTHONPATH"] = {str(Path(Sweep.__file__).parent)!r}
if not Path("begun").exists():
    Path("begun").touch()
    subprocess.run([sys.executable, "-c", {again!r}], check=True)
"""
    )
    Sweep.main(words)
    assert [line.split()[0] + line.split("x-")[1][:5] for line in scripts()] == [
        *("Trainingseed1", "Testseed1"),
        *("Trainingseed2", "Testseed2", "Evaluateseed2"),  # by the second
        "Evaluateseed1",
    ]


@pytest.mark.slow
def test_a_real_sweep_ends_in_a_comparison(place, capsys):
    small = ("data.sample_rate_hz=8000", "data.output_samples=500", "data.prepared=prepared", "model.levels=1")
    steps = ("model.filters=2", "training.batch_size=2", "training.steps=2", "training.validate_every=2")
    assert call("Sweep.py", "with", "demo", *small, *steps, "training.xla=false", "name=real", "seed=1,2") == 0
    assert call("Compare.py", "runs/real-seed1", "runs/real-seed2", "--out", "out") == 0
    assert "| real " in capsys.readouterr().out and Path("out/report.html").is_file()
    seeds = [json.loads(Path(f"runs/real-seed{seed}/config.json").read_text())["seed"] for seed in (1, 2)]
    assert seeds == [1, 2]
