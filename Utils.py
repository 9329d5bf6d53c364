"""What several scripts share: errors in one line, words, json, tables, progress, a quiet TensorFlow."""

import argparse
import ctypes
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import math
import os
import re
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

# Before keras is imported:
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its banners are no news
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")  # keeps memory from step to step: a tenth to a sixth faster


def keep_freed_memory() -> None:
    """Makes glibc keep what is freed for what is allocated next; examples are made twice as fast without new pages."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # names in malloc.h
        mallopt(mmap_threshold, 32 << 20)
        mallopt(trim_threshold, 512 << 20)
        mallopt(top_pad, 64 << 20)


keep_freed_memory()


class QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Loads TensorFlow without the lines that its C++ side prints, whatever the log level, before it knows of levels.

    They go past Python, to the process's own stderr. Whatever else is printed meanwhile is printed afterwards.
    """

    NOISE = re.compile(rb"(WARNING: All log messages before absl|I\d{4} )")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Called by Python for every module that is imported."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)  # so that the others find it
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec and spec.loader:
            load = spec.loader.exec_module
            spec.loader.exec_module = functools.partial(self._load, load)  # type: ignore[method-assign]
        return spec

    def _load(self, load: Callable[[Any], None], module: Any) -> None:
        sys.stderr.flush()
        before = os.dup(2)
        with tempfile.TemporaryFile() as printed:
            os.dup2(printed.fileno(), 2)
            try:
                load(module)
            finally:
                os.dup2(before, 2)
                os.close(before)
                printed.seek(0)
                os.write(2, b"".join(line for line in printed if not self.NOISE.match(line)))


sys.meta_path.insert(0, QuietTensorFlow())

# ---------------------------------------------------------------- errors

_LIBRARIES = tuple(sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib"))


@contextmanager
def errors_in_one_line(script_name: str) -> Iterator[None]:
    """Ends the process with one line on stderr where a user's mistake, and not a bug, stopped the script.

    A mistake is an OSError (a missing file, a full disk) or a ValueError that this project's own code raised; it exits
    with 1. Several mistakes in one message, one a line, stay one a line. Ctrl-C exits with 130. Anything else, a
    ValueError from the depth of a library too, keeps its traceback.

    Args:
        script_name: what stands before `: error:`, like `Training.py`.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold bytes that are no characters
    try:
        yield
    except KeyboardInterrupt as error:
        print(f"{script_name}: interrupted{f': {error}' if str(error) else ''}", file=sys.stderr)
        raise SystemExit(130) from error
    except OSError as error:
        raise SystemExit(_lines(script_name, in_words(error))) from error
    except ValueError as error:
        if _from_a_library(error):
            raise
        raise SystemExit(_lines(script_name, str(error))) from error


def _lines(script_name: str, message: str) -> str:
    return "\n".join(f"{script_name}: error: {line}" for line in message.splitlines() if line.strip())


def in_words(error: Exception) -> str:
    """`runs/demo: permission denied` for [Errno 13]; an error raised with a sentence keeps it."""
    if not isinstance(error, OSError) or error.errno is None or error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    return where + error.strerror[:1].lower() + error.strerror[1:]


def _from_a_library(error: BaseException) -> bool:
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return innermost.startswith((*_LIBRARIES, "<"))


# ---------------------------------------------------------------- words of a command line


def positive(text: str) -> int:
    """A whole number from 1, as a `type` of argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1. Received: {text}")
    return int(text)


# ---------------------------------------------------------------- files


def json_text(tree: Any) -> str:
    """`tree` as json: numpy values as plain ones, NaN and infinities (which json does not know) as null."""
    return json.dumps(_plain(tree), indent=1, allow_nan=False) + "\n"


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_plain(value) for value in tree]
    if isinstance(tree, (np.ndarray, np.generic)):
        return _plain(tree.tolist())
    if isinstance(tree, float):
        return tree if math.isfinite(tree) else None
    return str(tree) if isinstance(tree, Path) else tree


def listing(folder: Path) -> str:
    """What lies in a folder, in a line."""
    return ", ".join(sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")))


# ---------------------------------------------------------------- tables


_NUMBER = re.compile(r"[-+]?(\d|inf\b|nan\b|$)")  # or a cell without one: empty, or "-"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown that reads well in a terminal too: the columns of numbers, but the first, to the right."""
    table = [[cell.replace("|", r"\|") for cell in row] for row in (headings, *rows)]
    columns = []
    for number, column in enumerate(zip(*table, strict=True)):
        width = max(3, *map(len, column))  # of a rule that Markdown knows
        right = number and all(map(_NUMBER.match, column[1:]))
        rule = "-" * (width - 1) + ":" if right else "-" * width
        columns.append([cell.rjust(width) if right else cell.ljust(width) for cell in (column[0], rule, *column[1:])])
    return "\n".join(f"| {' | '.join(row)} |" for row in zip(*columns, strict=True))


# ---------------------------------------------------------------- progress


class _Lines(tqdm):
    """A bar for a log file: a line at every tenth (or half minute, the total unknown), none drawn over another."""

    printed = 0.0  # tenths, or half minutes

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Called by tqdm at every change."""
        reached = 10 * self.n // self.total if self.total else self.format_dict["elapsed"] // 30
        if reached > self.printed:
            self.printed = reached
            print(self, file=self.fp, flush=True)

    def close(self) -> None:
        """Called by tqdm at the end."""
        self.display()
        self.disable = True


def progress(
    items: Iterable[Any] | None = None,
    total: int | None = None,
    unit: str = "it",
    label: str = "",
    initial: int = 0,
    disable: bool = False,
) -> tqdm:
    """A tqdm bar on stderr with rate and time left: over `items`, or from `initial` up to `total` by `.update(n)`.

    Where stderr is no terminal it prints about ten lines in all instead; nothing at all where it is disabled.
    """
    if disable or sys.stderr.isatty():
        return tqdm(
            items, total=total, unit=unit, desc=label or None, initial=initial, dynamic_ncols=True, disable=disable
        )
    return _Lines(
        items, total=total, unit=unit, desc=label or None, initial=initial, ncols=0, miniters=1, mininterval=0
    )


@contextmanager
def progress_calls(unit: str, label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for a worker that calls back with (done, total); it appears at the first call."""
    bars: list[tqdm] = []

    def tell(done: int, total: int) -> None:
        if not bars:
            bars.append(progress(total=total, unit=unit, label=label))
        bars[0].update(done - bars[0].n)

    try:
        yield tell
    finally:
        for bar in bars:
            bar.close()
