"""The scripts as a person calls them: the whole way from recorded notes to scores, and every mistake in one line."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scripts import call

pytestmark = pytest.mark.slow

RATE_HZ = 8_000
TINY = (
    "demo",
    f"data.sample_rate_hz={RATE_HZ}",
    "data.output_samples=2000",
    "model.levels=3",
    "model.filters=4",
    "training.batch_size=2",
    "training.steps=4",
    "training.validate_every=2",
    "training.xla=false",
)


@pytest.fixture(scope="module")
def place(place):
    """A folder in which everything was done once: urmp, prepared, runs/tiny with estimates and scores."""
    assert call("Training.py", "with", *TINY, "data.prepared=prepared", "name=tiny") == 0
    assert call("Test.py", "with", "run=runs/tiny", "split=test,test_unseen_bank") == 0
    assert call("Evaluate.py", "with", "run=runs/tiny", "split=test,test_unseen_bank") == 0
    return place


def labels_of_the_test_piece() -> str:
    """The instruments of the one piece of the split `test`, as --labels wants them."""
    return ",".join(test_piece().name.split("_")[2:])


def test_piece() -> Path:
    rows = json.loads(Path("urmp/metadata.json").read_text())
    return Path("urmp", next(row["piece"] for row in rows if row["split"] == "test"))


test_piece.__test__ = False  # type: ignore[attr-defined]


def test_a_run_holds_what_the_next_scripts_and_people_need(place):
    run = Path("runs/tiny")
    for name in ("config.json", "best.keras", "state.npz", "curve.png", "spectrograms.png", "run.json"):
        assert (run / name).is_file(), name
    assert list((run / "tensorboard").rglob("events*"))
    log = pd.read_json(run / "log.jsonl", lines=True)
    assert list(log["step"]) == [2, 4] and np.isfinite(log["validation_loss"]).all()
    assert json.loads((run / "run.json").read_text())["status"] == "COMPLETED"


def test_estimates_are_the_present_sources_and_sum_to_the_mixture(place):
    """The demo's output is consistent, so what Test.py writes must add up to what it read."""
    piece = test_piece()
    mixture, _ = soundfile.read(next(piece.glob("AuMix*")))
    stems = sorted(Path("runs/tiny/estimates/test", piece.name).glob("*.wav"))
    assert {stem.stem for stem in stems} == set(piece.name.split("_")[2:])
    total = sum(soundfile.read(stem)[0] for stem in stems)
    np.testing.assert_allclose(total, mixture, atol=1e-5)


