"""Files.py: what is written is whole or not there, is known again, and nothing of people's is ever touched."""

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import Files
from Files import OWN, RECORD, STEMS, Output, clear_unfinished, is_recorded, require_name, require_path, whole_file

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripts import ROOT
from trees import seen_in

# ---------------------------------------------------------------- names

NASTY = {
    "empty": "",
    "here": ".",
    "above": "..",
    "a way out": "../../../../x",
    "absolute": "/etc/passwd",
    "hidden": ".bashrc",
    "a folder": "a/b",
    "another system's folder": "a\\b",
    "a drive": "C:x",
    "a NUL": "a\0b",
    "a line": "a\nb",
    "a terminal's command": "a\x1b[2Jb",
    "a text that runs backwards": "a\u202eb",
    "half a character": "\ud800",
    "a byte that is no character": os.fsdecode(b"\xff"),
    "too long": "x" * 256,
    "too long in bytes": "ä" * 128,
    "a number": 5,
    "nothing": None,
    "a list": ["a"],
}
PLAIN = (
    "a",
    "a.b",
    "a b",
    "Ä",
    "日本",
    "🎻",
    "-rf",
    "~",
    "$HOME",
    "*",
    "x" * 255,
    "é" * 127,
    "NUL",
    "12:30",
    "a..",
    "a ",
)


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_name_is_refused_in_one_line_that_shows_it(name):
    for require in (require_name, require_path) if name != "a folder" and isinstance(NASTY[name], str) else ():
        with pytest.raises(ValueError, match="must be a plain name") as error:
            require(NASTY[name])
        assert str(error.value).isprintable() and len(str(error.value)) < 400
    with pytest.raises(ValueError, match="must be a plain name"):
        require_name(NASTY[name])


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_is_taken_and_can_be_written(tmp_path, name):
    assert require_name(name) == require_path(name) == name
    output = Output(tmp_path)
    output.write_text(name, "text")
    assert (tmp_path / name).read_text() == "text" and Output(tmp_path).names() == [name]


@given(st.text())
def test_what_is_taken_for_a_name_stays_in_its_folder(name):
    try:
        require_name(name)
    except ValueError:
        return
    assert os.path.normpath(os.path.join("/a/b", name)) == f"/a/b/{name}" and Path(name).name == name


@given(st.text(alphabet="a./\\\0:", max_size=12))
def test_what_is_taken_for_a_path_stays_below_its_folder(names):
    try:
        require_path(names)
    except ValueError:
        return
    assert os.path.normpath(os.path.join("/a/b", names)) == f"/a/b/{names}"


# ---------------------------------------------------------------- whole files


def left_of_ours(root: Path) -> list[str]:
    """What lies in our folder beside the record."""
    own = root / OWN
    return sorted(path.name for path in own.iterdir() if path.name != RECORD) if own.exists() else []


def test_a_file_appears_when_it_is_whole_and_never_before(tmp_path):
    path = tmp_path / "below" / "a.json"
    for text in ("first", "second"):
        before = path.read_text() if path.exists() else None
        with whole_file(path) as partial:
            assert partial.name == path.name  # by which writers choose a format
            partial.write_text(text)
            assert (path.read_text() if path.exists() else None) == before
        assert path.read_text() == text and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_a_file_that_fails_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(error), whole_file(path) as partial:
        partial.write_text("ne")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", ["whole_file", "file", "folder"])
def test_an_error_names_the_file_that_was_wanted(tmp_path, write):
    def full_disk(path):
        raise OSError(errno.ENOSPC, "no space left on device", str(path))

    wanted = tmp_path / "sub" / "a.txt"
    if write == "whole_file":
        context = whole_file(wanted)
    else:
        output = Output(tmp_path)
        context = output.file("sub/a.txt") if write == "file" else output.folder("sub")
    with pytest.raises(OSError) as caught, context as partial:
        full_disk(partial / "a.txt" if write == "folder" else partial)
    assert caught.value.filename == str(wanted) and caught.value.errno == errno.ENOSPC
    assert not wanted.exists() and not left_of_ours(tmp_path)


