"""The scripts as a person calls them, for the tests of what they do."""

import runpy
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

HEED_INTERRUPTS = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""What a program begins with that a test interrupts: a shell's background jobs, and all they start, ignore Ctrl-C."""


class Said(NamedTuple):
    """What a script left behind."""

    code: int
    out: str
    err: str


def call(script: str, *arguments: object) -> int:
    """Runs a script as `python script arguments` would, in this process; returns its exit status."""
    before = sys.argv
    sys.argv = [str(ROOT / script), *map(str, arguments)]
    try:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return 1
        return stop.code or 0
    finally:
        sys.argv = before
        if "keras" in sys.modules:
            sys.modules["keras"].config.set_dtype_policy("float32")
    return 0
