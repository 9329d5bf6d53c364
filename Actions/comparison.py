"""Runs -> what differs between them: settings, scores, curves, sound."""

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import Config
import Metrics
import Options
import Runs
from Actions.data import Clip, read_json, read_log, require_current_scores
from Files import Output
from Input.audio import audio_info, read_audio
from Input.stems import flac, stem_files
from Models.options import NETWORKS

import numpy as np
import pandas as pd

FILES = ("report.html", "scores.csv", "paired.csv", "boxplot.png", "heatmap.png", "curves.png")
COMPARED = ("SDR", "uSDR", "SI-SDR", "ISR", "SIR", "SAR")
OF_THE_RUN_ALONE = ("name", "fresh")  # settings that say nothing about what it computes
SCORES_NOTE = (
    "In dB. SDR median, MAD: over all frames of 1 s (Stoller et al. 2018). Median and mean of medians: over tracks of "
    "the median over a track's frames (SiSEC 2018; Demucs). uSDR mean: over tracks (Music Demixing Challenge). "
    "The rest: medians over tracks. Leakage: energy emitted for absent sources, relative to the mixture. With ±: mean "
    "and standard deviation over a run's repeats."
)
PAIRED_NOTE = (
    "Difference to the first run in dB, track by track (the mean over its sources, then over a run's repeats; SDR: of "
    "the median over frames). "
    "Mean with the bootstrap's 95 % interval, median, and Wilcoxon's p-value."
)


@dataclass(frozen=True)
class Run:
    """What is compared.

    Args:
        name: as it stands in tables; all repeats have the same.
        repeat: the folder's name.
        folder: where it is.
        settings: its configuration by dotted key; none where it is only a folder of scores.
        log: its losses, a row a validation.
        scores: its rows of scores.
    """

    name: str
    repeat: str
    folder: Path
    settings: dict[str, str]
    log: Metrics.Log
    scores: pd.DataFrame


def compare(folders: Sequence[Path], split: str, out: Path) -> list[Metrics.Table]:
    """Compares runs on a split, and writes all files; returns the tables.

    Raises:
        FileNotFoundError, ValueError: if one of them has no scores of the split, or they have no track in common.
    """
    clips = clips_of(folders[0], split)
    runs = named([read_run(folder, name, split) for folder, name in zip(folders, folder_names(folders), strict=True)])
    scores, note = in_common(runs)
    paired = Metrics.compare_runs(scores, [name for name in COMPARED if name in set(scores["metric"])])
    tables = [
        *settings_table(runs),
        Metrics.Table("Scores", *Metrics.run_table(scores), note),
        *paired_table(paired),
        Metrics.Table("SDR by source, median over frames (dB)", *Metrics.source_table(scores)),
    ]
    output = Output(out)
    output.require_free([*FILES, *(f"clip_{clip.rank}.png" for clip in clips)])
    for name, rows in {"scores": scores, "paired": paired}.items():
        output.write_text(f"{name}.csv", rows.to_csv(index=False))
    names = [run.name for run in first_of_each(runs)]
    title = f"{' and '.join(names) if len(names) <= 3 else f'{len(names)} runs'} on {split}"
    drawn, sounding = list(pictures(runs, scores, output)), list(passages(runs, split, clips, output))
    with output.file("report.html") as partial:
        Metrics.write_report(title, tables, drawn, sounding, partial)
    return tables


def folder_names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, or their paths where names are the same.

    Raises:
        ValueError: if a folder is given twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError("expected different runs. Received: one of them twice")
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def read_run(folder: Path, name: str, split: str) -> Run:
    """Reads a run, or a folder of scores.

    Raises:
        FileNotFoundError, ValueError: if there are no scores of the split, or a file is damaged.
    """
    if not folder.is_dir():
        Runs.stored_config(folder)  # raises an error that lists the runs there are
    stored = Config.filled(Runs.stored_config(folder)) if (folder / "config.json").is_file() else {}
    settings = dict(Options.flat(stored))
    network = NETWORKS.get(settings.get("model.network", ""))
    if network and "sources" not in network.emits:
        raise ValueError(f"expected runs that separate. Received: {folder}, whose network emits {network.emits[0]}")
    files = score_files(folder, split)
    if settings:
        require_current_scores(folder, split, files[0])
    return Run(name, name, folder, settings, read_log(folder), Metrics.read_scores(files))


