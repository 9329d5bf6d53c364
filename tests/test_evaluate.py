"""Evaluate.py as a person calls it: whose numbers, which files, what is scored again, and every mistake in one line."""

import json
import os
import shutil
from pathlib import Path

import Config
import Options
import Runs
import Utils
from Files import Output
from Input.sources import Sources
from Input.stems import write_stems

import numpy as np
import pandas as pd
import pytest
import soundfile
from joblib.externals.loky import get_reusable_executor
from scripts import Said, call

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]

RATE_HZ = 8_000
SAMPLES = 2 * RATE_HZ + 500  # two frames and some more, which count in the whole track's numbers alone


def noise(seed, samples=SAMPLES, channels=1):
    return 0.1 * np.random.default_rng(seed).standard_normal((samples, channels)).astype(np.float32)


def add(folder, rate_hz=RATE_HZ, **sources):
    """Writes <folder>/<source>.wav."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, sound in sources.items():
        soundfile.write(Path(folder, f"{name}.wav"), sound, rate_hz, "FLOAT")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def evaluated(capsys):
    """Runs Evaluate.py and keeps what it said."""

    def run(*words: object) -> Said:
        capsys.readouterr()
        code = call("Evaluate.py", "with", *words)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def processes(place):
    """The words for two tracks at a time; joblib's processes stay, in the folder in which they were started."""
    get_reusable_executor().shutdown(wait=True)
    yield "jobs=2"
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture
def folders(place):
    """References and estimates of tracks a, b and c with bass, drums and vocals; c has no bass."""
    for number, track in enumerate("abc"):
        sources = {name: noise(10 * number + n) for n, name in enumerate(("bass", "drums", "vocals"))}
        guesses = {name: 0.8 * s + noise(99 + number + n) / 3 for n, (name, s) in enumerate(sources.items())}
        if track == "c":
            del sources["bass"], guesses["bass"]
        add(f"truth/{track}", **sources)
        add(f"mine/{track}", **guesses)
    return "estimates=mine", "references=truth", "out=scores", "jobs=1"


def scores_of(out="scores/test"):
    return pd.read_csv(Path(out, "scores.csv"))


def number(scores, track, source, metric, method="estimate"):
    """The values of one metric."""
    chosen = {"track": track, "source": source, "metric": metric, "method": method}
    return scores[(scores[list(chosen)] == list(chosen.values())).all(axis=1)]["value"].tolist()


def heard(path):
    return soundfile.read(path, always_2d=True)[0]


def ratio_db(reference, error):
    return 10 * np.log10(np.sum(reference**2) / np.sum(error**2))


def errors(said: Said) -> list[str]:
    """The lines of a mistake, of which each must be one of ours."""
    lines = [line for line in said.err.splitlines() if line and not line.startswith("scoring")]
    assert said.code == 1 and "Traceback" not in said.err + said.out
    assert lines and all(line.startswith("Evaluate.py: error: ") for line in lines), said.err
    return [line.removeprefix("Evaluate.py: error: ") for line in lines]


# ---------------------------------------------------------------- the numbers