# ---------------------------------------------------------------- whose file it is


@pytest.fixture
def output(tmp_path):
    """A folder with a file of ours, `ours.txt`, and one of people's, `thesis.txt`."""
    root = tmp_path / "root"  # beside which tests put things of people's
    root.mkdir()
    (root / "thesis.txt").write_text("mine")
    output = Output(root)
    output.write_text("ours.txt", "first", made_of="one")
    return output


def test_our_own_file_is_replaced_and_known_by_another_process(output):
    Output(output.root).write_text("ours.txt", "second", made_of="two")
    assert (output.root / "ours.txt").read_text() == "second"
    for each in (output, Output(output.root)):
        assert each.is_current("ours.txt", "two") and not each.is_current("ours.txt", "one")
    output.write_text("ours.txt", "third")  # although another one wrote it last


def put(path: Path, kind: str) -> None:
    """Puts something of people's in the place of a file."""
    if path.is_file():
        path.unlink()
    outside = path.parent.parent / f"outside_{path.parent.name}"
    if kind == "a folder":
        path.mkdir()
    elif kind == "an empty file":
        path.touch()
    elif kind == "a link to a file outside":
        outside.write_text("first")
        path.symlink_to(outside)
    elif kind == "a link to nowhere":
        path.symlink_to(outside.with_name("nowhere"))
    elif kind == "a link to a copy":
        path.with_name("copy.txt").write_text("first")
        path.symlink_to("copy.txt")
    else:
        path.write_text({"another file": "somebody's", "one of that length": "FIRST"}[kind])


KINDS = ["another file", "one of that length", "an empty file", "a folder"]
KINDS += ["a link to a file outside", "a link to nowhere", "a link to a copy"]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_as_we_wrote_it_is_refused_and_never_removed(output, kind, before):
    name = "ours.txt" if before else "new.txt"
    put(output.root / name, kind)
    seen = seen_in(output.root.parent)
    for each in (output, Output(output.root)):
        assert not each.owns(name) and name not in each.names()
        each.remove([name])
        with pytest.raises(FileExistsError, match=f"^{output.root / name} was not written by this program"):
            each.write_text(name, "second")
        with pytest.raises(FileExistsError, match="was not written by this program"), each.folder("") as folder:
            (folder / "a.txt").write_text("not placed either")
            (folder / name).write_text("second")
    assert seen_in(output.root.parent) == seen


def test_a_file_that_people_put_there_while_ours_was_made_stays(output):
    with pytest.raises(FileExistsError), output.file("new.txt") as partial:
        partial.write_text("ours")
        (output.root / "new.txt").write_text("mine")
    assert (output.root / "new.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["thesis.txt/a.txt", "link/a.txt", "nowhere/a.txt", "in/link/a.txt"])
def test_a_folder_that_is_none_or_leads_out_is_refused(output, name):
    outside = output.root.parent / f"outside_{output.root.name}"
    outside.mkdir()
    (output.root / "link").symlink_to(outside)
    (output.root / "nowhere").symlink_to("nothing")
    (output.root / "in").mkdir()
    (output.root / "in" / "link").symlink_to(outside)
    seen = seen_in(output.root.parent)
    with pytest.raises(FileExistsError):
        output.require_free([name])
    with pytest.raises(FileExistsError), output.file(name):
        raise AssertionError("the block must not begin")
    assert seen_in(output.root.parent) == seen


@pytest.mark.parametrize("kind", ["file", "link out", "link to nowhere"])
def test_our_own_folder_that_is_people_s_is_refused(tmp_path, kind):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    if kind == "file":
        (root / OWN).write_text("mine")
    else:
        (root / OWN).symlink_to(outside if kind == "link out" else "nothing")
    seen = seen_in(tmp_path)
    with pytest.raises(FileExistsError), Output(root).file("a.txt"):
        raise AssertionError("the block must not begin")
    assert seen_in(tmp_path) == seen


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "root").write_text("mine")
    with pytest.raises(FileExistsError, match="is no folder"):
        Output(tmp_path / "root").write_text("a.txt", "x")
    assert (tmp_path / "root").read_text() == "mine"