def named(runs: Sequence[Run]) -> list[Run]:
    """The runs with one name for all that differ in their seed alone: what their folders' names have in common."""
    repeats: dict[Any, list[Run]] = {}
    for run in runs:
        said = [pair for pair in run.settings.items() if pair[0] not in (*OF_THE_RUN_ALONE, "seed")]
        group = repeats.setdefault(tuple(said) or run.repeat, [])
        if run.settings.get("seed") in [each.settings.get("seed") for each in group]:  # of other code, or data
            repeats[run.repeat] = [run]
        else:
            group.append(run)
    names = [name_of(group) for group in repeats.values()]
    clear = len(set(names)) == len(names)
    return [
        dataclasses.replace(run, name=name if clear else group[0].repeat)
        for name, group in zip(names, repeats.values(), strict=True)
        for run in group
    ]


def name_of(repeats: Sequence[Run]) -> str:
    """A run's name; without the seed where there are several, if nothing else tells their names apart."""
    names = {re.sub(r"[-_.]?seed=?\d+", "", run.repeat) for run in repeats}
    return repeats[0].repeat if len(repeats) == 1 or len(names) > 1 else names.pop()


def first_of_each(runs: Sequence[Run]) -> list[Run]:
    """The runs, without their repeats."""
    return list({run.name: run for run in reversed(runs)}.values())[::-1]


def score_files(folder: Path, split: str) -> list[Path]:
    """Where the scores of a split are: in a run, beside other splits, or right in the folder."""
    for place in (Runs.scores_dir(folder, split), folder / split, folder):
        if (place / "scores.csv").is_file():
            return [place / "scores.csv"]
        if place.is_dir() and (found := sorted(path for path in place.glob("*.json") if is_museval(path))):
            return found
    raise FileNotFoundError(
        f"{folder} has no scores of the split '{split}': make them with  "
        f"python Evaluate.py with run={folder} split={split}"
    )


def is_museval(path: Path) -> bool:
    """Whether a json file holds the scores of a track in museval's form."""
    try:
        return "targets" in json.loads(path.read_text())
    except (ValueError, TypeError):
        return False


def in_common(runs: Sequence[Run]) -> tuple[pd.DataFrame, str]:
    """The rows of the tracks and sources that all runs have, and a note on what is left out.

    Raises:
        ValueError: if there are none.
    """
    scores = pd.concat([run.scores.assign(run=run.name, repeat=run.repeat) for run in runs], ignore_index=True)
    notes = []
    for kind in ("track", "source"):
        names = [set(run.scores[kind]) for run in runs]
        common, everything = set.intersection(*names), set.union(*names)
        if not common:
            raise ValueError(f"expected runs with {kind}s in common. Received: {', '.join(run.name for run in runs)}")
        if left_out := sorted(everything - common):
            notes.append(f"{len(left_out)} {kind}(s) that not all have are left out: {', '.join(left_out[:5])}.")
        scores = scores[scores[kind].isin(common)]
    return scores, " ".join([SCORES_NOTE, *notes])


def settings_table(runs: Sequence[Run]) -> Iterator[Metrics.Table]:
    """The settings that differ between those runs that have any."""
    known = [run for run in first_of_each(runs) if run.settings]
    keys = dict.fromkeys(key for run in known for key in run.settings)
    values = {key: [run.settings.get(key, "-") for run in known] for key in keys}
    seeds = {run.name: [each.settings.get("seed", "-") for each in runs if each.name == run.name] for run in known}
    values |= {"seed": [", ".join(of_run) for of_run in seeds.values()]} if "seed" in keys else {}
    rows = [[key, *of_key] for key, of_key in values.items() if len(set(of_key)) > 1 and key not in OF_THE_RUN_ALONE]
    if rows:
        yield Metrics.Table("Settings that differ", ["key", *(run.name for run in known)], rows)


