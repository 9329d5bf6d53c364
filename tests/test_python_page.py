"""docs/python.md is run as it stands; what it trains is made small."""

import json
import re
import shutil
from pathlib import Path

import Config
import Options
import Runs
import vimss
from Files import Output

import numpy as np
import pytest
import soundfile
from scripts import ROOT, call

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]

TINY = {
    "data": {"sample_rate_hz": 8_000, "output_samples": 2_000, "sources": ["cl", "fl", "vc", "vn"]},
    "model": {"levels": 3, "filters": 4},
    "training": {"batch_size": 2, "steps": 4, "validate_every": 2, "xla": False},
}


@pytest.fixture(scope="module")
def page(place):
    """The names that the page's blocks leave behind, run in order."""
    Path("demo").mkdir()
    shutil.copytree("prepared", "demo/prepared")
    shutil.copy(next(Path("urmp").glob("*_vn_vc/AuMix_*.wav")), "mixture.wav")
    Path("tiny.json").write_text(json.dumps(TINY))
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.S):
        exec(block.replace('configuration("demo",', 'configuration("demo", "tiny.json",'), names)
    return names


def test_what_is_trained_from_python_is_a_run_that_the_scripts_take(page, capsys):
    rows = Path("runs/from_python/log.jsonl").read_text().splitlines()
    assert page["best_loss"] == min(json.loads(row)["validation_loss"] for row in rows)
    stored = Runs.stored_config("runs/from_python")
    assert Options.from_dict(Config.Training, stored) == page["config"]
    assert call("Test.py", "with", "run=runs/from_python") == 0
    assert call("Evaluate.py", "with", "run=runs/from_python") == 0
    assert call("Separate.py", "mixture.wav", "--run", "runs/from_python", "--labels", "vn,fl,cl", "--float32") == 0
    for stem, samples in page["stems"].items():
        written, _ = soundfile.read(f"separated/mixture/{stem}.wav", dtype="float32")
        np.testing.assert_allclose(written, samples, atol=1e-6)


def test_stems_from_python_have_the_shape_of_the_recording(page):
    run, samples = page["run"], np.random.default_rng(0).standard_normal((3_001, 2)) / 10
    stems = run.separate(samples, 44_100, labels=["vn"], stems=["vn", "fl"])
    assert {name: stem.shape for name, stem in stems.items()} == {"vn": (3_001, 2), "fl": (3_001, 2)}
    for wrong in (np.zeros((0,)), np.full(100, np.nan), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="expected finite samples"):
            run.separate(wrong, 8_000, labels=["vn"])
    with pytest.raises(ValueError, match="needs labels"):
        run.separate(samples, 8_000)


def test_another_configuration_is_refused_and_the_same_one_goes_on(page):
    with pytest.raises(ValueError, match="was started with other settings: seed was 7 and is 8"):
        vimss.train(page["config"].model_copy(update={"seed": 8}), "runs/from_python")
    assert vimss.train(page["config"], "runs/from_python") == page["best_loss"]
    Path("thesis").mkdir()
    Path("thesis/chapter.txt").touch()
    with pytest.raises(ValueError, match="thesis exists already and is no run"):
        vimss.train(page["config"], "thesis")


def test_scores_from_python_are_those_of_the_files(page):
    scores = page["scores"]
    assert set(scores["source"]) <= set(TINY["data"]["sources"]) and {"SDR", "SI-SDR"} <= set(scores["metric"])
    assert Output("runs/from_python").owns("scores/test/scores.csv")
