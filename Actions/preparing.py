"""A folder in one of the known layouts -> a prepared data set, and the commands that train on it."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from Input.preparation import prepare
from Input.prepared import Prepared
from Input.readers.layouts import SPLITS, missing_splits
from Input.readers.musdb import musdb_tracks
from Input.readers.own_stems import own_stems
from Input.readers.solos import solo_tracks
from Input.readers.urmp import urmp_tracks
from Input.track_preparation import SourceTrack
from Utils import progress_calls


@dataclass(frozen=True)
class Layout:
    """How folders of one layout are read, and trained on.

    Args:
        help: what it reads, for the command line.
        read: a folder, and by name what may be chosen (such as `splits`) -> its tracks, and remarks.
        presets: files of Presets, with the sources (empty for the instruments) and more words for the training command.
        channels: what its recordings are usually prepared with.
    """

    help: str
    read: Callable[..., tuple[list[SourceTrack], list[str]]]
    presets: tuple[tuple[str, ...], ...]
    channels: int = 1


def solos(folder: Path, **choices: Any) -> tuple[list[SourceTrack], list[str]]:
    """The tracks of solo recordings, and remarks; shows a bar while it reads how long each recording is."""
    with progress_calls(unit="recording", label="reading") as progress:
        return solo_tracks(folder, progress=progress, **choices)


LAYOUTS = {
    "urmp": Layout("a folder in URMP's layout", urmp_tracks, (("urmp", ""),)),
    "musdb": Layout(
        "MUSDB18 (stem.mp4) or MUSDB18-HQ (wav)",
        musdb_tracks,
        (("full_multi_instrument", ""), ("baseline_stereo", "accompaniment,vocals")),
        channels=2,
    ),
    "solos": Layout("<instrument>/<recording>, solos to be mixed", solos, (("waveunet", "", "data.mix=2,3"),)),
    "stems": Layout("your own <track>/<source>, in any format", own_stems, (("waveunet", ""),)),
}


def prepare_layout(
    layout: Layout,
    folder: Path,
    out: Path,
    *,
    sample_rate_hz: int,
    channels: int,
    workers: int | None = None,
    scheduler: str = "",
    **choices: Any,
) -> list[str]:
    """Prepares a folder in one of the layouts, going on where an earlier call was interrupted; shows a bar meanwhile.

    Args:
        layout: of `LAYOUTS`.
        folder: what is prepared.
        out: the folder of the prepared data set.
        sample_rate_hz: of the training.
        channels: 1 or 2.
        workers: processes; None for one a core.
        scheduler: address of a Dask scheduler whose workers prepare instead.
        choices: what the layout's reader takes besides the folder.

    Returns:
        What a person should know, a line each: remarks, what each split holds, and the commands that train on it.

    Raises:
        FileNotFoundError, ValueError: if the folder is not in the layout, has nothing to train or to validate on, or
            holds files that cannot be prepared: a line each.
        OSError: if something else is in the place of the prepared data set, or it cannot be written.
    """
    tracks, remarks = layout.read(folder, **choices)
    if faults := missing_splits(tracks):
        raise ValueError("\n".join(faults))
    with progress_calls(unit="track", label="preparing") as progress:
        remarks += prepare(
            tracks,
            out,
            sample_rate_hz=sample_rate_hz,
            channels=channels,
            workers=workers,
            scheduler=scheduler,
            progress=progress,
        )
    return [*(f"note: {remark}" for remark in remarks), *contents(out), *next_commands(out, layout)]


def contents(out: Path) -> list[str]:
    """A line for each split of a prepared data set: how many tracks, how long they are in all."""
    tracks, rate_hz = Prepared(out).manifest.tracks, Prepared(out).sample_rate_hz
    lines = []
    for split in sorted({track.split for track in tracks}, key=lambda split: (*SPLITS, split).index(split)):
        lengths = [track.samples for track in tracks if track.split == split]
        lines.append(f"{out}: {split}: {len(lengths)} tracks, {sum(lengths) / rate_hz / 60:.1f} minutes")
    return lines


def next_commands(out: Path, layout: Layout) -> list[str]:
    """The commands that train on a prepared data set, or test on it where it is for nothing else."""
    prepared = Prepared(out)
    if all(track.split.startswith("test") for track in prepared.manifest.tracks):
        return [f"test on it: python Test.py with run=RUN {shlex.quote(f'prepared={out}')}"]
    instruments = ",".join(sorted({name for track in prepared.manifest.tracks for name in track.instruments}))
    keys = [
        f"data.prepared={out}",
        f"data.sample_rate_hz={prepared.sample_rate_hz}",
        f"data.channels={prepared.channels}",
    ]
    return [
        "train on it: python Training.py with "
        + shlex.join([preset, *keys, f"data.sources={sources or instruments}", *more])
        for preset, sources, *more in layout.presets
    ]