def test_a_link_inside_the_folder_is_followed_and_stays(output):
    (output.root / "real").mkdir()
    (output.root / "link").symlink_to("real")
    output.write_text("link/a.txt", "ours")
    assert (output.root / "real" / "a.txt").read_text() == "ours"
    output.remove(["link/a.txt"])
    assert not (output.root / "real" / "a.txt").exists() and (output.root / "link").is_symlink()


def test_every_fault_is_a_line_of_its_own(output):
    (output.root / "b.txt").write_text("mine")
    with pytest.raises(FileExistsError) as error:
        output.require_free(["thesis.txt", "b.txt", "ours.txt", "new.txt", "thesis.txt/x", "thesis.txt/y"])
    lines = str(error.value).splitlines()
    assert len(lines) == 3 and all(str(output.root) in line for line in lines)


def test_a_copy_is_still_ours_whatever_its_times(output):
    output.write_text("sub/b.txt", "second", made_of="two")
    copy = Path(f"{output.root}_copy")
    shutil.copytree(output.root, copy, copy_function=shutil.copyfile)
    assert (copy / "ours.txt").stat().st_mtime_ns != (output.root / "ours.txt").stat().st_mtime_ns
    copied = Output(copy)
    assert copied.names() == ["ours.txt", "sub/b.txt"] and copied.is_current("sub/b.txt", "two")
    assert is_recorded(copy / "sub" / "b.txt", "two") and not is_recorded(copy / "thesis.txt", "")
    copied.remove(copied.names())
    assert sorted(path.name for path in copy.iterdir()) == [OWN, "thesis.txt"]


def test_what_empties_is_removed_and_what_is_people_s_is_not(output):
    for name in ("a/b/c.txt", "a/d.txt", "e/f.txt"):
        output.write_text(name, "ours")
    (output.root / "e" / ".hidden").write_text("mine")
    output.remove(output.names())
    left = sorted(path.relative_to(output.root).as_posix() for path in output.root.rglob("*"))
    assert left == [OWN, f"{OWN}/{RECORD}", "e", "e/.hidden", "thesis.txt"]


def test_names_are_those_below_that_are_there(output):
    for name in ("a/x", "ab/x", "a/y"):
        output.write_text(name, "ours")
    (output.root / "a" / "y").unlink()
    assert output.names("a/") == ["a/x"] and output.names() == ["a/x", "ab/x", "ours.txt"]


