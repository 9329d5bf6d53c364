"""How everything here is written: whole or not at all, and never over what this program did not write.

An `Output` is a folder that people share with this program. It keeps a record of each file that it writes, so that a
later call knows its own files from people's, replaces the ones and refuses to touch the others. All floors may import
this file; it imports none of them.
"""

import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TextIO

OWN = ".vimss"  # the one folder of ours in a folder that people share with us
RECORD = "written.jsonl"
LOCK = ".lock"  # no file that is written begins with a dot
STEMS = "stems"  # what separated files are made of, so that nobody separates them again by mistake
LONGEST_BYTES = 255  # of a name on most file systems


def require_name(name: str, what: str = "a name") -> str:
    """Returns a name of a track, part, split, source, run or file if it is safe as one step of a path.

    Args:
        name: as a manifest, a configuration or somebody's file gives it.
        what: what it names, for the error.

    Raises:
        ValueError: if it is empty, hidden, `.` or `..`, too long, not printable, begins like a drive, or has a
            separator in it.
    """
    faulty = (
        not isinstance(name, str)  # json holds anything
        or not name
        or name.startswith(".")
        or "/" in name
        or "\\" in name
        or re.match(r"[A-Za-z]:", name)
        or not name.isprintable()
        or len(os.fsencode(name)) > LONGEST_BYTES
    )
    if faulty:
        raise ValueError(
            f"must be a plain name: {what} becomes a file or folder, so it is not empty, begins with no dot and no "
            f"drive, is at most {LONGEST_BYTES} bytes long, and has neither separators nor control characters; "
            f"received {str(name)[:80]!r}"
        )
    return name


def require_path(names: str) -> str:
    """Returns a relative path of plain names between slashes, as `require_name` each. Raises ValueError otherwise."""
    for name in names.split("/"):
        require_name(name, "each step of a file's path")
    return names