def paired_table(paired: pd.DataFrame) -> Iterator[Metrics.Table]:
    """Each run against the first."""
    if paired.empty:
        return

    def cell(form: str, *numbers: Any) -> str:
        return "-" if np.isnan(numbers).any() else form.format(*numbers)

    rows = [
        [f"{row.run} - {row.against}", f"{row.metric}", cell("{:+.2f}", row.mean)]
        + [cell("{:+.2f} to {:+.2f}", row.low, row.high), cell("{:+.2f}", row.median), cell("{:.2g}", row.p)]
        + [f"{row.tracks}"]
        for row in paired.itertuples()
    ]
    headings = ["difference", "metric", "mean", "95 % interval", "median", "p", "tracks"]
    yield Metrics.Table("Paired differences", headings, rows, PAIRED_NOTE)


def pictures(runs: Sequence[Run], scores: pd.DataFrame, output: Output) -> Iterator[Metrics.Picture]:
    """Draws boxplots, the heatmap and the curves."""
    if "SI-SDR" in set(scores["metric"]):
        with output.file("boxplot.png") as png:
            Metrics.score_boxplot(scores, png)
        yield Metrics.Picture("Scores by source", output.root / "boxplot.png")
    with output.file("heatmap.png") as png:
        Metrics.score_heatmap(Metrics.track_scores(scores, "SDR"), "SDR of each track", png)
    yield Metrics.Picture("Scores by track", output.root / "heatmap.png")
    logs: dict[str, list[Metrics.Log]] = {}
    for run in runs:
        if run.log:
            logs.setdefault(run.name, []).append(run.log)
    if logs:
        with output.file("curves.png") as png:
            Metrics.loss_curves(logs, png)
        yield Metrics.Picture("Losses", output.root / "curves.png")


def clips_of(folder: Path, split: str) -> list[Clip]:
    """What a run's clips.json tells; nothing where it kept no clips.

    Raises:
        ValueError: if it is damaged, or a rank or a track is none.
    """
    path = Runs.listening_dir(folder, split) / Runs.CLIPS
    again = f"python Test.py with run={folder} split={split}"
    return read_json(path, list[Clip], again) if path.is_file() else []


def passages(runs: Sequence[Run], split: str, clips: Sequence[Clip], output: Output) -> Iterator[Metrics.Passage]:
    """The clips that the first run kept, beside what the other runs made of the same seconds."""
    folder = Runs.listening_dir(runs[0].folder, split)
    emitted = [run for run in first_of_each(runs) if Runs.estimates_dir(run.folder, split).is_dir()]
    for clip in clips:
        kept = folder / clip.rank
        rate_hz = audio_info(kept / "mixture.flac").sample_rate_hz
        mixture = read_audio(kept / "mixture.flac")
        by_source = {}
        for path in sorted(kept.glob("*.reference.flac")):
            source = path.name.removesuffix(".reference.flac")
            estimates = {run.name: estimate(run, split, clip, source, rate_hz, mixture) for run in emitted}
            by_source[source] = {"reference": read_audio(path), **estimates}
        if not by_source:
            continue  # what was kept of it is gone
        totals = {f"sum of {run.name}": np.sum([by_source[s][run.name] for s in by_source], axis=0) for run in emitted}
        rows = {"mixture": {"as it is": mixture}, **by_source}
        sounds = [
            (source, [Metrics.Sound(who, flac(signal, rate_hz)) for who, signal in signals.items()])
            for source, signals in rows.items()
        ]
        drawn = [
            [(f"{source}, {who}", signal) for who, signal in signals.items()] for source, signals in by_source.items()
        ]
        name = f"clip_{clip.rank}.png"
        with output.file(name) as png:
            Metrics.spectrogram_grid([[("mixture", mixture), *totals.items()], *drawn], rate_hz, png)
        start, end = clip.start_seconds, clip.start_seconds + clip.seconds
        title = f"The {clip.rank} track of {runs[0].name}: {clip.track}, {start:.0f} to {end:.0f} s"
        yield Metrics.Passage(title, sounds, Metrics.Picture("Spectrograms", output.root / name))


def estimate(run: Run, split: str, clip: Clip, source: str, rate_hz: int, like: np.ndarray) -> np.ndarray:
    """What a run made of a source in the seconds of a clip, as loud as in the clip; silence where it has no file."""
    folder = Runs.estimates_dir(run.folder, split) / clip.track
    path = stem_files(folder).get(source) if folder.is_dir() else None
    if path is None:
        return np.zeros_like(like)
    span_seconds = clip.start_seconds, clip.start_seconds + clip.seconds
    return clip.gain * read_audio(path, rate_hz, span_seconds=span_seconds)[: len(like)]