def test_an_older_folder_s_files_are_adopted_once(tmp_path):
    for name in ("old.txt", "sub/old.txt", "thesis.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    output = Output(tmp_path)
    output.adopt(["old.txt", "sub/old.txt", "missing.txt"])
    assert output.names() == ["old.txt", "sub/old.txt"]
    Output(tmp_path).adopt(["thesis.txt"])
    assert not Output(tmp_path).owns("thesis.txt")
    with pytest.raises(ValueError, match="must be a plain name"):
        Output(tmp_path / "sub").adopt(["../thesis.txt"])


def test_only_what_was_made_as_stems_is_recorded_as_such(tmp_path):
    output = Output(tmp_path)
    output.write_text("a/vn.wav", "a stem", made_of=STEMS)
    output.write_text("a/notes.txt", "not one")
    assert is_recorded(tmp_path / "a" / "vn.wav", STEMS) and not is_recorded(tmp_path / "a" / "notes.txt", STEMS)
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert not is_recorded(tmp_path / "b" / "vn.wav", STEMS)


# ---------------------------------------------------------------- a record that was damaged


def test_a_record_that_was_torn_anywhere_loses_at_most_that_line(output):
    output.write_text("later.txt", "second")
    whole = (output.root / OWN / RECORD).read_bytes()
    begin = whole.rindex(b"\n")
    for cut in range(begin, len(whole)):
        (output.root / OWN / RECORD).write_bytes(whole[:cut])
        torn = Output(output.root)
        assert torn.names() == ["ours.txt"]
        torn.write_text("after.txt", "third")
        assert Output(output.root).names() == ["after.txt", "ours.txt"]
        torn.remove(["after.txt"])


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe\x00", b"\0" * 512, b"5", b"[]", b"{}", b'{"file": 5}', b'{"file": "../x", "bytes": 1}', b"[" * 9_000]
    + [b'{"file": "ours.txt", "bytes": 5, "mtime_ns": [], "sha256": {}}', b'{"file": "thesis.txt", "more": 1}'],
)
def test_a_line_that_is_none_of_ours_is_passed_over(output, line):
    with (output.root / OWN / RECORD).open("ab") as file:
        file.write(b"\n" + line)
    again = Output(output.root)
    again.write_text("new.txt", "x")
    assert Output(output.root).names() == ["new.txt", "ours.txt"] and not again.owns("thesis.txt")


def test_without_its_record_everything_is_people_s(output):
    shutil.rmtree(output.root / OWN)
    assert not Output(output.root).names()
    with pytest.raises(FileExistsError):
        Output(output.root).write_text("ours.txt", "second")


# ---------------------------------------------------------------- kills, and several at once

KILLED = """
import os, sys
from pathlib import Path
from Files import Output, whole_file

WATCHED = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "tempfile.mkdtemp", "fcntl.flock")

def act(root):
    output = Output(root)
    output.write_text("ours.txt", "second", made_of="two")
    with output.folder("sub", made_of="two") as folder:
        (folder / "a.txt").write_text("a" * 9000)
        (folder / "deep").mkdir()
        (folder / "deep" / "b.txt").write_text("b")
    output.remove(["gone/c.txt"])
    with whole_file(root / "state.txt") as partial:
        partial.write_text("second")

def killed(root, number):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        if event in WATCHED:
            seen += 1
            if seen == number:
                os._exit(9)
    sys.addaudithook(hook)
    act(root)
    os._exit(0)

number = 0
for folder in sorted(Path(sys.argv[1]).iterdir()):
    number += 1
    if killed(folder, number) == 0:
        print(number)
        break
"""


@pytest.mark.slow
def test_killed_at_any_step_every_file_is_whole_known_and_what_it_is_said_to_be(tmp_path):
    """Each folder goes through the same steps, of which one more is done than in the folder before."""
    steps = 120
    for number in range(steps):
        root = tmp_path / f"{number:03}"
        root.mkdir()
        (root / "thesis.txt").write_text("mine")
        output = Output(root)
        output.write_text("ours.txt", "first", made_of="one")
        output.write_text("gone/c.txt", "c")
        with whole_file(root / "state.txt") as partial:
            partial.write_text("first")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    last = int(done.stdout)
    assert 30 < last <= steps
    ways = set()
    for root in sorted(tmp_path.iterdir())[:last]:
        output, text = Output(root), (root / "ours.txt").read_text()
        assert (root / "thesis.txt").read_text() == "mine"
        assert text in ("first", "second") and (root / "state.txt").read_text() in ("first", "second")
        assert output.owns("ours.txt")
        assert output.is_current("ours.txt", "two") == (text == "second"), root
        assert output.is_current("ours.txt", "one") == (text == "first"), root
        for name, content in {"sub/a.txt": "a" * 9000, "sub/deep/b.txt": "b"}.items():
            assert not (root / name).exists() or (output.owns(name) and (root / name).read_text() == content)
        ways.add((text, (root / "sub/a.txt").exists(), (root / "gone").exists(), (root / "state.txt").read_text()))
        output.write_text("ours.txt", "third")
        clear_unfinished(root)
        assert not [name for name in left_of_ours(root) if name.startswith("writing-")], root
    assert len(ways) == 5  # every file changed at a step of its own


def _write_many(root: Path, who: int, rounds: int) -> None:
    output = Output(root)
    for number in range(rounds):
        output.write_text("shared.txt", f"{who} {number}" * 50, made_of=f"{who} {number}")
        with output.folder(f"of_{who}") as folder:
            (folder / f"{number}.txt").write_text(f"{who} {number}")


@pytest.mark.slow
def test_several_processes_write_at_once(tmp_path):
    output = Output(tmp_path)
    output.write_text("shared.txt", "begun")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_many, args=(tmp_path, who, 15)) for who in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert Output(tmp_path).names() == sorted(
        ["shared.txt", *(f"of_{who}/{number}.txt" for who in range(3) for number in range(15))]
    )
    last = (tmp_path / "shared.txt").read_text()
    assert last == last[: len(last) // 50] * 50
    assert Output(tmp_path).is_current("shared.txt", last[: len(last) // 50]) and not left_of_ours(tmp_path)
    output.write_text("shared.txt", "by one that began before all of them")


def test_what_another_process_still_writes_is_not_cleared(tmp_path):
    with Output(tmp_path).file("a.txt") as partial:
        partial.write_text("half")
        clear_unfinished(tmp_path)
        with whole_file(tmp_path / "b.txt") as other:
            other.write_text("b")
        assert partial.read_text() == "half"
        partial.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole" and not left_of_ours(tmp_path)


# ---------------------------------------------------------------- any order of what people and programs do


STEPS = ("a", "b", "a/b", "a/c", "a/b/c", "b/a", "ä ö/🎻")
ACTS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(STEPS), st.sampled_from(("x", "y", "xx"))),
    st.tuples(st.just("folder"), st.sampled_from(("", "a", "b")), st.sampled_from(("x", "y"))),
    st.tuples(st.just("remove"), st.sampled_from(STEPS), st.just("")),
    st.tuples(st.just("people write"), st.sampled_from(STEPS), st.sampled_from(("1", "2", "33"))),
    st.tuples(st.just("people remove"), st.sampled_from(STEPS), st.just("")),
    st.tuples(st.just("people link"), st.sampled_from(STEPS), st.sampled_from(("out", "out/file", "a", "nowhere"))),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ACTS, max_size=14))