def test_scores_are_those_of_the_estimates_on_disk(place):
    scores = pd.read_csv("runs/tiny/scores/test/scores.csv")
    piece = test_piece()
    instrument = piece.name.split("_")[2]
    reference, _ = soundfile.read(next(piece.glob(f"AuSep_1_{instrument}*")))
    estimate, _ = soundfile.read(Path("runs/tiny/estimates/test", piece.name, f"{instrument}.wav"))
    scale = np.dot(estimate, reference) / np.dot(reference, reference)
    expected = 10 * np.log10(np.sum((scale * reference) ** 2) / np.sum((scale * reference - estimate) ** 2))
    row = scores[(scores["source"] == instrument) & (scores["method"] == "estimate") & (scores["metric"] == "SI-SDR")]
    assert row["value"].item() == pytest.approx(expected, abs=1e-6)
    for name in ("summary.csv", "summary.md", f"tracks/{piece.name}.json"):
        assert Path("runs/tiny/scores/test", name).is_file(), name
    for picture in ("boxplot", "spectrograms"):
        assert Path(f"runs/tiny/scores/test/{picture}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("quick")
def test_an_unconditioned_run_trains_and_separates_without_labels(place, said):
    plain = ("model.conditioning=none", "data.prepared=prepared", "name=plain")
    assert said("Training.py", "with", *TINY, *plain).code == 0
    assert said("Test.py", "with", "run=runs/plain").code == 0
    probed = said("Test.py", "with", "run=runs/plain", "probes=no_labels")
    assert probed.code == 1 and "Test.py: error: the run runs/plain receives no labels" in probed.err
    mixture = next(test_piece().glob("AuMix*"))
    assert said("Separate.py", mixture, "--run", "runs/plain", "--stems", "vn,bn", "--out", "all").code == 0
    assert {path.name for path in Path("all", mixture.stem).iterdir()} == {"vn.wav", "bn.wav"}


NETWORKS = {
    "band_split": ("features=3", "zones=2", "bands=2", "depth=1", "frame_samples=128", "hop_samples=64"),
    "lstm_unet": ("levels=2", "filters=2", "units=2"),
    "unet_spectrogram": ("levels=2", "filters=2", "separate=false", "frame_samples=128", "hop_samples=64"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("network", NETWORKS)
def test_any_network_goes_the_whole_way(place, said, network):
    others = [words for words in TINY if not words.startswith("model.")]
    keys = [f"model.{key}" for key in ("network=" + network, *NETWORKS[network])]
    assert said("Training.py", "with", *others, *keys, "data.prepared=prepared", f"name={network}").code == 0
    assert said("Test.py", "with", f"run=runs/{network}").code == 0
    piece = test_piece()
    mixture, rate_hz = soundfile.read(next(piece.glob("AuMix*")))
    stems = sorted(Path("runs", network, "estimates/test", piece.name).glob("*.wav"))
    np.testing.assert_allclose(sum(soundfile.read(stem)[0] for stem in stems), mixture, atol=1e-4)


def test_models_are_listed(said, monkeypatch):
    Config = importlib.import_module("Config")
    few = {name: Config.PRESETS[name] for name in ("demo", "band_split")}
    monkeypatch.setattr(Config, "PRESETS", few)
    result = said("Training.py", "list_models")
    assert result.code == 0, result.err
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in result.out.splitlines()[2:]]
    assert [row[0] for row in rows] == list(few)
    assert rows[0][2:5] == ["1,069,530", "12,787", "8,199"]  # the demo's, as README.md has them


# ---------------------------------------------------------------- Separate.py


def separated(said, file: Path, out: str, *more: object) -> dict[str, tuple[np.ndarray, int]]:
    result = said("Separate.py", file, "--run", "runs/tiny", "--labels", "vn,vc", "--out", out, *more)
    assert result.code == 0, result.err
    return {path.stem: soundfile.read(path, always_2d=True) for path in Path(out, file.stem).iterdir()}


@pytest.mark.parametrize(
    ("samples", "channels", "rate_hz"),
    [(1, 2, 4_000), (1, 1, RATE_HZ), (1, 1, 44_100), (997, 1, 4_000), (997, 2, 44_100), (30_011, 2, RATE_HZ)],
)
def test_stems_have_the_files_rate_channels_and_exact_length(place, said, rate_hz, channels, samples):
    file = Path(f"noise_{rate_hz}_{channels}_{samples}.wav")
    noise = 0.1 * np.random.default_rng(0).normal(size=(samples, channels))
    soundfile.write(file, noise, rate_hz)
    stems = separated(said, file, f"out_{file.stem}", "--float32")
    assert set(stems) == {"vn", "vc"}
    for stem, (sound, stem_rate_hz) in stems.items():
        assert (sound.shape, stem_rate_hz) == ((samples, channels), rate_hz), stem


def test_a_mono_run_separates_each_channel_of_a_stereo_file_on_its_own(place, said):
    left, right = 0.1 * np.random.default_rng(1).normal(size=(2, 9_000))
    soundfile.write("both.wav", np.stack([left, right], axis=1), RATE_HZ, "FLOAT")
    soundfile.write("left.wav", left, RATE_HZ, "FLOAT")
    both = separated(said, Path("both.wav"), "out_both", "--float32")
    alone = separated(said, Path("left.wav"), "out_left", "--float32")
    np.testing.assert_allclose(both["vn"][0][:, :1], alone["vn"][0], atol=1e-6)
    assert not np.allclose(both["vn"][0][:, 0], both["vn"][0][:, 1])


def test_separation_of_a_file_is_that_of_test_py(place, said):
    piece = test_piece()
    mixture = next(piece.glob("AuMix*"))
    arguments = ("--run", "runs/tiny", "--labels", labels_of_the_test_piece(), "--out", "again", "--float32")
    assert said("Separate.py", mixture, *arguments).code == 0
    for stem in Path("again", mixture.stem).iterdir():
        expected, _ = soundfile.read(Path("runs/tiny/estimates/test", piece.name, stem.name))
        np.testing.assert_allclose(soundfile.read(stem)[0], expected, atol=1e-6)


@pytest.mark.usefixtures("quick")
def test_probes_separate_as_if_the_labels_were_others_and_are_scored(place, said):
    """What a probe left is what Separate.py gives when it is told those labels."""
    probes = "probes=no_labels,all_labels,wrong_label"
    assert said("Test.py", "with", "run=runs/tiny", probes).code == 0
    piece = test_piece()
    mixture = next(piece.glob("AuMix*"))
    sources = ("bn", "cl", "db", "fl", "hn", "ob", "sax", "tba", "tbn", "tpt", "va", "vc", "vn")
    separate = ("--run", "runs/tiny", "--float32", "--labels", ",".join(sources), "--out", "told_all")
    assert said("Separate.py", mixture, *separate).code == 0
    probed = Path("runs/tiny/probes/all_labels/estimates/test", piece.name)
    assert {stem.name for stem in probed.iterdir()} == {f"{source}.wav" for source in sources}
    for stem in probed.iterdir():
        expected = soundfile.read(Path("told_all", mixture.stem, stem.name))[0]
        np.testing.assert_allclose(soundfile.read(stem)[0], expected, atol=1e-6)
    true = set(labels_of_the_test_piece().split(","))
    wrong = {stem.stem for stem in Path("runs/tiny/probes/wrong_label/estimates/test", piece.name).iterdir()}
    assert len(wrong - true) == len(true - wrong) == 1
    result = said("Evaluate.py", "with", "run=runs/tiny", probes, "jobs=1")
    assert result.code == 0 and "all labels" in result.out, result.err
    changes = pd.read_csv("runs/tiny/scores/test/probes.csv").set_index(["probe", "metric"])
    assert changes.loc[("true labels", "SDR"), "mean"] == 0 and changes.loc[("wrong_label", "SDR"), "mean"] != 0


def test_clips_of_the_test_are_kept(place):
    listening = Path("runs/tiny/listening/test")
    [clip] = json.loads((listening / "clips.json").read_text())
    piece, best = test_piece(), listening / "best"
    assert (clip["rank"], clip["track"]) == ("best", piece.name)
    kinds = {f"{source}.{kind}.flac" for source in piece.name.split("_")[2:] for kind in ("reference", "estimate")}
    assert {path.name for path in best.iterdir()} == kinds | {"mixture.flac"}
    mixture, rate_hz = soundfile.read(next(piece.glob("AuMix*")))
    clipped, _ = soundfile.read(best / "mixture.flac")
    start = round(clip["start_seconds"] * rate_hz)
    expected = clip["gain"] * mixture[start : start + len(clipped)]
    np.testing.assert_allclose(clipped, expected, atol=1e-3)


def test_an_unreadable_file_among_good_ones_is_named_and_the_good_ones_are_separated(place, said):
    Path("mixed").mkdir()
    soundfile.write("mixed/good.wav", np.zeros(500), RATE_HZ)
    Path("mixed/bad.wav").write_text("not sound")
    bad_samples = np.zeros(500)
    bad_samples[100] = np.nan
    soundfile.write("mixed/nan.wav", bad_samples, RATE_HZ, "FLOAT")
    result = said("Separate.py", "mixed", "--run", "runs/tiny", "--labels", "vn", "--out", "out_mixed")
    assert result.code == 1
    errors = [line for line in result.err.splitlines() if "error:" in line]
    assert len(errors) == 2 and "mixed/bad.wav" in errors[0] and "NaN" in errors[1]
    assert [path.name for path in Path("out_mixed").glob("[!.]*")] == ["good"]


# ---------------------------------------------------------------- mistakes


SEPARATE = ("Separate.py", "both.wav", "--run", "runs/tiny", "--labels", "vn")
MISTAKES = {
    "no folder": (("Prepare.py", "urmp", "nowhere", "p"), "no such folder: nowhere"),
    "empty folder": (("Prepare.py", "urmp", "empty", "p"), "empty holds no piece"),
    "not prepared": (("Prepare.py", "check", "empty"), "holds no manifest.json"),
    "another rate": (("Prepare.py", "urmp", "urmp", "prepared", "--sample-rate", 4_000), "is prepared at 8000 Hz"),
    "too few pieces": (("Prepare.py", "synthetic", "few", "--pieces", 1), "pieces"),
    "unknown line-up": (("Prepare.py", "synthetic", "few", "--lineups", "vn_kazoo"), "kazoo"),
    "no data set": (("Training.py", "with", "demo"), "expected data.prepared=FOLDER"),
    "missing data set": (("Training.py", "with", "demo", "data.prepared=nowhere"), "nowhere holds no manifest.json"),
    "rate of the run": (("Training.py", "with", "urmp", "data.prepared=prepared"), "sample_rate_hz=22050"),
    "unknown instrument": (
        ("Training.py", "with", *TINY, "data.prepared=prepared", "data.sources=vn,vc,tpt"),
        "is not among the sources vn, vc, tpt",
    ),
    "nested typo": (("Training.py", "with", "demo", "training.step=4"), "did you mean 'training.steps'?"),
    "unknown preset": (("Training.py", "with", "dmeo"), "did you mean 'demo'?"),
    "not a number": (("Training.py", "with", "demo", "training.steps=many"), "training.steps"),
    "another configuration's run": (
        ("Training.py", "with", *TINY, "data.prepared=prepared", "name=tiny", "seed=5"),
        "the run runs/tiny was started with other settings: seed was 1337 and is 5",
    ),
    "no run": (("Test.py", "with", "run=runs/nothing"), "no run at runs/nothing"),
    "run without checkpoint": (("Test.py", "with", "run=runs/untrained"), "has no checkpoint"),
    "no such split": (("Test.py", "with", "run=runs/tiny", "split=tset"), "no track in the split 'tset'"),
    "not probed": (("Evaluate.py", "with", "run=runs/tiny", "probes=shuffled_labels"), "probes=shuffled_labels"),
    "not tested": (("Evaluate.py", "with", "run=runs/tiny", "split=train"), "no finished estimates"),
    "nothing to evaluate": (("Evaluate.py",), "expected run=RUN or estimates=DIR"),
    "no such audio": (("Separate.py", "no.wav", *SEPARATE[2:]), "no such audio file: no.wav"),
    "no audio in folder": (("Separate.py", "empty", *SEPARATE[2:]), "empty holds no audio file"),
    "unknown label": ((*SEPARATE[:-1], "vn,kazoo"), "does not know kazoo"),
    "unknown stem": ((*SEPARATE, "--stems", "kazoo"), "does not know kazoo"),
    "labels left out": (SEPARATE[:-2], "needs labels"),
    "out is a file": ((*SEPARATE, "--out", "both.wav"), "both.wav"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_a_status(place, said, mistake):
    Path("empty").mkdir(exist_ok=True)
    Path("runs/untrained").mkdir(exist_ok=True)
    shutil.copy("runs/tiny/config.json", "runs/untrained")
    soundfile.write("both.wav", np.zeros((500, 2)), RATE_HZ)
    command, message = MISTAKES[mistake]
    result = said(*command)
    assert result.code == 1
    lines = [line for line in result.err.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith(f"{command[0]}: error: ") and message in lines[0], result.err
    assert "Traceback" not in result.out
