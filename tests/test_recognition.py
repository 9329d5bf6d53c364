"""A run that recognises instruments, from files on disk to labels: trained, tested, scored, asked by Separate.py."""

import json
from pathlib import Path

from Actions import recognition
from Actions.run import Run
from vimss import evaluate

import numpy as np
import pandas as pd
import pytest
import soundfile
from scripts import call
from test_scripts import RATE_HZ, TINY

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]

RECOGNISER = (
    "instruments",
    f"data.sample_rate_hz={RATE_HZ}",
    "data.sources=vn,vc,fl,cl",
    "data.mix=null",
    "data.output_samples=4000",
    "model.levels=2",
    "model.filters=4",
    "model.frame_samples=256",
    "model.hop_samples=128",
    "training.batch_size=2",
    "training.steps=4",
    "training.validate_every=2",
    "training.xla=false",
    "data.prepared=prepared",
)


@pytest.fixture(scope="module")
def place(place):
    """A folder with a run that separates and one that recognises."""
    assert call("Training.py", "with", *TINY, "data.prepared=prepared", "name=tiny") == 0
    assert call("Training.py", "with", *RECOGNISER, "name=who") == 0
    return place


def test_it_is_tested_and_scored(place, said):
    tested = said("Test.py", "with", "run=runs/who")
    assert tested.code == 0 and "loss " in tested.out
    made = json.loads(Path("runs/who/estimates/test/test.json").read_text())
    table = pd.read_csv("runs/who/estimates/test/recognised.csv")
    assert set(table["track"]) == set(made["tracks"]) and set(table["source"]) == {"vn", "vc", "fl", "cl"}
    assert table["probability"].between(0, 1).all()
    scored = said("Evaluate.py", "with", "run=runs/who")
    assert scored.code == 0 and "AP" in scored.out and "| all" in scored.out

    rows = evaluate(run="runs/who")["test"]
    np.testing.assert_allclose(rows["probability"], table["probability"])
    run, [name] = Run("runs/who"), made["tracks"]
    played = {name: set(of_track["source"][of_track["playing"] == 1]) for name, of_track in rows.groupby("track")}
    assert played[name] == set(name.split("_")[2:])
    true, guessed = rows["playing"].to_numpy(), rows["probability"].to_numpy()
    entropy = -np.mean(true * np.log(guessed) + (1 - true) * np.log(1 - guessed))
    assert made["value"] == pytest.approx(entropy, rel=1e-4)  # the loss is of the same truth

    mixture, rate_hz = soundfile.read(f"urmp/{name}/AuMix_{name}.wav")
    of_file = run.recognise(mixture, rate_hz)
    weighted = rows.assign(sum=rows["probability"] * rows["seconds"]).groupby("source")
    expected = weighted["sum"].sum() / weighted["seconds"].sum()
    assert of_file == pytest.approx(expected.to_dict(), abs=2e-2)  # the file is of 16 bits


def test_scores_of_other_weights_and_what_is_of_separation_alone_are_refused(place, said):
    assert said("Test.py", "with", "run=runs/who").code == 0
    for words, reason in {
        ("Test.py", "with", "run=runs/who", "probes=no_labels"): "probes are of a network's contexts",
        ("Evaluate.py", "with", "run=runs/who", "oracles=IBM"): "oracles is for runs that separate",
        ("Compare.py", "runs/who"): "expected runs that separate. Received: runs/who",
        ("Separate.py", "urmp", "--run", "runs/who"): "expected a run that separates",
        ("Separate.py", "urmp", "--run", "runs/tiny", "--recogniser", "runs/tiny"): "a run that recognises instruments",
        ("Training.py", "with", "model.network=recogniser"): "such as bce(playing), not mse",
        ("Training.py", "with", "demo", "training.loss=bce(playing)"): "model.network=wave_unet emits, such as mse",
        ("Training.py", "with", "instruments", "data.targets=parts"): "data.targets=classes with model.network=recog",
    }.items():
        refused = said(*words)
        assert refused.code == 1 and refused.err.count("error:") == 1 and reason in refused.err, refused.err
    best = Path("runs/who/best.keras")
    kept = best.read_bytes()
    try:
        best.write_bytes(Path("runs/tiny/best.keras").read_bytes())
        refused = said("Evaluate.py", "with", "run=runs/who")
        assert refused.code == 1 and "made with other weights" in refused.err
    finally:
        best.write_bytes(kept)


def test_without_labels_a_recogniser_proposes_them(place, said, monkeypatch):
    sure = {"vn": 0.9, "vc": 0.75, "fl": 0.3, "cl": 0.02}
    monkeypatch.setattr(recognition, "probabilities_of", lambda data, windows: sure)
    name = sorted(path.name for path in Path("urmp").glob("*_*"))[0]
    mixture = f"urmp/{name}/AuMix_{name}.wav"
    separated = said("Separate.py", mixture, "--run", "runs/tiny", "--recogniser", "runs/who", "-o", "found")
    assert separated.code == 0, separated.err
    assert "recognised vn 0.90, vc 0.75, fl 0.30; taken as --labels vc,vn" in separated.err
    assert "runs/who never proposes " in separated.err  # the other nine
    assert said("Separate.py", mixture, "--run", "runs/tiny", "--labels", "vc,vn", "-o", "named").code == 0
    stems = {path.name: path.read_bytes() for path in Path("named").rglob("*.wav")}
    assert stems.keys() == {"vc.wav", "vn.wav"}
    assert {path.name: path.read_bytes() for path in Path("found").rglob("*.wav")} == stems


def test_a_file_in_which_nothing_is_recognised_is_that_files_fault_alone(place, said, monkeypatch):
    doubts = iter([{"vn": 0.4, "vc": 0.05}, {"vn": 0.8, "vc": 0.05}])
    monkeypatch.setattr(recognition, "probabilities_of", lambda data, windows: next(doubts))
    names = sorted(path.name for path in Path("urmp").glob("*_*"))[:2]
    mixtures = [f"urmp/{name}/AuMix_{name}.wav" for name in names]
    some = said("Separate.py", *mixtures, "--run", "runs/tiny", "--recogniser", "runs/who", "-o", "some")
    assert some.code == 1 and some.err.count("error:") == 1
    assert f"{mixtures[0]}: no class of the run is recognised with a probability of 0.5 or more (vn 0.40)" in some.err
    assert [path.name for path in Path("some").iterdir() if not path.name.startswith(".")] == [f"AuMix_{names[1]}"]
    both = said("Separate.py", *mixtures, "--run", "runs/tiny", "--recogniser", "runs/who", "--labels", "vn")
    assert both.code == 2 and "not allowed with" in both.err