def test_whatever_people_put_there_stays_as_it_is(tmp_path_factory, acts):
    """The truth is kept beside: which files were last written by the program, and which by people."""
    place = tmp_path_factory.mktemp("place")
    root, outside = place / "root", place / "out"
    root.mkdir()
    outside.mkdir()
    (outside / "file").write_text("mine")
    output, ours = Output(root), {}
    for act, name, text in acts:
        path = root / name
        people_s = {where: what for where, what in seen_in(place).items() if where not in ours and what != "folder"}
        if act in ("write", "folder"):
            files = {name: text} if act == "write" else {f"{name}/{each}".lstrip("/"): text for each in ("a", "c")}
            try:
                with output.folder(name if act == "folder" else str(Path(name).parent).lstrip(".")) as folder:
                    for file in files:
                        (folder / Path(file).name).write_text(text)
            except FileExistsError:
                pass
            else:
                for file in files:
                    real = Path(os.path.realpath(root / file)).relative_to(place.resolve()).as_posix()
                    assert real not in people_s and (root / file).read_text() == text
                    ours[real] = text
        elif act == "remove":
            output.remove([name])
            ours = {where: what for where, what in ours.items() if (place / where).exists()}
        else:
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
            if act != "people remove":
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text) if act == "people write" else path.symlink_to(place / text)
                except OSError:
                    pass
            there = seen_in(place)
            ours = {w: what for w, what in ours.items() if w in there and people_s.get(w) is None}
            ours.pop(f"root/{name}", None)
            continue
        after = seen_in(place)
        assert {where: after.get(where) for where in people_s} == people_s
    assert json.dumps(Output(root).names())


def test_the_module_imports_nothing_of_this_project():
    names = {
        line.split()[1].split(".")[0]
        for line in Path(Files.__file__).read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    assert names <= sys.stdlib_module_names
