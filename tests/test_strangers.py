"""People's files beside ours: every script leaves them as they are, or says what it wants moved before it writes."""

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from Files import OWN

import numpy as np
import pytest
import soundfile
from scripts import Said, call
from trees import seen_in

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]

RATE_HZ = 8_000
TINY = (
    "demo",
    f"data.sample_rate_hz={RATE_HZ}",
    *("data.output_samples=500", "model.levels=1", "model.filters=2", "training.batch_size=2"),
    *("training.steps=2", "training.validate_every=2", "training.xla=false", "data.prepared=prepared"),
)
SPLITS = "test,test_unseen_bank"
RENDER = ("--pieces", 4, "--seconds", 6, "--sample-rate", RATE_HZ, "--lineups", "vn_vc,fl_cl", "--workers", 1)
PREPARE = ("--sample-rate", RATE_HZ, "--workers", 1)


@pytest.fixture(scope="module")
def place(place):
    """A folder in which everything was done once."""
    assert call("Training.py", "with", *TINY, "name=tiny") == 0
    assert call("Test.py", "with", "run=runs/tiny", f"split={SPLITS}", "probes=no_labels") == 0
    assert call("Evaluate.py", "with", "run=runs/tiny", f"split={SPLITS}", "probes=no_labels", "jobs=1") == 0
    noise = 0.1 * np.random.default_rng(0).normal(size=(5, 2 * RATE_HZ))
    for number, track in enumerate(("one", "two", "three", "four")):
        for source, sound in (("vocals", noise[number]), ("drums", noise[number + 1])):
            for root, gain in (("own", 1), ("theirs", 0.5)):
                path = Path(root, track, f"{source}.wav")
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, gain * sound, RATE_HZ)
    for instrument in ("vn", "fl"):
        Path("solo", instrument).mkdir(parents=True)
        for number in range(4):
            soundfile.write(Path("solo", instrument, f"{instrument}{number}.wav"), noise[number], RATE_HZ)
    for command, source in (("stems", "own"), ("solos", "solo")):
        assert call("Prepare.py", command, source, f"of_{source}", *PREPARE) == 0
    Path("songs").mkdir()
    for name, sound in (("first", noise[0]), ("second", noise[1])):
        soundfile.write(Path("songs", f"{name}.wav"), sound, RATE_HZ)
    return place


@pytest.fixture
def copy(place, tmp_path, monkeypatch):
    """That folder once more, to work in; links lead to `outside`, beside it."""
    shutil.copytree(place, tmp_path / "copy", symlinks=True)
    (tmp_path / "outside" / "folder").mkdir(parents=True)
    (tmp_path / "outside" / "file").write_text("mine")
    (tmp_path / "outside" / "folder" / "events.out.tfevents.1").write_text("mine")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path


def errors(said: Said, script: str) -> list[str]:
    """The lines of a mistake; what else is on stderr is progress."""
    lines = [line.removeprefix(f"{script}: error: ") for line in said.err.splitlines() if ": error: " in line]
    assert said.code == 1 and lines and not any("Traceback" in line for line in said.err.splitlines()), said.err
    return lines


# ---------------------------------------------------------------- what each script does


@dataclass(frozen=True)
class Deed:
    """A script and its words, where it writes, and what comes before."""

    script: str
    words: tuple
    out: str
    before: Callable[[], object] = lambda: None
    new: bool = False  # whether it wants its folder empty


def changed_source(path: str) -> Callable[[], object]:
    def change() -> None:
        file = next(iter(sorted(Path().glob(path))))
        sound, rate_hz = soundfile.read(file)
        soundfile.write(file, 0.5 * sound, rate_hz)

    return change


def interrupted_render() -> None:
    Path("urmp/metadata.json").unlink()
    shutil.rmtree(next(iter(sorted(Path("urmp").glob("1_*" if Path("urmp/1_").exists() else "0*_*")))))


def separated_before(*words: object) -> Callable[[], object]:
    def separate() -> None:
        assert call("Separate.py", "songs", *SEPARATE, *words) == 0

    return separate