def assert_scored_by_the_formula(scores, track, source, reference, estimate, mixture):
    for method, guess in (("estimate", estimate), ("mixture", mixture)):
        frames = [slice(n * RATE_HZ, (n + 1) * RATE_HZ) for n in range(len(reference) // RATE_HZ)]
        expected = [ratio_db(reference[frame], reference[frame] - guess[frame]) for frame in frames]
        assert number(scores, track, source, "SDR", method) == pytest.approx(expected, abs=1e-6)
        scaled = reference * np.sum(guess * reference) / np.sum(reference**2)
        assert number(scores, track, source, "SI-SDR", method) == pytest.approx([ratio_db(scaled, scaled - guess)])


def test_scores_are_those_of_the_files(folders, evaluated):
    said = evaluated(*folders)
    assert said.code == 0, said.err
    scores = scores_of()
    assert set(scores["run"]) == {"mine"} and list(dict.fromkeys(scores["track"])) == ["a", "b", "c"]
    for track in "abc":
        references = {path.stem: heard(path) for path in Path("truth", track).iterdir()}
        mixture = sum(references.values())
        for source, reference in references.items():
            estimate = heard(f"mine/{track}/{source}.wav")
            assert_scored_by_the_formula(scores, track, source, reference, estimate, mixture)
    assert number(scores, "c", "bass", "SDR") == [] and number(scores, "c", "bass", "leakage") == [-np.inf]
    in_folder = {"scores.csv", "summary.csv", "summary.md", "boxplot.png", "spectrograms.png", "tracks"}
    assert {path.name for path in Path("scores/test").iterdir()} == in_folder
    tracks = {f"{track}.{kind}" for track in "abc" for kind in ("csv", "json")}
    assert {path.name for path in Path("scores/test/tracks").iterdir()} == tracks


def test_the_summary_is_that_of_the_scores_and_stands_on_the_screen(folders, evaluated):
    said = evaluated(*folders)
    summary = pd.read_csv("scores/test/summary.csv").set_index(["source", "method", "metric", "aggregation"])
    scores = scores_of()
    for source in ("bass", "drums", "vocals"):
        frames = [value for track in "abc" for value in number(scores, track, source, "SDR")]
        assert summary.loc[(source, "estimate", "SDR", "frames"), "median"] == pytest.approx(np.median(frames))
    [row] = [line.split() for line in said.out.splitlines() if line.startswith("vocals") and len(line.split()) > 9]
    sdr = summary.loc[("vocals", "estimate", "SDR", "frames"), "median"]
    assert row[1] == f"{sdr:.2f}" and row[1] in Path("scores/test/summary.md").read_text()


def test_a_prepared_data_set_gives_the_same_as_its_files_in_folders(make_prepared, evaluated):
    prepared = make_prepared({"a_vn_vn_vc": SAMPLES, "b_vn_fl": SAMPLES}, "test", channels=2, name="p")
    sources = Sources(("fl", "vc", "vn"))
    for track in prepared.split("test"):
        signals = prepared.sources(track, sources)
        playing = {name: signals[:, n] for n, name in enumerate(sources.names) if signals[:, n].any()}
        add(f"truth/{track.name}", **playing)
        add(f"mine/{track.name}", **{name: 0.7 * sound[::-1] + sound for name, sound in playing.items()})
    for where in ("references=truth", "prepared=p"):
        assert evaluated("estimates=mine", where, f"out={where[:4]}", "jobs=1").code == 0
    ours, theirs = (scores_of(f"{out}/test") for out in ("refe", "prep"))
    pd.testing.assert_frame_equal(ours, theirs, atol=1e-6)


def test_estimates_may_lie_below_their_split_and_references_too(folders, evaluated):
    evaluated(*folders)
    for place in ("mine", "truth"):
        Path(place).rename("moved")
        Path(place).mkdir()
        Path("moved").rename(f"{place}/test_mine")
    (Path("mine") / "train" / "a").mkdir(parents=True)
    assert evaluated(*folders, "split=test_mine").code == 0
    pd.testing.assert_frame_equal(scores_of("scores/test_mine"), scores_of("scores/test"))


def test_some_sources_are_scored_and_the_mixture_stays_that_of_all(folders, evaluated):
    evaluated(*folders)
    for track in "abc":
        Path(f"mine/{track}/drums.wav").unlink()
    assert evaluated(*folders, "out=few", "sources=vocals").code == 0
    few, all_of_them = scores_of("few/test"), scores_of()
    assert set(few["source"]) == {"vocals"}
    expected = all_of_them[all_of_them["source"] == "vocals"].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, expected)


def test_an_accompaniment_is_the_sum_of_what_is_named(folders, evaluated):
    for track in "abc":
        add(f"two/{track}", accompaniment=noise(7), vocals=noise(8))
    said = evaluated("estimates=two", *folders[1:], "sums.accompaniment=bass,drums,other")
    assert said.code == 0, said.err
    scores = scores_of()
    assert set(scores["source"]) == {"accompaniment", "vocals"}
    for track in "abc":
        parts = [heard(path) for path in Path("truth", track).iterdir() if path.stem != "vocals"]
        mixture = sum(parts) + heard(f"truth/{track}/vocals.wav")
        assert_scored_by_the_formula(scores, track, "accompaniment", sum(parts), noise(7), mixture)


def test_the_recorded_mixture_is_the_baseline_where_it_is_wanted(folders, evaluated):
    for track in "abc":
        add(f"truth/{track}", mixture=noise(55))
    assert evaluated(*folders, "mixture=recorded").code == 0
    vocals = heard("truth/a/vocals.wav")
    assert_scored_by_the_formula(scores_of(), "a", "vocals", vocals, heard("mine/a/vocals.wav"), noise(55))
    assert set(scores_of()["source"]) == {"bass", "drums", "vocals"}


def test_oracles_are_scored_beside_the_estimates_and_perfect_estimates_beat_them(folders, evaluated):
    shutil.copytree("truth", "perfect")
    assert evaluated("estimates=perfect", *folders[1:], "oracles=IRM,IBM,MWF").code == 0
    scores = scores_of()
    assert set(scores["method"]) == {"estimate", "mixture", "silence", "IRM", "IBM", "MWF"}
    assert number(scores, "a", "vocals", "SI-SDR") == [np.inf]
    for oracle in ("IRM", "MWF"):
        [bound], [mixture] = (number(scores, "a", "vocals", "SI-SDR", method) for method in (oracle, "mixture"))
        assert mixture + 3 < bound < 60


def test_all_metrics_are_scored_on_demand(folders, evaluated):
    assert evaluated(*folders, "metrics=all").code == 0
    scores = scores_of()
    assert {"SDR", "ISR", "SIR", "SAR", "LSD"} <= set(scores["metric"])
    [target] = [t for t in json.loads(Path("scores/test/tracks/a.json").read_text())["targets"] if t["name"] == "bass"]
    assert [frame["metrics"]["SIR"] for frame in target["frames"]] == pytest.approx(
        number(scores, "a", "bass", "SIR"), abs=1e-5
    )


def test_several_tracks_at_a_time_give_the_same_files(folders, processes, evaluated):
    assert evaluated(*folders[:3], processes, "oracles=IRM").code == 0
    Path("scores").rename("two")
    assert evaluated(*folders, "oracles=IRM").code == 0
    names = [path.relative_to("two") for path in Path("two/test").rglob("*.*")]
    assert len(names) == 5 + 6
    for name in names:
        assert Path("two", name).read_bytes() == Path("scores", name).read_bytes(), name
    two, one = (Output(out) for out in ("two", "scores"))
    assert two.names() == one.names() == sorted(map(str, names))


def test_a_single_source_is_scored_and_what_its_mixture_was_is_asked(evaluated, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    add("truth/a", vocals=noise(1), mixture=noise(1) + noise(2))
    add("mine/a", vocals=noise(1) + 0.1 * noise(3))
    words = ("estimates=mine", "references=truth", "jobs=1")
    said = evaluated(*words, "out=scores")
    assert said.code == 0 and "mixture=recorded scores against the recorded one" in said.out, said.err
    assert number(scores_of(), "a", "vocals", "SI-SDR")[0] == pytest.approx(20, abs=0.3)
    assert number(scores_of(), "a", "vocals", "SI-SDRi") == []
    said = evaluated(*words, "out=recorded", "mixture=recorded")
    assert said.code == 0 and "note" not in said.out
    assert number(scores_of("recorded/test"), "a", "vocals", "SI-SDRi")[0] == pytest.approx(20, abs=0.5)


def test_an_estimate_that_is_late_is_said_to_be(evaluated, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for track, late in (("a", 0), ("b", 300)):
        add(f"truth/{track}", vn=noise(1), vc=noise(2))
        add(f"mine/{track}", vn=np.roll(noise(1), late, axis=0), vc=noise(2))
    said = evaluated("estimates=mine", "references=truth", "out=scores", "jobs=1")
    assert "note: b: vn aligns best with 300 samples of delay" in said.out and "note: a" not in said.out
    assert number(scores_of(), "b", "vn", "SI-SDR")[0] < 0  # said, and not applied


# ---------------------------------------------------------------- what is scored again


def times():
    """When each track's scores were written."""
    return {path.stem: path.stat().st_mtime_ns for path in Path("scores/test/tracks").glob("*.csv")}


def again(evaluated, words, *more):
    """The tracks that another call scored, and what it said; each track's scores say when they were written."""
    for path in Path("scores/test/tracks").glob("*.csv"):
        os.utime(path, ns=(1, 1))
    said = evaluated(*words, *more)
    return {track for track, time in times().items() if time != 1}, said


def test_nothing_is_scored_twice_and_it_is_said(folders, evaluated):
    evaluated(*folders)
    before = Path("scores/test/scores.csv").read_text()
    scored, said = again(evaluated, folders)
    assert scored == set() and "note: 3 track(s) of scores/test were scored before; fresh=true" in said.out
    assert Path("scores/test/scores.csv").read_text() == before
    assert "note:" not in evaluated(*folders, "fresh=true").out


CHANGES = {
    "an estimate": (lambda: add("mine/b", bass=noise(1)), "", {"b"}),
    "a time": (lambda: os.utime("mine/b/bass.wav", ns=(5, 5)), "", {"b"}),
    "a reference": (lambda: add("truth/c", drums=noise(1)), "", {"c"}),
    "one more estimate": (lambda: add("mine/c", bass=noise(1)), "", {"c"}),
    "fresh": (lambda: None, "fresh=true", {"a", "b", "c"}),
    "metrics": (lambda: None, "metrics=all", {"a", "b", "c"}),
    "oracles": (lambda: None, "oracles=IRM", {"a", "b", "c"}),
    "sources": (lambda: None, "sources=vocals", {"a", "b", "c"}),
    "another file": (lambda: Path("mine/a/notes.txt").touch(), "", set()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_scored_again(folders, evaluated, change):
    evaluated(*folders)
    act, word, expected = CHANGES[change]
    act()
    words = [*folders, *word.split()]
    scored, said = again(evaluated, words)
    assert said.code == 0, said.err
    assert scored == expected
    scores, result = scores_of(), Path("scores/test/scores.csv").read_text()
    assert set(scores["track"]) == set("abc")
    evaluated(*words, *([] if change == "fresh" else ["fresh=true"]))
    assert Path("scores/test/scores.csv").read_text() == result


def test_tracks_that_are_gone_leave_the_scores(folders, evaluated):
    evaluated(*folders)
    shutil.rmtree("truth/b")
    assert evaluated(*folders).code == 0
    assert set(scores_of()["track"]) == {"a", "c"}
    assert {path.stem for path in Path("scores/test/tracks").glob("*.csv")} == {"a", "c"}


@pytest.mark.parametrize("torn", ['{"file": "test/tracks/b.csv", "by', '{"file": "b"}\n', "\n", "nonsense\n"])
def test_a_call_that_was_cut_short_is_taken_up(folders, evaluated, torn):
    evaluated(*folders)
    for kind in ("csv", "json"):
        Path(f"scores/test/tracks/b.{kind}").unlink()
    record = Path("scores/.vimss/written.jsonl")
    lines = [line for line in record.read_text().splitlines() if "/b." not in line]
    record.write_text("\n".join(lines) + "\n" + torn)
    scored, said = again(evaluated, folders)
    assert said.code == 0 and scored == {"b"} and "note: 2 track(s)" in said.out
    scored, said = again(evaluated, folders)
    assert scored == set() and "note: 3 track(s)" in said.out


def test_a_track_whose_csv_is_gone_is_scored_again(folders, evaluated):
    evaluated(*folders)
    Path("scores/test/tracks/b.csv").unlink()
    scored, said = again(evaluated, folders)
    assert scored == {"b"} and set(scores_of()["track"]) == set("abc")


# ---------------------------------------------------------------- tracks that cannot be scored


def change_sound(path, change, rate_hz=RATE_HZ):
    soundfile.write(path, change(heard(path)), rate_hz, "FLOAT")


def with_nan(sound):
    sound[70] = np.nan
    return sound


FAULTS = {
    "missing track": (lambda: shutil.rmtree("mine/b"), "no estimates at mine/b: expected a folder with bass.wav"),
    "too long": (
        lambda: change_sound("mine/b/bass.wav", lambda sound: np.append(sound, [[0]] * 4_000)),
        "mine/b/bass.wav: expected 8000 Hz, 16500 samples, 1 channel(s), like the reference. Received: 8000 Hz, "
        "20500 samples, 1 channel(s); it is 0.5 s longer",
    ),
    "too short": (lambda: change_sound("mine/b/bass.wav", lambda sound: sound[:-1]), "16499 samples"),
    "wrong rate": (
        lambda: change_sound("mine/b/bass.wav", lambda sound: sound, 16_000),
        "Received: 16000 Hz, 16500 samples, 1 channel(s); score at one rate",
    ),
    "wrong channels": (lambda: change_sound("mine/b/bass.wav", lambda s: np.repeat(s, 2, 1)), "as many channels"),
    "wrong name": (
        lambda: Path("mine/b/bass.wav").rename("mine/b/boss.wav"),
        "mine/b: expected files named bass.wav. Received: boss.wav, drums.wav, vocals.wav",
    ),
    "missing file": (lambda: Path("mine/b/bass.wav").unlink(), "mine/b: expected files named bass.wav. Received: dr"),
    "NaN": (lambda: change_sound("mine/b/bass.wav", with_nan), "mine/b/bass.wav holds NaN or infinity"),
    "no sound": (lambda: Path("mine/b/bass.wav").write_text("text"), "mine/b/bass.wav cannot be read as audio"),
    "empty": (lambda: add("mine/b", bass=np.zeros((0, 1))), "mine/b/bass.wav holds no samples"),
    "broken reference": (lambda: Path("truth/b/bass.wav").write_text("text"), "truth/b/bass.wav cannot be read"),
    "uneven reference": (lambda: add("truth/b", bass=noise(1, 9_000)), "truth/b/bass.wav lasts 1.12 s, another part"),
    "rates of references": (lambda: add("truth/b", 4_000, bass=noise(1, 8_250)), "truth/b: expected files of one"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_track_is_one_line_and_the_others_are_scored(folders, evaluated, fault):
    change, message = FAULTS[fault]
    evaluated(*folders)
    expected = scores_of()
    change()
    said = evaluated(*folders)
    [line] = errors(said)
    assert message in line
    received = scores_of()
    pd.testing.assert_frame_equal(received, expected[expected["track"] != "b"].reset_index(drop=True))
    assert "scores.csv" in said.out and "vocals" in said.out
    assert {path.stem for path in Path("scores/test/tracks").glob("*.csv")} == {"a", "c"}


def test_each_bad_track_is_a_line_until_it_is_mended_also_several_at_a_time(folders, processes, evaluated):
    kept = heard("mine/a/bass.wav")
    Path("mine/a/bass.wav").unlink()
    shutil.rmtree("mine/b")
    for words in ((*folders[:3], processes), folders):
        lines = sorted(errors(evaluated(*words)))
        assert [line.split(":")[0] for line in lines] == ["mine/a", "no estimates at mine/b"]
        assert set(scores_of()["track"]) == {"c"}
    add("mine/a", bass=kept)
    scored, said = again(evaluated, folders)
    assert scored == {"a"} and len(errors(said)) == 1 and set(scores_of()["track"]) == {"a", "c"}


def test_where_no_track_can_be_scored_there_are_the_faults_alone(folders, evaluated):
    for track in "abc":
        Path(f"mine/{track}/vocals.wav").write_text("text")
    assert len(errors(evaluated(*folders))) == 3
    assert not Path("scores/test/scores.csv").exists()


def test_a_bad_track_of_one_split_is_told_though_another_split_is_missing(folders, evaluated):
    for place in ("mine", "truth"):
        Path(place).rename("moved")
        Path(place).mkdir()
        Path("moved").rename(f"{place}/test")
    shutil.rmtree("mine/test/b")
    lines = errors(evaluated(*folders, "split=test,test_other"))
    assert any("no estimates at mine/test/b" in line for line in lines) and len(lines) == 2


# ---------------------------------------------------------------- mistakes


MISTAKES = {
    "neither run nor estimates": (("out=x",), "expected run=RUN or estimates=DIR. Received: neither"),
    "run and estimates": (("run=r", "estimates=mine"), "expected run=RUN or estimates=DIR. Received: run=r and estima"),
    "run and references": (("run=r", "references=truth"), "Received: run=r and references"),
    "run and sources": (("run=r", "sources=vocals"), "Received: run=r and sources"),
    "run and sums": (("run=r", "sums.x=a,b"), "Received: run=r and sums"),
    "no such run": (("run=r",), "there is no run at r"),
    "no references": (("estimates=mine", "out=x"), "either prepared=PREPARED or references=DIR"),
    "targets of a run": (
        ("run=r", "targets=parts"),
        "targets is of estimates=DIR; a run knows whether its sources are",
    ),
    "two references": (("estimates=mine", "out=x", "prepared=p", "references=truth"), "either prepared=PREPARED or"),
    "no out": (("estimates=mine", "references=truth"), "needs out=DIR"),
    "probes of estimates": (
        ("estimates=mine", "references=truth", "out=x", "probes=no_labels"),
        "probes are of runs: expected run=RUN. Received: estimates=DIR",
    ),
    "unknown probe": (("run=r", "probes=no_label"), "did you mean 'no_labels'?"),
    "no jobs": (("estimates=mine", "references=truth", "out=x", "jobs=0"), "'jobs' must be a number of tracks, or -1"),
    "unknown oracle": (("estimates=mine", "references=truth", "out=x", "oracles=XYZ"), "'XYZ'"),
    "unknown metrics": (("estimates=mine", "references=truth", "out=x", "metrics=some"), "'metrics' must be"),
    "typo": (("estimate=mine",), "unknown key 'estimate'; did you mean 'estimates'?"),
    "no such references": (("estimates=mine", "references=nowhere", "out=x"), "no such folder: nowhere"),
    "no such estimates": (("estimates=nowhere", "references=truth", "out=x"), "no such folder: nowhere"),
    "not prepared": (("estimates=mine", "prepared=truth", "out=x"), "truth holds no manifest.json"),
    "references without tracks": (("estimates=mine", "references=truth/a", "out=x"), "truth/a holds no track"),
    "other names": (
        ("estimates=other", "references=truth", "out=x"),
        "other: expected folders named like the tracks, such as a. Received: A, Track 2",
    ),
    "files and no folders": (
        ("estimates=mine/a", "references=truth", "out=x"),
        "mine/a: expected folders named like the tracks, such as a. Received: none",
    ),
    "unknown source": (
        ("estimates=mine", "references=truth", "out=x", "sources=vocals,violin"),
        "sources: expected some of bass, drums, vocals. Received: violin; sums.NAME=a,b makes a source of several",
    ),
    "a part of a sum": (
        ("estimates=mine", "references=truth", "out=x", "sources=bass", "sums.accompaniment=bass,drums"),
        "sources: expected some of accompaniment, vocals. Received: bass",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(folders, evaluated, mistake):
    for track in ("A", "Track 2"):
        add(f"other/{track}", vocals=noise(1))
    words, message = MISTAKES[mistake]
    [line] = errors(evaluated(*words))
    assert message in line
    assert not Path("x").exists()


# ---------------------------------------------------------------- a run and its probes


@pytest.fixture
def run(make_prepared):
    """A folder like a run's, whose estimates depend on the probe: they hold so much of the truth, and so much leaks."""
    prepared = make_prepared({"a_vn_vc": SAMPLES, "b_fl_vc": SAMPLES, "c_vn_fl": SAMPLES}, "test")
    names = ("fl", "sax", "vc", "vn")
    config = Config.Training(data={"prepared": str(prepared.root), "sources": names, "sample_rate_hz": RATE_HZ})
    Path("runs/r").mkdir(parents=True)
    Path("runs/r/config.json").write_text(Utils.json_text(Options.to_dict(config)))
    for probe, (kept, leaked) in {"": (0.9, 0), "no_labels": (0, 0), "all_labels": (0.5, 0.1)}.items():
        out = Runs.estimates_dir("runs/r", "test", probe)
        for track in prepared.split("test"):
            truth = prepared.sources(track, Sources(names))
            silent = ~truth.any(axis=(0, 2))
            guess = kept * truth + leaked * silent[:, np.newaxis] * truth.sum(axis=1, keepdims=True)
            write_stems(out / track.name, guess.astype(np.float32), names, RATE_HZ)
        tested = {"mixture": "sum", "tracks": [t.name for t in prepared.split("test")]}
        (out / Runs.TESTED).write_text(Utils.json_text(tested))
    return "run=runs/r", "jobs=1"


def test_a_run_is_scored_where_it_lies_and_a_silent_source_needs_no_file(run, evaluated):
    said = evaluated(*run)
    assert said.code == 0, said.err
    scores = scores_of("runs/r/scores/test")
    assert set(scores["run"]) == {"r"}
    for track, sources in (("a_vn_vc", ("vn", "vc")), ("b_fl_vc", ("fl", "vc"))):
        for source in sources:  # a tenth is missing
            assert number(scores, track, source, "SDR") == pytest.approx([20, 20], abs=1e-4)
    assert number(scores, "a_vn_vc", "fl", "leakage") == [-np.inf]
    assert not Path("runs/r/probes/no_labels/scores").exists()


def test_probes_tell_how_much_each_changes(run, evaluated):
    said = evaluated(*run, "probes=no_labels,all_labels")
    assert said.code == 0, said.err
    for probe in ("no_labels", "all_labels"):
        assert set(scores_of(f"runs/r/probes/{probe}/scores/test")["run"]) == {f"r, {probe}"}
    table = pd.read_csv("runs/r/scores/test/probes.csv").set_index(["probe", "metric"])
    assert table.loc[("true labels", "SDR"), "value"] == pytest.approx(20, abs=1e-4)
    assert table.loc[("no_labels", "SDR"), ["value", "mean"]].tolist() == pytest.approx([0, -20], abs=1e-4)
    half = 20 * np.log10(2)
    assert table.loc[("all_labels", "SDR"), ["value", "mean"]].tolist() == pytest.approx([half, half - 20], abs=1e-4)
    assert table.loc[("true labels", "leaked"), "value"] == table.loc[("no_labels", "leaked"), "value"] == 0
    assert (table["tracks"] == 3).all()
    cells = [line.strip("| ").split("|") for line in Path("runs/r/scores/test/probes.md").read_text().splitlines()]
    assert [row[0].strip() for row in cells[2:5]] == ["true labels", "no labels", "all labels"]
    assert "test, probes" in said.out and "all labels" in said.out


def test_what_is_emitted_for_sources_that_play_in_no_track_of_the_split_leaks_too(run, evaluated):
    """Told all labels, the model emits a saxophone as well, a tenth of the mixture's amplitude, as the flute's."""
    evaluated(*run, "probes=all_labels")
    table = pd.read_csv("runs/r/scores/test/probes.csv").set_index(["probe", "metric"])
    assert table.loc[("all_labels", "leaked"), "value"] == pytest.approx(2, abs=1e-3)  # % of the mixture's energy


def test_scores_of_a_run_and_its_probes_go_where_they_are_wanted(run, evaluated):
    assert evaluated(*run, "probes=no_labels", "out=here").code == 0
    assert Path("here/test/scores.csv").is_file() and Path("here/test/probes.csv").is_file()
    assert Path("here/no_labels/test/scores.csv").is_file() and not Path("runs/r/scores").exists()


def test_estimates_that_are_not_finished_are_made_by_test_py(run, evaluated):
    [line] = errors(evaluated(*run, "probes=wrong_label"))
    assert "no finished estimates at runs/r/probes/wrong_label/estimates/test: make them with  python Test.py" in line
    assert line.endswith("run=runs/r split=test probes=wrong_label")
    Path("runs/r/estimates/test/test.json").unlink()
    assert errors(evaluated(*run))[0].endswith("python Test.py with run=runs/r split=test")


def test_tracks_that_were_not_tested_are_not_missed(run, evaluated):
    path = Path("runs/r/estimates/test/test.json")
    path.write_text(json.dumps({"mixture": "sum", "tracks": ["a_vn_vc", "b_fl_vc"]}))
    assert evaluated(*run).code == 0
    assert set(scores_of("runs/r/scores/test")["track"]) == {"a_vn_vc", "b_fl_vc"}


def test_a_run_without_a_track_of_its_estimates_is_one_line(run, evaluated):
    shutil.rmtree("runs/r/estimates/test/b_fl_vc")
    [line] = errors(evaluated(*run))
    assert line.startswith("no estimates at runs/r/estimates/test/b_fl_vc")
    assert set(scores_of("runs/r/scores/test")["track"]) == {"a_vn_vc", "c_vn_fl"}
