"""How fast the embedded data set renders: `python -m benchmarks.render [PIECES]` prints one JSON line."""

import json
import sys
import tempfile
import time
from pathlib import Path

from Actions.rendering import render_dataset

SECONDS = 30.0


def main() -> None:
    """Renders so many pieces (44 by default) of 30 s into a temporary folder."""
    pieces = int(sys.argv[1]) if len(sys.argv) > 1 else 44
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        render_dataset(Path(folder) / "urmp", pieces=pieces, seconds=SECONDS)
        elapsed = time.perf_counter() - begin
    print(
        json.dumps(
            {
                "benchmark": "render",
                "pieces": pieces,
                "mixture_minutes": round(pieces * SECONDS / 60, 2),
                "seconds": round(elapsed, 2),
                "realtime_factor": round(pieces * SECONDS / elapsed, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
