import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import Utils

import numpy as np
import pytest
from scripts import HEED_INTERRUPTS
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent

# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("mistake", "line"),
    [
        (ValueError("data.gain: expected two numbers"), "data.gain: expected two numbers"),
        (FileNotFoundError("there is no run at x"), "there is no run at x"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.wav"), "a.wav: no space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), "runs: permission denied"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "no space left on device"),
    ],
)
def test_a_users_mistake_is_one_line(mistake, line):
    with pytest.raises(SystemExit) as stop, Utils.errors_in_one_line("X.py"):
        raise mistake
    assert stop.value.code == f"X.py: error: {line}"  # Python prints it on stderr and exits with 1
    assert stop.value.__cause__ is mistake


def test_several_mistakes_are_one_line_each():
    with pytest.raises(SystemExit) as stop, Utils.errors_in_one_line("X.py"):
        raise ValueError("a.wav is silent\n\nb.wav is short\n")
    assert stop.value.code == "X.py: error: a.wav is silent\nX.py: error: b.wav is short"


def test_a_missing_file_is_named():
    with pytest.raises(SystemExit, match="^X.py: error: /no/such/file: no such file or directory$"):
        with Utils.errors_in_one_line("X.py"):
            open("/no/such/file")


@pytest.mark.parametrize(
    "bug",
    [
        lambda: os.environ["no such variable"],
        lambda: 1 / 0,
        lambda: json.loads("{"),
        lambda: np.linalg.inv(np.zeros((2, 2))),
    ],
)
def test_a_bug_keeps_its_traceback(bug):
    with pytest.raises((KeyError, ZeroDivisionError, ValueError)), Utils.errors_in_one_line("X.py"):
        bug()


def test_it_decorates_a_function_too():
    @Utils.errors_in_one_line("X.py")
    def main(value):
        raise ValueError(f"bad {value}")

    with pytest.raises(SystemExit, match="X.py: error: bad 3"):
        main(3)


def test_ctrl_c_is_one_line_and_130():
    script = "import time, Utils\nwith Utils.errors_in_one_line('X.py'):\n  print('on', flush=True)\n  time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", HEED_INTERRUPTS + script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1] == "X.py: interrupted\n"
    assert process.returncode == 130


# ---------------------------------------------------------------- files


def test_json_has_no_nan_and_no_numpy():
    tree = {
        "nan": float("nan"),
        "inf": np.float32("inf"),
        "number": np.float64(0.1),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "array": np.array([[1.0, np.nan]]),
        "tuple": (1, "a", None),
        "path": Path("a/b"),
        4: [],
    }
    assert json.loads(Utils.json_text(tree), parse_constant=pytest.fail) == {
        "nan": None,
        "inf": None,
        "number": 0.1,
        "count": 3,
        "flag": True,
        "array": [[1.0, None]],
        "tuple": [1, "a", None],
        "path": "a/b",
        "4": [],
    }


# ---------------------------------------------------------------- progress


def test_a_log_gets_ten_lines(capsys):
    assert list(Utils.progress(range(1000), unit="step", label="train")) == list(range(1000))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == [f"{tenth}0%" for tenth in range(1, 11)]
    assert all(line.startswith("train:") and "step/s" in line and "\r" not in line for line in lines)


def test_a_bar_that_is_told_prints_no_more_lines_for_its_postfix(capsys):
    with Utils.progress(total=40, unit="step") as bar:
        for loss in range(5):
            bar.update(8)
            bar.set_postfix(loss=loss)
            bar.refresh()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["20%", "40%", "60%", "80%", "100%"]


def test_short_work_prints_little_and_no_work_nothing(capsys):
    assert list(Utils.progress(range(2))) == [0, 1]
    assert len(capsys.readouterr().err.splitlines()) <= 2
    assert list(Utils.progress([])) == []
    assert capsys.readouterr().err == ""


def test_work_that_reports_by_itself_moves_a_bar(capsys):
    with Utils.progress_calls(unit="piece", label="rendering") as report:
        for done in (2, 3, 4):
            report(done, 4)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1:3] for line in lines] == [["50%", "2/4"], ["75%", "3/4"], ["100%", "4/4"]]


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    for _ in Utils.progress(range(3), unit="step"):
        time.sleep(0.15)  # tqdm draws at most every 0.1 s
    assert "\r" in terminal.getvalue() and "3/3" in terminal.getvalue()
    assert type(Utils.progress(range(3))) is tqdm


# ---------------------------------------------------------------- tables


def test_a_table_is_markdown_with_numbers_to_the_right():
    rows = [["a|b", "3 levels?", "-inf", "7"], ["12", "b", "-", "1,234"], ["c", "", "+0.1 (-1 to 2)", ""]]
    table = Utils.markdown_table(("name", "kind", "change", "p"), rows)
    assert table.splitlines() == [
        r"| name | kind      |         change |     p |",
        r"| ---- | --------- | -------------: | ----: |",
        r"| a\|b | 3 levels? |           -inf |     7 |",
        r"| 12   | b         |              - | 1,234 |",
        r"| c    |           | +0.1 (-1 to 2) |       |",
    ]
    rule = Utils.markdown_table(("n", "p"), [["a", "1"]]).splitlines()[1]
    assert rule == "| --- | --: |"  # a colon without a dash is no rule
