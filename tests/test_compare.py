"""Compare.py on runs made by hand: what it says is what is in them, and the report needs nothing beside it."""

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import Actions.comparison as Compare
import Metrics
import Runs

import numpy as np
import pandas as pd
import pytest
import soundfile
from scripts import call

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]

RATE_HZ = 4000
SECONDS = 3
TRACKS = ("a", "b", "c", "d")
SOURCES = ("fl", "vn")


def signals(track: str) -> np.ndarray:
    """References (T, S, 1) of a track."""
    random = np.random.default_rng(ord(track))
    return 0.1 * random.standard_normal((SECONDS * RATE_HZ, len(SOURCES), 1)).astype(np.float32)


def make_run(name: str, error: float, settings: dict, tracks=TRACKS, scored: bool = True) -> Path:
    """A run whose estimates miss by noise `error` times as loud as the sources."""
    folder = Path("runs", name)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"name": name, "fresh": False, **settings}))
    rows = [{"step": n, "loss": 1 / n, "validation_loss": 2 / n, "learning_rate": 0.1} for n in (10, 20)]
    (folder / Runs.LOG).write_text("".join(json.dumps(row) + "\n" for row in rows))
    tables = []
    for track in tracks:
        references = signals(track)
        noise = np.random.default_rng(len(name) + ord(track)).standard_normal(references.shape)
        estimates = references + 0.1 * error * (1 + ord(track) % 3) * noise
        estimates_dir = Runs.estimates_dir(folder, "test") / track
        estimates_dir.mkdir(parents=True)
        for index, source in enumerate(SOURCES):
            soundfile.write(estimates_dir / f"{source}.wav", estimates[:, index], RATE_HZ, subtype="FLOAT")
        mixture = references.sum(axis=1)
        tables.append(Metrics.score_track(track, references, estimates, mixture, SOURCES, RATE_HZ, run="anything"))
    if scored:
        scores_dir = Runs.scores_dir(folder, "test")
        scores_dir.mkdir(parents=True)
        pd.concat(tables).to_csv(scores_dir / "scores.csv", index=False)
    return folder


def add_clip(folder: Path, track: str, gain: float) -> None:
    """Keeps second 1 of a track to listen to."""
    kept = Runs.listening_dir(folder, "test") / "best"
    kept.mkdir(parents=True)
    references = signals(track)[RATE_HZ : 2 * RATE_HZ]
    clips = {"mixture": references.sum(axis=1)}
    clips |= {f"{source}.reference": references[:, index] for index, source in enumerate(SOURCES)}
    for name, clip in clips.items():
        soundfile.write(kept / f"{name}.flac", gain * clip, RATE_HZ, subtype="PCM_16")
    told = {"rank": "best", "track": track, "start_seconds": 1.0, "seconds": 1.0, "gain": gain, "si_sdri_db": 3.0}
    (kept.parent / Runs.CLIPS).write_text(json.dumps([told]))


