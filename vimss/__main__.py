"""The scripts as one command: `vimss separate song.wav --run RUN` is `python Separate.py song.wav --run RUN`."""

import runpy
import sys

from vimss import HOME

COMMANDS = ("prepare", "training", "test", "evaluate", "separate", "compare", "sweep")


def main() -> None:
    """Runs the script that the first word names with the words after it."""
    command = sys.argv[1].lower() if len(sys.argv) > 1 else "--help"
    if command in ("-h", "--help"):
        print(f"vimss COMMAND ...\n\nCommands: {', '.join(COMMANDS)}\n`vimss COMMAND --help` tells more.")
        return
    if command not in COMMANDS:
        raise SystemExit(f"vimss: error: expected one of {', '.join(COMMANDS)}. Received: {sys.argv[1]}")
    script = HOME / f"{command.capitalize()}.py"
    sys.argv[:2] = [str(script)]
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
