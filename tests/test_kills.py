"""Scripts that are killed while they write, or may not write: no half file, nothing of people's gone, and a way on."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scripts import ROOT, Said, call

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]

TINY = (
    *("demo", "data.sample_rate_hz=8000", "data.output_samples=500", "data.prepared=prepared"),
    *("model.levels=2", "model.filters=2", "training.batch_size=2", "training.xla=false"),
    *("training.steps=2", "training.validate_every=2"),
)
TRAIN = ("Training.py", "with", *TINY)
TEST = ("Test.py", "with", "run=runs/run", "split=test,test_unseen_bank")
EVALUATE = ("Evaluate.py", "with", "run=runs/run", "split=test,test_unseen_bank", "jobs=1")
SEPARATE = ("Separate.py", "mix.wav", "--run", "runs/run", "--labels", "vn,vc")
COMPARE = ("Compare.py", "runs/run")
PREPARE = ("Prepare.py", "urmp", "urmp", "again", "--sample-rate", "8000", "--workers", "1")
NOBODY = 65534

# Runs scripts in forks of a process that has imported everything, so that a start takes no seconds. A fork may be told
# to kill itself at the n-th call of a function, or to become a user who may write nowhere.
SERVER = """
import encodings.cp437, importlib, json, os, runpy, signal, sys
root, user = sys.argv[1], int(sys.argv[2])
sys.path[:0] = root, f"{root}/tests"
import Utils, tensorflow
import scripts
without_pictures = scripts.quick()
without_pictures.__enter__()
from Actions import comparison, evaluation, separation, testing, training
import Prepare, Separate, Compare, Training, Test, Evaluate
from sacred import run

def dying_at(function, calls):
    module, name = function.rsplit(".", 1)
    called = getattr(importlib.import_module(module), name)
    def counted(*arguments, **named):
        nonlocal calls
        calls -= 1
        if not calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return called(*arguments, **named)
    setattr(importlib.import_module(module), name, counted)

def powerless():
    as_before = Utils.errors_in_one_line
    def as_nobody(script):  # what every script enters before it does anything
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        return as_before(script)
    Utils.errors_in_one_line = as_nobody

for line in sys.stdin:
    words, folder, dies_at, as_nobody = json.loads(line)
    pid = os.fork()
    if not pid:
        for number, name in ((1, "out.txt"), (2, "err.txt")):
            os.dup2(os.open(os.path.join(sys.argv[3], name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = [f"{root}/{words[0]}", *words[1:]]
        os.chdir(folder)
        if dies_at:
            dying_at(*dies_at)
        if as_nobody:
            powerless()
        code = 0
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as stop:
            code = stop.code
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
        except BaseException:
            import traceback
            traceback.print_exc()
            code = 2
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Server:
    """Scripts that are called in processes of their own."""

    def __init__(self, folder: Path):
        self.said = folder
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER, ROOT, str(NOBODY), folder],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __call__(
        self, *words: str, folder: Path | None = None, dies_at: tuple[str, int] | None = None, nobody: bool = False
    ) -> Said:
        """Runs a script in a folder to its end, or until the n-th call of a function kills it."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([words, str(folder or "."), dies_at, nobody]) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        return Said(code, *((self.said / name).read_text() for name in ("out.txt", "err.txt")))


@pytest.fixture(scope="module")
def server(place, tmp_path_factory) -> Iterator[Server]:
    """In a folder with a trained, tested and scored run, and a file to separate."""
    soundfile.write("mix.wav", np.random.default_rng(0).normal(0, 0.1, 100_000), 8000)
    assert call(*TRAIN, "name=run") == 0
    server = Server(tmp_path_factory.mktemp("said"))
    for command in (TEST, EVALUATE, SEPARATE):
        result = server(*command)
        assert result.code == 0, result.err
    Path("whole").mkdir()
    for folder in ("runs", "separated"):
        shutil.move(folder, "whole")
    yield server
    server.process.kill()
    server.process.communicate()


def contents(folder: Path) -> dict[str, object]:
    """What tells one file from another: of sound the samples, whose headers hold the time; of tables the text."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and ".vimss" not in path.parts):
        name = path.relative_to(folder).as_posix()
        if path.suffix in (".wav", ".flac"):
            found[name] = soundfile.read(path)[0].tobytes()
        elif path.suffix in (".csv", ".md", ".json", ".txt"):
            found[name] = path.read_text()
    return found


# What kills itself, at the n-th call of which function: before it is carried out.
KILLED = {
    "Test.py after its first track": (TEST, ("os.replace", 3)),
    "Test.py within its first track": (TEST, ("os.replace", 2)),
    "Test.py before it says that it is done": (TEST, ("Actions.testing.keep_clips", 1)),
    "Evaluate.py after its first track": (EVALUATE, ("Actions.evaluation.write_summary", 1)),
    "Evaluate.py within its first track": (EVALUATE, ("os.replace", 2)),
    "Separate.py while it separates": (SEPARATE, ("Actions.separation.separate", 1)),
    "Separate.py while it writes stems": (SEPARATE, ("Actions.separation.stem_writer", 2)),
    "Separate.py while stems take their places": (SEPARATE, ("os.replace", 2)),
}


@pytest.mark.parametrize("moment", KILLED)
def test_a_script_that_was_killed_leaves_whole_files_and_ends_when_it_is_called_again(server, moment):
    command, dies_at = KILLED[moment]
    own = Path("separated" if command is SEPARATE else "runs")
    shutil.rmtree("runs", ignore_errors=True)
    shutil.rmtree("separated", ignore_errors=True)
    shutil.copytree("whole/runs", "runs")
    for made in {TEST: ("estimates", "listening"), EVALUATE: ("scores",)}.get(command, ()):
        shutil.rmtree(Path("runs/run", made))
    expected = contents(Path("whole", own))
    mine = own / ("mix/vn.txt" if command is SEPARATE else "run/estimates/test/notes.txt")
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    expected[mine.relative_to(own).as_posix()] = "mine"

    assert server(*command, dies_at=dies_at).code == -9
    left = contents(own)
    assert {name: each for name, each in left.items() if each != expected.get(name)} == {}
    assert len(left) < len(expected), "it was killed too late"
    assert left[mine.relative_to(own).as_posix()] == "mine"
    assert list(own.rglob("writing-*")) or dies_at[0].startswith(("Actions.testing", "Actions.evaluation"))

    result = server(*command)
    assert result.code == 0, result.err
    assert contents(own) == expected
    assert not list(own.rglob("writing-*"))


@pytest.fixture(scope="module")
def forbidden(server) -> Iterator[Path]:
    """A copy of the place that anybody may read and only its owner may write."""
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder, "place")
        inner.mkdir()
        for name in ("urmp", "prepared"):
            shutil.copytree(name, inner / name)
        shutil.copytree("whole/runs", inner / "runs")
        shutil.copy("mix.wav", inner)
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield inner


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize(
    "command",
    [SEPARATE, TEST, EVALUATE, COMPARE, PREPARE, (*TRAIN, "name=run", "fresh=true"), (*TRAIN, "name=new"), TRAIN],
    ids=lambda command: f"{command[0]} {command[-1]}",
)
def test_a_folder_that_may_not_be_written_is_one_line(forbidden, server, command):
    before = contents(forbidden)
    result = server(*command, folder=forbidden, nobody=True)
    lines = [line for line in result.err.splitlines() if line]
    assert result.code == 1 and len(lines) == 1, result.err
    assert lines[0].startswith(f"{command[0]}: error: ") and "ermission denied" in lines[0]
    assert contents(forbidden) == before
