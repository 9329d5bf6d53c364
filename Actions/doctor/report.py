"""What the doctor finds, as it is printed."""

from collections.abc import Iterator
from pathlib import Path

from Utils import markdown_table, progress_calls

from .examination import Diagnosis, examine


def report_of(root: Path | str, workers: int | None = None) -> Iterator[str]:
    """Examines a prepared data set, with a bar meanwhile.

    Args:
        root: its folder, or its address on object storage.
        workers: processes; None for one a core.

    Yields:
        The tables of what it holds, remarks, leaks between splits, and last that it is whole.

    Raises:
        FileNotFoundError, ValueError: if there is no data set; after the leaks, if it has faults, a line each.
    """
    with progress_calls(unit="track", label="checking") as progress:
        found = examine(root, workers=workers, progress=progress)
    yield from _tables(found)
    yield from (f"note: {remark}" for remark in found.remarks)
    yield from (f"leak: {leak}" for leak in found.leaks)
    if found.faults:
        raise ValueError("\n".join(found.faults))
    yield f"{root}: every file is what was prepared; {len(found.leaks)} leaks between splits"


def _tables(found: Diagnosis) -> Iterator[str]:
    rates = ", ".join(f"{rate_hz} Hz ({parts} parts)" for rate_hz, parts in found.rates_hz.items())
    yield f"recorded at {rates}\n"
    splits = [
        [row.split, ", ".join(f"{count} of {parts}" for parts, count in row.ensembles.items())]
        + [f"{row.tracks}", f"{row.groups}", f"{row.minutes:.1f}"]
        for row in found.splits
    ]
    yield markdown_table(["split", "tracks by number of parts", "tracks", "groups", "minutes"], splits) + "\n"
    sources = [
        [row.split, row.source, f"{row.tracks}", f"{row.label_share:.0%}", f"{row.parts}", f"{row.minutes:.1f}"]
        + [f"{row.playing_in_its_tracks:.0%}", f"{row.playing_in_split:.0%}"]
        for row in found.sources
    ]
    headings = ["split", "source", "tracks", "of split", "parts", "minutes", "plays in its tracks", "in split"]
    yield markdown_table(headings, sources) + "\n"