SEPARATE = ("--run", "runs/tiny", "--labels", "vn,vc")
DEEDS = {
    "rendered on": Deed("Prepare.py", ("synthetic", "urmp", *RENDER), "urmp", interrupted_render),
    "rendered": Deed("Prepare.py", ("synthetic", "urmp", *RENDER), "urmp"),
    "rendered anew": Deed("Prepare.py", ("synthetic", "new", *RENDER), "new", new=True),
    "urmp": Deed("Prepare.py", ("urmp", "urmp", "new", *PREPARE), "new", new=True),
    "urmp again": Deed(
        "Prepare.py", ("urmp", "urmp", "prepared", *PREPARE), "prepared", changed_source("urmp/*/AuSep_1*.wav")
    ),
    "stems again": Deed("Prepare.py", ("stems", "own", "of_own", *PREPARE), "of_own", changed_source("own/one/*")),
    "solos again": Deed("Prepare.py", ("solos", "solo", "of_solo", *PREPARE), "of_solo", changed_source("solo/*/*")),
    "trained on": Deed("Training.py", ("with", *TINY, "name=tiny"), "runs/tiny"),
    "trained afresh": Deed("Training.py", ("with", *TINY, "name=tiny", "fresh=true"), "runs/tiny"),
    "trained from": Deed("Training.py", ("with", *TINY, "name=next", "continue_from=runs/tiny"), "runs/next", new=True),
    "rate found": Deed("Training.py", ("find_learning_rate", "with", *TINY), "runs"),
    "tested": Deed("Test.py", ("with", "run=runs/tiny", f"split={SPLITS}", "probes=no_labels"), "runs/tiny"),
    "tested elsewhere": Deed("Test.py", ("with", "run=runs/tiny", "split=validation,train"), "runs/tiny"),
    "scored": Deed(
        "Evaluate.py",
        ("with", "run=runs/tiny", f"split={SPLITS}", "probes=no_labels", "jobs=1", "fresh=true"),
        "runs/tiny",
    ),
    "scored elsewhere": Deed("Evaluate.py", ("with", "run=runs/tiny", "jobs=1", "out=scores"), "scores"),
    "theirs": Deed("Evaluate.py", ("with", "estimates=theirs", "references=own", "out=scores", "jobs=1"), "scores"),
    "compared": Deed("Compare.py", ("runs/tiny", "runs/tiny/scores/test", "-o", "comparison"), "comparison"),
    "separated": Deed("Separate.py", ("songs/first.wav", *SEPARATE), "separated"),
    "separated again": Deed("Separate.py", ("songs", *SEPARATE, "--stems", "vn"), "separated", separated_before()),
    "separated here": Deed("Separate.py", ("songs/first.wav", *SEPARATE, "-o", "."), "."),
    "separated inside": Deed(
        "Separate.py", ("songs", *SEPARATE, "-o", "songs/out"), "songs/out", separated_before("-o", "songs/out")
    ),
    "separated flat": Deed(
        "Separate.py",
        ("songs/second.wav", *SEPARATE, "-o", "songs", "--filename", "{track} ({stem}).{ext}", "--flac"),
        "songs",
    ),
}
OF_THE_RUN = {"config.json", "cout.txt", "info.json", "metrics.json", "run.json", "best.keras", "state.npz"} | {
    *("log.jsonl", "curve.png", "spectrograms.png", "offending.npz", "tensorboard", ".lock")
}
"""Names in a run's folder that are a run's, whoever wrote the file."""


def drop(root: Path, outside: Path, seed: int) -> dict[str, object]:
    """Puts files of people's into a folder, those in it, and beside it; returns them as they are."""
    draw = random.Random(seed)
    names = [
        "notes.txt",
        os.fsdecode(b"no character \xff.txt"),
        ".DS_Store",
        "thesis draft.txt",
        ".partial-1-best.keras",
        "été 🎻",
        "-rf",
        "x" * 255,
    ]
    names += ["best.keras.partial", "a\nline", "mixture.txt", "report.txt", "scored.jsonl.bak", "run.json.partial"]
    names += ["writing-1", "b\\c", "manifest.json~", ".hidden/inside", "a folder/.lock", "a folder/deep/best.keras"]
    folders = [root, *sorted(path for path in root.rglob("*") if path.is_dir() and OWN not in path.parts)]
    before = seen_in(outside.parent)
    for folder in [root, *draw.sample(folders, min(6, len(folders)))]:
        for name in draw.sample(names, 5):
            path = folder / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(draw.randbytes(draw.choice((0, 1, 100))))
        for name, target in (("a link", "file"), ("linked", "folder"), ("broken", "nothing")):
            if draw.random() < 0.5 and not (folder / name).is_symlink():
                (folder / name).symlink_to(outside / target)
    after = seen_in(outside.parent)
    return {where: what for where, what in after.items() if where not in before and what != "folder"}