@contextmanager
def whole_file(path: str | Path, previous: Path | None = None) -> Iterator[Path]:
    """Yields a temporary name to write to; it takes the place of `path` only if the block ends without an error.

    For files whose names are this program's own. It is on the disk before it takes its place. A missing folder is made.

    Args:
        path: the file.
        previous: where the file before is kept, in the same folder; a kill never leaves neither of the two.

    Raises:
        OSError: if it cannot be written; the file before stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(path.parent) as folder, _named(folder, path.parent):
        partial = folder / path.name
        yield partial
        _sync(partial)
        if previous and path.is_file():
            os.replace(path, previous)
        os.replace(partial, path)


class Written(NamedTuple):
    """A file that was written: what it was like, and what it was made of (empty if nobody asks)."""

    bytes: int
    mtime_ns: int
    sha256: str
    made_of: str = ""


class Output:
    """A folder in which this program writes files beside those of people.

    Args:
        root: the folder; made with its first file.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._record = self.root / OWN / RECORD
        self._written = self._recorded()

    def adopt(self, names: Collection[str] = ()) -> None:
        """Begins the record where there is none, and takes files of these names that are there for this program's own.

        For folders that earlier versions made, which kept no record; what comes later under these names is people's.
        """
        if self._record.is_file():
            return
        with _unfinished(self.root) as folder:
            begun = folder / RECORD
            with begun.open("w") as file:
                for name in names:
                    path = self.root / require_path(name)
                    if path.is_file() and not path.is_symlink() and not self._leads_out(path):
                        file.write(_line(name, _as_it_is(path)))
            try:
                os.link(begun, self._record)  # and no replacing: another process may have been faster, and written on
            except FileExistsError:
                pass
            except OSError:  # no links on this file system
                os.replace(begun, self._record)
        self._written = self._recorded()

    def require_free(self, names: Collection[str]) -> None:
        """Raises what keeps files from being written, before any is.

        Args:
            names: relative to the folder, with `/` between steps.

        Raises:
            ValueError: if a name is no safe path.
            FileExistsError: one line for each name under which there is something that this program did not write, or
                that a link leads out of the folder.
        """
        faults = [fault for name in names if (fault := self._fault(require_path(name)))]
        if faults:
            raise FileExistsError("\n".join(dict.fromkeys(faults)))

    @contextmanager
    def folder(self, below: str, made_of: str = "") -> Iterator[Path]:
        """Yields an empty temporary folder to fill; its files take their places if the block ends without an error.

        Files that were there and are not written again stay.

        Args:
            below: where the files belong, relative to this folder, which empty text means; missing folders are made.
            made_of: a text that says what the files were made of, for `is_current`.

        Raises:
            ValueError, FileExistsError: as `require_free`.
            OSError: if a file cannot be written; those before stay.
        """
        with _unfinished(self.root) as partial, _named(partial, self.root / below):
            yield partial
            files = {Path(below, path.relative_to(partial)).as_posix(): path for path in _files(partial)}
            self.require_free(files)
            (self.root / below).mkdir(parents=True, exist_ok=True)  # also where nothing is in it
            for name, path in files.items():
                self._place(name, path, made_of)

    @contextmanager
    def file(self, name: str, made_of: str = "") -> Iterator[Path]:
        """Yields a temporary name to write to; it becomes the file only if the block ends without an error.

        Args:
            name: relative to the folder; missing folders are made.
            made_of: a text that says what the file was made of, for `is_current`.

        Raises:
            ValueError, FileExistsError, OSError: as `folder`.
        """
        self.require_free([name])
        with _unfinished(self.root) as folder, _named(folder, (self.root / name).parent):
            partial = folder / Path(name).name
            yield partial
            self.require_free([name])  # again: the block may have taken hours
            self._place(name, partial, made_of)

    def write_text(self, name: str, text: str, made_of: str = "") -> None:
        """Writes a text file in UTF-8; arguments and errors are those of `file`."""
        with self.file(name, made_of) as partial:
            partial.write_text(text, encoding="utf-8")

    def remove(self, names: Collection[str]) -> None:
        """Removes files that this program wrote, and the folders that this empties; whatever is people's stays."""
        for name in names:
            if not self.owns(name):
                continue
            path = self.root / name
            path.unlink()
            for folder in path.parents:
                if folder == self.root or folder.is_symlink() or any(folder.iterdir()):
                    break
                folder.rmdir()

    def owns(self, name: str) -> bool:
        """Whether a file is there, and is as this program wrote it."""
        return self._as_written(name) is not None

    def is_current(self, name: str, made_of: str) -> bool:
        """Whether the file is there, is as this program wrote it, and was made of exactly this."""
        written = self._as_written(name)
        return written is not None and written.made_of == made_of

    def names(self, below: str = "") -> list[str]:
        """The files of this program that are there, of those whose names begin so, in order."""
        return sorted(name for name in self._written if name.startswith(below) and self.owns(name))

    def _fault(self, name: str) -> str:
        path = self.root / name
        if outside := self._leads_out(path) or self._leads_out(self._record):
            return f"{outside} is a link that leads out of {self.root}; expected a folder of its own, or none yet"
        for folder in [self.root, self._record.parent, *reversed(list(path.parents)[: name.count("/")])]:
            if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
                return f"{folder} is no folder; expected one, or nothing yet: choose another name or folder"
        if (path.exists() or path.is_symlink()) and not self.owns(name):
            return (
                f"{path} was not written by this program, or was changed since (or an earlier version wrote it, which "
                "kept no record); it stays as it is: move it away, or choose another folder"
            )
        return ""

    def _leads_out(self, path: Path) -> Path | None:
        """The step of a path, below the folder, that is a link out of it."""
        root = self.root.resolve()
        for step in path.parents:
            if step == self.root:
                break
            if step.is_symlink() and not step.resolve().is_relative_to(root):
                return step
        return None

    def _place(self, name: str, partial: Path, made_of: str) -> None:
        """Moves a file to its place; it is recorded first, so that it is known wherever a kill falls."""
        _sync(partial)
        written = _as_it_is(partial, made_of)
        with self._record.open("a") as file:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)  # on a shared disk two lines may fall on one place
            file.write(_line(name, written))
            file.flush()
            os.fsync(file.fileno())
        self._written.setdefault(name, []).append(written)
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, self.root / name)

    def _as_written(self, name: str) -> Written | None:
        """What the record says of the file as it is now; None where it is not there, or people's."""
        path = self.root / name
        if not path.is_file() or path.is_symlink() or self._leads_out(path):
            return None
        while True:
            stat = path.stat()
            if found := self._match(path, name, stat):
                return found
            self._written = self._recorded()  # other processes may have written meanwhile
            found = self._match(path, name, stat)
            if found or os.path.samestat(stat, path.stat()):
                return found

    def _match(self, path: Path, name: str, stat: os.stat_result) -> Written | None:
        """The latest line that describes a file: by its time, else by its content, as copies have other times."""
        alike = [each for each in reversed(self._written.get(name, [])) if each.bytes == stat.st_size]
        for each in alike:
            if each.mtime_ns == stat.st_mtime_ns:
                return each
        checksum = sha256(path) if alike else ""
        return next((each for each in alike if each.sha256 == checksum), None)

    def _recorded(self) -> dict[str, list[Written]]:
        found: dict[str, list[Written]] = {}
        for line in self._record.read_bytes().split(b"\n") if self._record.is_file() else []:
            # a line that a kill or a disk tore
            with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                row = json.loads(line)
                name = require_path(row.pop("file"))
                found.setdefault(name, []).append(Written(**row))
        return found


