"""Every player by himself, from training to scores: quartets in which two violins play."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts import call  # isort: skip

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]

TINY = ("demo", "data.targets=parts", "data.prepared=violins", "data.sources=vn,va,vc,fl", "data.sample_rate_hz=8000")
TINY += ("data.output_samples=2000", "model.levels=2", "model.filters=4", "training.xla=false")
TINY += ("training.steps=20", "training.validate_every=10", "training.batch_size=4")


@pytest.fixture(scope="module")
def run(place) -> Path:
    render = ("--pieces", 4, "--seconds", 6, "--sample-rate", 8_000, "--lineups", "vn_vn_vc,vn_va", "--workers", 1)
    assert call("Prepare.py", "synthetic", "urmp_violins", *render) == 0
    assert call("Prepare.py", "urmp", "urmp_violins", "violins", "--sample-rate", 8_000, "--workers", 1) == 0
    assert call("Training.py", "with", *TINY, "name=parts") == 0
    return Path("runs/parts")


def test_estimates_scores_and_clips_are_of_each_part(run, said):
    assert call("Test.py", "with", f"run={run}", "split=train,test") == 0
    for split in ("train", "test"):
        for folder in (path for path in (run / "estimates" / split).iterdir() if path.is_dir()):
            instruments = folder.name.split("_")[2:]
            stems = {path.stem: soundfile.read(path)[0] for path in folder.iterdir()}
            assert sorted(stems) == [f"{number}_{name}" for number, name in enumerate(instruments, 1)]
            if instruments[:2] == ["vn", "vn"]:  # nothing but the label tells them apart
                np.testing.assert_allclose(stems["1_vn"], stems["2_vn"], atol=1e-6)
                assert np.abs(stems["1_vn"] - stems["3_vc"]).max() > 1e-5
            whole = sum(soundfile.read(path)[0] for path in Path("violins", folder.name).glob("[1-9]*.wav"))
            np.testing.assert_allclose(sum(stems.values()), whole, atol=1e-4)
    done = said("Evaluate.py", "with", f"run={run}", "split=train,test")
    assert done.code == 0 and "2_v" in done.out
    (clips,) = [json.loads(path.read_text()) for path in run.glob("listening/test/clips.json")]
    assert {path.name.partition(".")[0] for path in (run / "listening/test" / clips[0]["rank"]).iterdir()} > {"1_vn"}
    assert call("Compare.py", run, "--split", "test", "--out", "compared") == 0


def test_anybodys_recording_is_separated_into_the_parts_that_are_named(run, said):
    path = next(Path("urmp_violins").glob("*/AuMix_*"))
    done = said("Separate.py", path, "--run", run, "--labels", "vn,vn,fl", "--out", "stems")
    assert done.code == 0, done.err
    stems = {path.stem: soundfile.read(path)[0] for path in Path("stems", path.stem).iterdir()}
    assert sorted(stems) == ["1_vn", "2_vn", "3_fl"]
    np.testing.assert_array_equal(stems["1_vn"], stems["2_vn"])
    done = said("Separate.py", path, "--run", run, "--labels", "vn,fl", "--stems", "1_va", "--out", "stems")
    assert done.code == 1 and "stems: this run does not know 1_va; it knows 1_vn, 2_fl" in done.err


@pytest.mark.parametrize(
    "words, message",
    [
        (("model.conditioning=none",), "must have model.conditioning and model.places within the network"),
        (("model.places=output",), "must have model.conditioning and model.places within the network"),
        (("model.output=difference",), "must have model.output=direct or consistent with data.targets=parts"),
    ],
)
def test_what_parts_cannot_be_is_one_line(run, said, words, message):
    done = said("Training.py", "with", *TINY, *words, "name=wrong")
    assert done.code == 1 and message in done.err and not Path("runs/wrong").exists()