@pytest.mark.parametrize("deed", DEEDS)
def test_people_s_files_stay_as_they_are_beside_ours(copy, said, deed, request):
    deed = DEEDS[deed]
    deed.before()
    out = Path(deed.out)
    out.mkdir(parents=True, exist_ok=True)
    strangers = drop(out.resolve(), copy / "outside", seed=sorted(DEEDS).index(request.node.callspec.params["deed"]))
    strangers |= {where: what for where, what in seen_in(copy).items() if where.startswith("outside")}
    before = seen_in(copy)
    assert len(strangers) > 6
    done = said(deed.script, *deed.words)
    after = seen_in(copy)
    assert {where: after.get(where) for where in strangers} == strangers
    if deed.new:
        assert errors(done, deed.script) and after == before
    else:
        assert done.code == 0, done.err


def written(copy: Path, said: Callable, deed: Deed) -> list[str]:
    """What a script writes, in a folder of its own, relative to `copy`; and everything is put back."""
    shutil.copytree(copy / "copy", copy / "kept", symlinks=True)
    before = seen_in(copy / "copy")
    done = said(deed.script, *deed.words)
    assert done.code == 0, done.err
    after = seen_in(copy / "copy")
    names = sorted(name for name, what in after.items() if what != before.get(name) and what != "folder")
    for path in (copy / "copy").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(copy / "kept", copy / "copy", symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(copy / "kept")
    return names


def put(path: Path, kind: str, outside: Path) -> None:
    """Something of people's under a name that is wanted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(outside / "file")
    elif kind == "folder":
        path.mkdir()
        (path / "inside").write_text("mine")
    else:
        path.write_text("mine")


REFUSED = [name for name, deed in DEEDS.items() if deed.script != "Training.py" and not deed.new]
REFUSED = [name for name in REFUSED if name not in ("rendered", "separated here")] + ["rate found"]


@pytest.mark.parametrize("deed", list(REFUSED)[::2])  # all of them take minutes
def test_what_lies_under_a_wanted_name_is_refused_before_anything_is_written(copy, said, deed):
    deed, draw = DEEDS[deed], random.Random(deed)
    deed.before()
    names = written(copy, said, deed)
    by_kind = {Path(name).suffix + Path(name).parent.name: name for name in names}
    chosen = {*draw.sample(names, 1), *draw.sample(sorted(by_kind.values()), min(1, len(by_kind)))}
    chosen = {
        name for name in chosen if Path(name).name != ".synthetic.json"
    }  # which must be as it was, or nothing is done
    there = seen_in(copy / "copy")
    for number, name in enumerate(sorted(chosen)):
        kind = ("file", "link", "folder")[number % 3]
        path = copy / "copy" / name
        kept = path.read_bytes() if path.is_file() else None
        put(path, kind, copy / "outside")
        before = seen_in(copy)
        done = said(deed.script, *deed.words)
        after = {where: what for where, what in seen_in(copy).items() if where in before or what != "folder"}
        if deed.script == "Separate.py":  # a file that cannot be separated leaves the others alone
            before, after = ({w: what for w, what in seen.items() if path.parent.name in w} for seen in (before, after))
        assert after == before, (name, kind, {w for w in {**before, **after} if before.get(w) != after.get(w)})
        lines = errors(done, deed.script)
        named = [line for line in lines if path.name in line]
        # Inside of the folder that is separated it is also a file to separate, which fails for itself.
        assert named or kind == "folder", (name, kind, lines)
        assert len(lines) == 1 or (deed.script == "Separate.py" and lines == named), (name, kind, lines)
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if kept is None:
            for folder in path.parents:
                if str(folder.relative_to(copy / "copy")) in there or folder == copy / "copy":
                    break
                shutil.rmtree(folder)  # made for it, and perhaps our own folder inside
        else:
            path.write_bytes(kept)


def test_a_file_of_anybody_s_in_a_new_run_s_place_is_refused_and_stays(copy, said):
    for number, name in enumerate(sorted({*OF_THE_RUN, "thesis.txt"} - {"tensorboard", ".lock"})):
        Path(f"runs/new{number}").mkdir()
        Path(f"runs/new{number}", name).write_text("{}")
        before = seen_in(copy)
        assert "is no run" in errors(said("Training.py", "with", *TINY, f"name=new{number}"), "Training.py")[0], name
        assert seen_in(copy) == before, name


def test_a_sweep_leaves_folders_that_are_not_its_runs(copy, said):
    Path("runs/x").mkdir()
    Path("runs/x/thesis.txt").write_text("mine")
    Path("runs/x/.lock").write_text("mine too")
    before = seen_in(copy / "copy" / "runs" / "x")
    done = said("Sweep.py", "--splits", "", "with", *TINY, "name=x", "seed=1")
    assert "runs/x failed" in errors(done, "Sweep.py")[0]
    assert seen_in(copy / "copy" / "runs" / "x") == before


def test_what_a_run_s_folder_is_linked_to_stays_when_it_starts_over(copy, said):
    shutil.rmtree("runs/tiny/tensorboard")
    Path("runs/tiny/tensorboard").symlink_to(copy / "outside" / "folder")
    Path("runs/tiny/best.keras").rename(copy / "outside" / "best.keras")
    Path("runs/tiny/best.keras").symlink_to(copy / "outside" / "best.keras")
    before = seen_in(copy / "outside")
    assert said("Training.py", "with", *TINY, "name=tiny", "fresh=true").code == 0
    after = seen_in(copy / "outside")
    assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize("name", ["best.keras", "curve.png", "run.json", "state.npz"])
def test_a_folder_in_the_place_of_a_run_s_file_is_refused_before_it_starts_over(copy, said, name):
    Path("runs/tiny", name).unlink()
    Path("runs/tiny", name).mkdir()
    before = seen_in(copy)
    done = said("Training.py", "with", *TINY, "name=tiny", "fresh=true")
    assert errors(done, "Training.py")[0].startswith(f"runs/tiny/{name} is a folder; expected a file of the run")
    assert seen_in(copy) == before


def test_stems_that_would_be_one_file_are_refused_before_anything_is_written(copy, said):
    before = seen_in(copy)
    done = said("Separate.py", "songs", *SEPARATE, "--filename", "{stem}.{ext}")
    assert errors(done, "Separate.py")[0].startswith(
        "several stems would be one file: separated/vc.wav, separated/vn.wav"
    )
    assert seen_in(copy) == before


# ---------------------------------------------------------------- names that people's files give

NASTY = ("../../../../x", "/tmp/x_of_vimss", "a\\b", "", "a\0b", "C:x", "..", ".x", "a/b", "x" * 256, 5, None)


def edit(path: str, change: Callable) -> None:
    tree = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps(change(tree) or tree))


def manifest(where: str) -> Callable:
    def change(path: str, name: object) -> None:
        def of_tree(tree: dict) -> None:
            for track in tree["tracks"]:
                part = track["parts"][0]
                place = {"file": part["streams"]["audio"], "instrument": part}.get(where, track)
                place[where] = name

        edit(path, of_tree)

    return change


def metadata(key: str) -> Callable:
    return lambda path, name: edit(path, lambda rows: [{**row, key: name} for row in rows])


def renamed_in_test_json(path: str, name: object) -> None:
    edit(path, lambda tree: {**tree, "tracks": [name, *tree["tracks"]]})
    shutil.rmtree(f"runs/tiny/{OWN}")  # as earlier versions, which kept no record, left it


def clips(key: str) -> Callable:
    return lambda path, name: edit(path, lambda rows: [{**row, key: name} for row in rows])


def configured(key: str) -> Callable:
    def change(path: str, name: object) -> None:
        def of_tree(tree: dict) -> None:
            tree["data"][key] = [name, "vn"] if key == "sources" else {name if isinstance(name, str) else "x": [name]}

        edit(path, of_tree)

    return change


def columns(key: str) -> Callable:
    def change(path: str, name: object) -> None:
        header, *lines = Path(path).read_text().splitlines()
        place = header.split(",").index(key)
        rows = [line.split(",") for line in lines]
        text = f'"{name}"' if name is not None else ""
        Path(path).write_text("\n".join([header, *(",".join([*r[:place], text, *r[place + 1 :]]) for r in rows)]))

    return change


def museval(path: str, name: object) -> None:
    Path(path).parent.mkdir(parents=True)
    frame = {"time": 0.0, "duration": 1.0, "metrics": {"SDR": 1.0, "SIR": 1.0, "ISR": 1.0, "SAR": 1.0}}
    Path(path).write_text(json.dumps({"targets": [{"name": name, "frames": [frame]}]}))


TEST, EVALUATE = ("Test.py", "with", "run=runs/tiny"), ("Evaluate.py", "with", "run=runs/tiny", "jobs=1", "out=s")
COMPARE, OURS = ("Compare.py", "runs/tiny", "-o", "c"), ("Separate.py", "songs/first.wav", *SEPARATE)
TRAIN = ("Training.py", "with", *TINY, "name=new")
SOURCES = {
    "manifest's track": ("prepared/manifest.json", manifest("name"), (TEST, EVALUATE, TRAIN), True),
    "manifest's split": ("prepared/manifest.json", manifest("split"), (TEST, EVALUATE, TRAIN), True),
    "manifest's file": ("prepared/manifest.json", manifest("file"), (TEST, EVALUATE, TRAIN), True),
    "manifest's instrument": ("prepared/manifest.json", manifest("instrument"), (TEST, EVALUATE, TRAIN), True),
    "metadata's split": (
        "urmp/metadata.json",
        metadata("split"),
        (
            ("Prepare.py", "urmp", "urmp", "new", *PREPARE),
            EVALUATE[:2] + ("estimates=theirs", "references=urmp", "out=s"),
        ),
        True,
    ),
    "metadata's piece": (
        "urmp/metadata.json",
        metadata("piece"),
        (("Prepare.py", "synthetic", "urmp", *RENDER),),
        None,
    ),
    "test's track": ("runs/tiny/estimates/test/test.json", renamed_in_test_json, (TEST, EVALUATE[:-1]), None),
    "clips' rank": ("runs/tiny/listening/test/clips.json", clips("rank"), (COMPARE,), True),
    "clips' track": ("runs/tiny/listening/test/clips.json", clips("track"), (COMPARE,), True),
    "run's sources": ("runs/tiny/config.json", configured("sources"), (TEST, EVALUATE, OURS), True),
    "run's sums": ("runs/tiny/config.json", configured("sums"), (TEST, EVALUATE, OURS, COMPARE), None),
    "scores' track": (
        "runs/tiny/scores/test/scores.csv",
        columns("track"),
        (("Compare.py", "runs/tiny/scores/test"),),
        None,
    ),
    "scores' source": (
        "runs/tiny/scores/test/scores.csv",
        columns("source"),
        (("Compare.py", "runs/tiny/scores/test"),),
        None,
    ),
    "museval's source": ("mus/a.json", museval, (("Compare.py", "mus"),), None),
    "sources=": (None, None, (EVALUATE[:2] + ("estimates=theirs", "references=own", "out=s"),), None),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_nasty_name_is_refused_in_a_line_or_goes_nowhere(copy, said, source):
    """In a way of its own wherever a name becomes a path; where it is but shown, as in a table, it does no harm."""
    path, change, commands, refused = SOURCES[source]
    whole = Path(path).read_bytes() if path and Path(path).exists() else None
    record = Path("runs/tiny", OWN, "written.jsonl").read_bytes()
    inside = {"copy/s", "copy/c", "copy/new", "copy/separated", "copy/comparison", "copy/urmp", "copy/runs", "copy/mus"}
    for number, name in enumerate(NASTY if refused else NASTY[::3]):
        if path:
            if Path("mus").exists():
                shutil.rmtree("mus")
            change(path, name)
        before = seen_in(copy)
        for script, *words in (commands[number % len(commands)], *(commands if name == NASTY[0] else ())):
            words = [*words, f"sources={name}"] if source == "sources=" else words
            done = said(script, *words)
            if (refused and name != 5) or done.code:
                assert errors(done, script), (name, script)
        after = seen_in(copy)
        changed = {where for where in {**before, **after} if before.get(where) != after.get(where)}
        assert all("/".join(where.split("/")[:2]) in inside for where in changed), (name, changed)
        assert not Path("/tmp/x_of_vimss").exists()
        if whole is not None:
            Path(path).write_bytes(whole)
        Path("runs/tiny", OWN).mkdir(exist_ok=True)
        Path("runs/tiny", OWN, "written.jsonl").write_bytes(record)