def _as_it_is(path: Path, made_of: str = "") -> Written:
    stat = path.stat()
    return Written(stat.st_size, stat.st_mtime_ns, sha256(path), made_of)


def _line(name: str, written: Written) -> str:
    return f"\n{json.dumps({'file': name, **written._asdict()})}"  # its own line also after one that was torn


def is_recorded(path: Path, made_of: str) -> bool:
    """Whether this program wrote a file, and of what it says; by the record of any folder above it."""
    path = path.absolute()
    for root in path.parents:
        record, name = root / OWN / RECORD, path.relative_to(root).as_posix()
        if record.is_file() and _output(root, record.stat().st_mtime_ns).is_current(name, made_of):
            return True
    return False


@functools.lru_cache(maxsize=64)
def _output(root: Path, recorded_ns: int) -> Output:
    return Output(root)  # whose record may be long


def sha256(path: Path) -> str:
    """The checksum of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def archive_fault(path: Path) -> str:
    """What is wrong with a zip archive, of which every byte that counts is checked; empty where nothing is.

    Raises:
        OSError: if the file is missing, or may not be read.
    """
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                names, damaged = archive.namelist(), archive.testzip()
        except Exception as error:  # whatever wrong bits make its reader raise
            return str(error) or type(error).__name__
    if len(set(names)) < len(names):  # of one name only the last is checked, and a wrong bit makes names equal
        return "two files in it have one name"
    return f"{damaged} in it has other bytes than were written" if damaged else ""


def clear_unfinished(folder: Path) -> None:
    """Removes what processes that were killed left half written in the folder of ours in `folder`."""
    for left in (folder / OWN).glob("writing-*"):
        if left.is_symlink():
            continue
        # Made where a kill fell before it was. OSError: another process still writes, or cleans.
        with suppress(OSError), (left / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)


@contextmanager
def _unfinished(root: Path) -> Iterator[Path]:
    """A new folder inside `root`'s folder of ours, which is removed at the end, or after a kill by the next call."""
    clear_unfinished(root)
    writing, lock = _locked_folder(root / OWN)
    try:
        with lock:
            yield writing
    finally:
        shutil.rmtree(writing, ignore_errors=True)
        with suppress(OSError):
            (root / OWN).rmdir()  # if nothing else is in it


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != LOCK)


def _locked_folder(own: Path) -> tuple[Path, TextIO]:
    while True:
        own.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # a process that cleans took it for a dead one's, before it was locked
            writing = Path(tempfile.mkdtemp(prefix="writing-", dir=own))
            lock = (writing / LOCK).open("w")
            with suppress(OSError):  # a file system without locks; then nobody cleans either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if (writing / LOCK).exists():
                return writing, lock
            lock.close()


@contextmanager
def _named(temporary: Path, final: Path) -> Iterator[None]:
    """Names the folder that is wanted, and not the temporary one, in what an error says."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise type(error)(str(error).replace(str(temporary), str(final))) from error
        where = str(error.filename or final).replace(str(temporary), str(final))
        raise OSError(error.errno, error.strerror, where) from error


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
