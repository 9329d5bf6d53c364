"""What every command line has: help and mistakes without waiting for Keras, words as they were typed, nothing noisy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import Config
import Options
from Experiment import Experiment, RunFolder, register
from Models.options import Context

import pytest
from scripts import ROOT

SCRIPTS = ("Training.py", "Test.py", "Evaluate.py", "Separate.py", "Compare.py", "Prepare.py", "Sweep.py")
HEAVY = ("keras", "tensorflow", "jax", "scipy.signal", "matplotlib.pyplot")
LOADED = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as stop:
    print(stop.code if stop.code is not None else 0, file=sys.stderr)
print("loaded:", *(name for name in {heavy!r} if name in sys.modules))
"""


def said(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """What a script says in a process of its own, and after it which of the heavy packages it loaded."""
    command = [sys.executable, "-c", LOADED.format(heavy=HEAVY), str(ROOT / words[0]), *words[1:]]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_help_tells_every_setting_and_loads_nothing_heavy(tmp_path, script):
    done = said(tmp_path, script, "--help")
    assert done.stderr in ("", "0\n") and done.stdout.endswith("loaded:\n")
    schema = {
        "Training.py": Config.Training,
        "Sweep.py": Config.Training,
        "Test.py": Config.Test,
        "Evaluate.py": Config.Evaluate,
    }.get(script)
    if schema:
        for key, value in Options.flat(Options.to_dict(schema())):
            assert f"  {key}={value if key != 'data.sums.accompaniment' else ''}" in done.stdout or "sums" in key, key
        assert "Folder of a prepared data set" in done.stdout or "Folder of the prepared data set" in done.stdout
    if script in ("Training.py", "Test.py", "Evaluate.py"):
        assert done.stdout.index("Settings, each with its default") < done.stdout.index("Sacred's Options:")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("Training.py", "with", "demo", "training.lr=1"), "did you mean 'training.learning_rate'?"),
        (("Training.py", "with", "dmeo"), "did you mean 'demo'?"),
        (("Training.py", "demo", "training.steps=1"), "expected `with` before settings:  python"),
        (("Training.py", "training.steps=1"), "expected `with` before settings:  python"),
        (("Training.py", "with", "demo", "data.prepared=nowhere"), "nowhere"),
        (("Training.py", "with", "demo"), "expected data.prepared=FOLDER"),
        (("Test.py", "with", "run=nowhere"), "there is no run at nowhere"),
        (("Test.py", "run=nowhere"), "expected `with` before settings:  python"),
        (("Evaluate.py", "with", "run=nowhere"), "there is no run at nowhere"),
        (("Evaluate.py", "with", "estimates=x"), "estimates=DIR needs out=DIR"),
        (("Separate.py", "x.wav", "--run", "nowhere"), "there is no run at nowhere"),
        (("Compare.py", "nowhere"), "there is no run at nowhere"),
        (("Sweep.py", "with", "demo", "training.lr=1"), "did you mean 'training.learning_rate'?"),
    ],
)
def test_a_mistake_is_told_before_anything_heavy_is_loaded(tmp_path, words, expected):
    done = said(tmp_path, *words)
    assert expected in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert [
        name for name in done.stdout.removeprefix("loaded:").split() if name in ("keras", "tensorflow", "jax")
    ] == []


@pytest.mark.slow
def test_tensorflow_is_loaded_without_a_word(tmp_path):
    code = "import Utils, keras, sys; keras.ops.zeros(3); print('tensorflow' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("True\n", "")


# ---------------------------------------------------------------- words


@pytest.mark.parametrize("name", ["1.10", "2026_11_28", "1e5", "007", "None", "True", "nan", "0x10"])
def test_names_stay_as_typed(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    experiment = register(Experiment("words"), Config.Training)
    experiment.observers.append(RunFolder("runs"))
    experiment.main(lambda: 0.0)
    experiment.run_commandline(["words", "with", f"name={name}", f"data.prepared={name}", f"data.sources={name},b"])
    stored = json.loads(Path("runs", name, "config.json").read_text())
    assert (stored["name"], stored["data"]["prepared"], stored["data"]["sources"]) == (name, name, [name, "b"])


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("training.steps=1e5", ("training", "steps"), 100_000),
        ("training.learning_rate=1e-3", ("training", "learning_rate"), 0.001),
        ("training.xla=false", ("training", "xla"), False),
        ("training.xla=True", ("training", "xla"), True),
        ("augmentation.gain=0.5,1", ("augmentation", "gain"), (0.5, 1.0)),
        ("data.parts=2,3", ("data", "parts"), (2, 3)),
        ("data.parts=2", ("data", "parts"), (2,)),
        ("data.mix=None", ("data", "mix"), None),
        ("data.mix=none", ("data", "mix"), None),
        ("data.sources=['vn', 'vc']", ("data", "sources"), ("vn", "vc")),
        ("data.sources=vn, vc", ("data", "sources"), ("vn", "vc")),
        ("data.prepared='a b'", ("data", "prepared"), "a b"),
        ("data.sums.all=vn,vc", ("data", "sums"), {"all": ("vn", "vc")}),
        ("model.places=every,output", ("model", "contexts"), {"labels": Context(places=("every", "output"))}),
        ("training.loss=l1+0.5*si_sdr", ("training", "loss"), "l1+0.5*si_sdr"),
    ],
)
def test_what_else_a_word_means_its_key_decides(word, key, value):
    name, _, text = word.partition("=")
    config = Config.resolve(Config.Training, Config.PRESETS, [], Options.nested({name: Options.Word(text)}))
    assert getattr(getattr(config, key[0]), key[1]) == value


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "C:x", "a\\b", "a\0"])
def test_names_that_would_leave_the_folder_are_no_sources(name):
    with pytest.raises(ValueError, match="'data.sources' must"):
        Config.resolve(Config.Training, Config.PRESETS, [], {"data": {"sources": ["vn", name]}})