@pytest.fixture
def runs(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """Two runs that differ in a number, a list, and a key that one has not; clips of the first."""
    monkeypatch.chdir(tmp_path)
    first = make_run("first", 0.5, {"seed": 1, "model": {"levels": 3, "places": ["every"], "depth": 2}})
    second = make_run("second", 0.25, {"seed": 1, "model": {"levels": 5, "places": ["every", "output"]}})
    add_clip(first, "b", 0.5)
    return first, second


def table(tables: list, title: str) -> dict[str, list[str]]:
    [found] = [each for each in tables if each.title == title]
    return {row[0]: list(row[1:]) for row in found.rows}


def test_only_settings_that_differ_are_listed(runs):
    tables = Compare.compare(runs, "test", Path("out"))
    assert table(tables, "Settings that differ") == {
        "model.levels": ["3", "5"],
        "model.contexts.labels.places": ["every", "every,output"],
        "model.depth": ["2", "1"],
    }


def test_runs_that_differ_in_their_seed_alone_are_repeats_of_one(runs):
    again = make_run("second-seed2", 0.25, {"seed": 2, "model": {"levels": 5, "places": ["every", "output"]}})
    tables = Compare.compare([*runs, again], "test", Path("out"))
    assert table(tables, "Settings that differ")["seed"] == ["1", "1, 2"]
    assert set(table(tables, "Scores")) == {"first", "second", "(mixture)"}
    assert "±" in table(tables, "Scores")["second"][0] and "±" not in table(tables, "Scores")["first"][0]
    assert set(table(tables, "Paired differences")) == {"second - first"}
    scores = pd.read_csv("out/scores.csv")
    assert set(zip(scores["run"], scores["repeat"], strict=True)) == {
        ("first", "first"),
        ("second", "second"),
        ("second", "second-seed2"),
    }


def test_the_same_settings_with_the_same_seed_are_two_runs(runs):
    again = make_run("second-after", 0.2, {"seed": 1, "model": {"levels": 5, "places": ["every", "output"]}})
    tables = Compare.compare([*runs, again], "test", Path("out"))
    assert set(table(tables, "Scores")) == {"first", "second", "second-after", "(mixture)"}


def test_repeats_of_two_settings_keep_names_that_tell_them_apart(runs):
    folders = [make_run(f"a-seed{seed}", 0.3, {"seed": seed, "levels": 1 + seed % 2}) for seed in range(4)]
    tables = Compare.compare([*runs, *folders], "test", Path("out"))
    assert {"a-seed0", "a-seed1"} <= set(table(tables, "Scores"))
    assert table(tables, "Settings that differ")["seed"][2:] == ["0, 2", "1, 3"]


def test_differences_are_those_of_the_tracks(runs):
    """By hand: the SDR of each frame, its median over frames, the mean over sources, track by track."""
    Compare.compare(runs, "test", Path("out"))
    by_hand = {}
    for run in runs:
        for track in TRACKS:
            of_sources = []
            for index, source in enumerate(SOURCES):
                true = signals(track)[:, index, 0].astype(np.float64)
                given, _ = soundfile.read(Runs.estimates_dir(run, "test") / track / f"{source}.wav")
                frames = [slice(n * RATE_HZ, (n + 1) * RATE_HZ) for n in range(SECONDS)]
                ratios = [np.sum(true[f] ** 2) / np.sum((true[f] - given[f]) ** 2) for f in frames]
                of_sources.append(np.median(10 * np.log10(ratios)))
            by_hand[run.name, track] = np.mean(of_sources)
    differences = [by_hand["second", track] - by_hand["first", track] for track in TRACKS]
    paired = pd.read_csv("out/paired.csv").set_index("metric").loc["SDR"]
    assert paired["mean"] == pytest.approx(np.mean(differences), abs=1e-4)
    assert paired["median"] == pytest.approx(np.median(differences), abs=1e-4)
    assert (paired["run"], paired["against"], paired["tracks"]) == ("second", "first", 4)
    assert min(differences) <= paired["low"] <= paired["mean"] <= paired["high"] <= max(differences)


def test_the_better_run_stands_first_and_the_mixture_last(runs):
    tables = Compare.compare(runs, "test", Path("out"))
    scores = table(tables, "Scores")
    assert list(scores) == ["second", "first", "(mixture)"]
    assert float(scores["second"][0]) - float(scores["first"][0]) == pytest.approx(6.02, abs=0.3)  # half the error


def test_tracks_that_not_all_have_are_left_out_and_named(runs):
    third = make_run("third", 1.0, {"seed": 1}, tracks=TRACKS[1:])
    tables = Compare.compare([*runs, third], "test", Path("out"))
    assert {row[-2] for row in table(tables, "Scores").values()} == {"3"}
    [scores] = [each for each in tables if each.title == "Scores"]
    assert "1 track(s) that not all have are left out: a." in scores.note


def test_the_difference_of_one_track_has_no_interval(runs):
    one = make_run("one", 1.0, {"seed": 1}, tracks=TRACKS[:1])
    [table] = [each for each in Compare.compare([*runs, one], "test", Path("out")) if each.title.startswith("Paired")]
    [row] = [dict(zip(table.headings, row, strict=True)) for row in table.rows if row[:2] == ["one - first", "SDR"]]
    assert float(row["mean"]) == float(row["median"]) < 0
    assert (row["95 % interval"], row["p"], row["tracks"]) == ("-", "1", "1")


class Page(HTMLParser):
    """What a page holds; raises where its elements are not closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.sounds: dict[str, bytes] = {}
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.links += [given[name] for name in ("src", "href") if name in given]
        if tag == "audio":
            self.sounds[given["aria-label"]] = base64.b64decode(given["src"].partition("base64,")[2])
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_needs_nothing_beside_it_and_sounds_right(runs):
    Compare.compare(runs, "test", Path("out"))
    page = Page(Path("out/report.html").read_text())
    assert page.links and all(link.startswith("data:") for link in page.links)
    pictures = [base64.b64decode(link.partition("base64,")[2]) for link in page.links if "image/png" in link]
    assert len(pictures) == 4 and all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert len(page.sounds) == 1 + len(SOURCES) * 3
    for index, source in enumerate(SOURCES):
        given, _ = soundfile.read(Runs.estimates_dir(runs[1], "test") / "b" / f"{source}.wav")
        expected = {
            "reference": 0.5 * signals("b")[RATE_HZ : 2 * RATE_HZ, index, 0],
            "second": 0.5 * given[RATE_HZ : 2 * RATE_HZ],
        }
        for who, signal in expected.items():
            heard, rate_hz = soundfile.read(io.BytesIO(page.sounds[f"{source}, {who}"]))
            assert rate_hz == RATE_HZ
            np.testing.assert_allclose(heard, signal, atol=1e-4)


def test_a_silent_estimate_has_no_player_and_another_rate_is_resampled(runs):
    first, second = (Runs.estimates_dir(run, "test") / "b" for run in runs)
    (first / "fl.wav").unlink()
    time = np.arange(SECONDS * 2 * RATE_HZ) / (2 * RATE_HZ)
    soundfile.write(second / "vn.wav", 0.2 * np.sin(2 * np.pi * 200 * time), 2 * RATE_HZ, subtype="FLOAT")
    Compare.compare(runs, "test", Path("out"))
    page = Page(Path("out/report.html").read_text())
    assert "fl, first" not in page.sounds and "silent" in page.words
    heard, rate_hz = soundfile.read(io.BytesIO(page.sounds["vn, second"]))
    assert rate_hz == RATE_HZ and len(heard) == RATE_HZ
    middle = slice(500, 3500)  # away from the resampler's edges
    expected = 0.1 * np.sin(2 * np.pi * 200 * np.arange(RATE_HZ) / RATE_HZ)
    np.testing.assert_allclose(heard[middle], expected[middle], atol=1e-3)


def test_names_are_escaped(runs):
    odd = runs[0].rename("runs/<b>&'x")
    Compare.compare([odd, runs[1]], "test", Path("out"))
    page = Page(Path("out/report.html").read_text())
    assert "b" not in page.open and "<b>&'x" in page.words


def test_the_same_runs_give_the_same_files(runs):
    for out in ("one", "other"):
        Compare.compare(runs, "test", Path(out))
    for path in Path("one").glob("[!.]*"):
        assert path.read_bytes() == Path("other", path.name).read_bytes(), path.name


def test_musevals_json_files_are_a_run(runs, capsys):
    scores = Metrics.read_scores([Runs.scores_dir(runs[0], "test") / "scores.csv"])
    for track in TRACKS:
        Metrics.write_track_scores(scores[scores["track"] == track], "museval/test")
    for path in Path("museval/test").glob("*.csv"):
        path.unlink()
    tables = Compare.compare([runs[0], Path("museval")], "test", Path("out"))
    numbers = table(tables, "Scores")
    assert numbers["museval"][:4] == numbers["first"][:4]
    assert pd.read_csv("out/paired.csv").set_index("metric").loc["SDR", "mean"] == pytest.approx(0, abs=1e-4)


def test_runs_of_one_name_are_told_apart_by_their_paths(runs):
    Path("elsewhere").mkdir()
    moved = runs[1].rename("elsewhere/first")
    tables = Compare.compare([runs[0], moved], "test", Path("out"))
    assert set(table(tables, "Scores")) == {"runs/first", "elsewhere/first", "(mixture)"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("runs/first", "runs/first"), "expected different runs. Received: one of them twice"),
        (("runs/first", "runs/nobody"), "there is no run at runs/nobody; known runs: runs/first"),
        (("runs/first", "runs/raw"), "python Evaluate.py with run=runs/raw split=test"),
        (("runs/first", "--split", "tset"), "no scores of the split 'tset'"),
        (("runs/first", "runs/torn"), "expected the columns run, track"),
        (("runs/first", "runs/other"), "expected runs with tracks in common"),
    ],
)
def test_mistakes_are_one_line(runs, capsys, words, message):
    make_run("raw", 1.0, {}, scored=False)
    make_run("other", 1.0, {}, tracks=("z",))
    torn = Runs.scores_dir(make_run("torn", 1.0, {}), "test") / "scores.csv"
    torn.write_text(torn.read_text().replace("run,", "nur,", 1))
    assert call("Compare.py", *words, "--out", "out") == 1
    said = capsys.readouterr().err
    assert said.count("Compare.py: error: ") == 1 and message in said and "Traceback" not in said
