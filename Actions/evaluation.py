"""Estimates and references -> scores, tables, plots: of a run, or of anybody's files."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import Config
import Metrics
import Runs
import Utils
from Actions.data import (
    Tested,
    configuration_of,
    opened,
    read_json,
    require_same_weights,
    require_scorable,
    sources_of,
)
from Files import Output, sha256
from Input.prepared import Prepared
from Input.references import FolderReferences, PreparedReferences, References
from Input.sources import Ensemble, Sources
from Input.stems import read_stems, stem_files
from Input.workers import results

import numpy as np
import pandas as pd

TABLES = ("scores.csv", "summary.csv", "summary.md")
PICTURES = ("boxplot.png", "spectrograms.png")
PROBES = ("probes.csv", "probes.md")
SHIFT_DB = 1.0  # a shift that gains less is not worth a word


def evaluate(config: Config.Evaluate) -> Iterator[tuple[str, Path, str]]:
    """Scores the estimates of every track of each split and of each of its probes, and writes all files.

    A track that cannot be scored does not stop the others: their files are written, then its fault is raised.

    Yields:
        What was scored (a split, or its probes), where the files are, and a table for a screen.

    Raises:
        FileNotFoundError, ValueError: if estimates or references are missing, or one line for each track that cannot
            be scored.
    """
    require_scorable(config)
    faults: list[str] = []
    output = Output(config.out or config.run)
    scorings: dict[tuple[str, str], Scoring] = {}
    for split, probe in [(split, probe) for split in config.split for probe in ("", *config.probes)]:
        try:
            scorings[split, probe] = of_run(config, split, probe) if config.run else of_folders(config, split)
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
    if scorings:
        output.adopt(Runs.files_of_earlier_versions(output.root))
    output.require_free([name for scoring in scorings.values() for name in written(scoring, output, config)])
    for split in config.split:
        by_probe = {}
        for probe in [probe for other, probe in scorings if other == split]:
            scoring = scorings[split, probe]
            faults += score_tracks(scoring, output, config)
            scores = scores_of(scoring, output)
            if not scores.empty:
                by_probe[probe] = scores
                text = write_summary(scores, scoring, output)
                faults += draw(scores, scoring, output)
                yield f"{split}, {probe}" if probe else split, output.root / scoring.below, text
        if config.probes and "" in by_probe:
            yield f"{split}, probes", *write_probes(by_probe, output, below(config, split))
    if faults:
        raise ValueError("\n".join(dict.fromkeys(faults)))


@dataclass(frozen=True)
class Scoring:
    """What is scored against what.

    Args:
        run: what made the estimates, as it appears in the scores.
        truth: the tracks that are scored.
        wanted: all sources of these tracks.
        scored: those of them that are scored; empty for all.
        mixture: what was separated: `sum` or `recorded`.
        estimates_dir: where the estimates are, a folder for each track.
        complete: whether every source that plays must have a file; our own have none where they are silent.
        below: where scores go, relative to the folder of the output.
        made_of: a text that changes with the weights that made the estimates; empty where nobody knows them.
    """

    run: str
    truth: References
    wanted: Sources
    scored: tuple[str, ...]
    mixture: str
    estimates_dir: Path
    complete: bool
    below: str
    made_of: str = ""

    def files(self, track: Ensemble) -> tuple[str, str]:
        """Where a track's scores go, as csv and as json, relative to the folder of the output."""
        return f"{self.below}/tracks/{track.name}.csv", f"{self.below}/tracks/{track.name}.json"

    def signals(self, track: Ensemble) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray | None], int]:
        """A track's references (T, S, C), estimates (T, S, C) and mixture (T, C), and their sample rate.

        Of a single source the sum is no mixture: it is None, unless a recorded one is asked for.

        Raises:
            FileNotFoundError, ValueError: if the estimates are missing, broken or of another length.
        """
        mixture, references, rate_hz = self.truth.read(track, self.wanted, self.mixture)
        of_track, names = self.wanted.of(track), self.names(track)
        references = references[:, [of_track.index(name) for name in names]]
        sounding = [name for name, here in zip(names, Metrics.sounding_sources(references), strict=True) if here]
        required = sounding if self.complete else ()
        estimates = read_stems(self.folder(track), names, rate_hz, mixture.shape, required)
        known = self.mixture == "recorded" or len(of_track) > 1
        return (references, estimates, mixture if known else None), rate_hz

    def names(self, track: Ensemble) -> tuple[str, ...]:
        """The sources of a track that are scored."""
        return tuple(name for name in self.wanted.of(track) if not self.scored or name in self.scored)

    def folder(self, track: Ensemble) -> Path:
        """Where the track's estimates are."""
        return self.estimates_dir / track.name

    def key(self, track: Ensemble, config: Config.Evaluate) -> str:
        """Changes where anything does that the track's scores depend on."""
        folder = self.folder(track)
        stats = {path.name: path.stat() for path in stem_files(folder).values()} if folder.is_dir() else {}
        files = sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items())
        settings = [self.run, self.names(track), dict(self.wanted.sums), self.mixture, config.metrics, config.oracles]
        content = json.dumps([str(folder), files, self.truth.fingerprint(track), *settings])
        return hashlib.sha256(content.encode()).hexdigest()


def of_run(config: Config.Evaluate, split: str, probe: str) -> Scoring:
    """What Test.py separated for a run.

    Raises:
        FileNotFoundError, ValueError: if the run or its estimates are missing or of other weights.
    """
    data = configuration_of(config.run).data
    estimates_dir = Runs.estimates_dir(config.run, split, probe)
    probed = f" probes={probe}" if probe else ""
    again = f"python Test.py with run={config.run} split={split}{probed}"
    path = estimates_dir / Runs.TESTED
    if not path.is_file():
        raise FileNotFoundError(f"no finished estimates at {estimates_dir}: make them with  {again}")
    tested = read_json(path, Tested, again)
    require_same_weights(config.run, path, tested.checkpoint, again)
    prepared = opened(config.prepared or data.prepared, config.run)
    tracks = tuple(track for track in prepared.split(split) if track.name in tested.tracks)
    wanted = sources_of(data)
    truth = PreparedReferences(prepared, tracks)
    name = f"{Path(config.run).name}, {probe}" if probe else Path(config.run).name
    files = below(config, split, probe)
    return Scoring(name, truth, wanted, (), tested.mixture, estimates_dir, False, files, sha256(path))


def below(config: Config.Evaluate, split: str, probe: str = "") -> str:
    """Where the scores of a split go, relative to the folder of the output."""
    folder = Path(probe, split) if config.out else Runs.scores_dir("", split, probe)
    return folder.as_posix()


def of_folders(config: Config.Evaluate, split: str) -> Scoring:
    """Anybody's estimates of a split; unless said otherwise the sources are the instruments that play in it.

    Raises:
        FileNotFoundError, ValueError: if something is missing, not said, or named otherwise than the references.
    """
    truth: References
    if config.prepared:
        prepared = Prepared(config.prepared)
        truth = PreparedReferences(prepared, prepared.split(split))
    else:
        truth = FolderReferences(Path(config.references), split)
    instruments = {instrument for track in truth.tracks for instrument in track.instruments}
    summed = {instrument for of_sum in config.sums.values() for instrument in of_sum}
    wanted = Sources(tuple(sorted({*instruments - summed, *config.sums})), config.sums, config.targets)
    known = dict.fromkeys(name for track in truth.tracks for name in wanted.of(track))
    if unknown := set(config.sources) - set(known):
        raise ValueError(
            f"sources: expected some of {', '.join(known)}. Received: {', '.join(sorted(unknown))}; "
            "sums.NAME=a,b makes a source of several"
        )
    root = Path(config.estimates)
    estimates_dir = root / split if (root / split).is_dir() else root
    require_some(estimates_dir, truth)
    return Scoring(root.name, truth, wanted, config.sources, config.mixture, estimates_dir, True, below(config, split))


def require_some(estimates_dir: Path, truth: References) -> None:
    """Raises FileNotFoundError or ValueError if no folder of estimates is named like a track."""
    if not estimates_dir.is_dir():
        raise FileNotFoundError(f"no such folder: {estimates_dir} (expected <track>/<source>.wav in it)")
    expected = [track.name for track in truth.tracks]
    given = sorted(path.name for path in estimates_dir.iterdir() if path.is_dir())
    if not set(given) & set(expected):
        raise ValueError(
            f"{estimates_dir}: expected folders named like the tracks, such as {expected[0]}. "
            f"Received: {', '.join(given[:3]) or 'none'}"
        )


def written(scoring: Scoring, output: Output, config: Config.Evaluate) -> Iterator[str]:
    """The files that a split, or a probe of it, is to get, relative to the folder of the output."""
    for track in unscored(scoring, output, config):
        yield from scoring.files(track)
    yield from (f"{scoring.below}/{name}" for name in (*TABLES, *PICTURES))
    if config.probes:
        yield from (f"{scoring.below}/{name}" for name in PROBES)


def unscored(scoring: Scoring, output: Output, config: Config.Evaluate) -> list[Ensemble]:
    """The tracks of which not both files are there, made of what there is now."""
    keys = {track: scoring.key(track, config) for track in scoring.truth.tracks}
    return [
        track
        for track, key in keys.items()
        if config.fresh or not all(output.is_current(file, key) for file in scoring.files(track))
    ]


def score_tracks(scoring: Scoring, output: Output, config: Config.Evaluate) -> list[str]:
    """Scores what was not scored yet, several tracks at a time, a file after the other; returns what went wrong."""
    waiting = unscored(scoring, output, config)
    keys = {track.name: scoring.key(track, config) for track in waiting}
    done = [track for track in scoring.truth.tracks if track.name not in keys]
    kept = {file for track in done for file in scoring.files(track)}
    output.remove([name for name in output.names(f"{scoring.below}/tracks/") if name not in kept])
    if done:
        where = output.root / scoring.below
        print(f"note: {len(done)} track(s) of {where} were scored before; fresh=true scores them again")
    faults = []
    label = f"scoring {scoring.run}, {Path(scoring.below).name}"
    late: dict[str, list[str]] = {}
    jobs = [(scoring, track, config.metrics, config.oracles) for track in waiting]
    with contextlib.closing(results(score, jobs, config.jobs, config.scheduler)) as scored:
        for name, rows, shifts in Utils.progress(scored, total=len(waiting), unit="track", label=label):
            if isinstance(rows, str):
                faults.append(rows)
                continue
            late |= {name: shifts} if shifts else {}
            with output.folder(f"{scoring.below}/tracks", made_of=keys[name]) as folder:
                Metrics.write_track_scores(rows, folder)
    if waiting and len(scoring.wanted.names) == 1 and not scoring.wanted.of_parts and scoring.mixture == "sum":
        print("note: a single source says nothing of its mixture; mixture=recorded scores against the recorded one")
    for name, shifts in list(late.items())[:3]:
        print(f"note: {name}: {'; '.join(shifts)}; nothing was shifted")
    if len(late) > 3:
        print(f"note: {len(late)} tracks in all have estimates that align better when shifted")
    return faults


def score(scoring: Scoring, track: Ensemble, metrics: Any, oracles: Any) -> tuple[str, pd.DataFrame | str, list[str]]:
    """A track's name, its scores, or what is wrong with it, and a remark for each source whose estimate is shifted.

    Runs in other processes too.
    """
    Utils.keep_freed_memory()
    try:
        (references, estimates, mixture), rate_hz = scoring.signals(track)
        names = scoring.names(track)
        about = (names, rate_hz, metrics, oracles, scoring.run)
        rows = Metrics.score_track(track.name, references, estimates, mixture, *about)
    except (ValueError, OSError) as error:
        return track.name, Utils.in_words(error), []
    if not scoring.complete:  # our own begin with the mixture
        return track.name, rows, []
    delays, rises = Metrics.best_alignment(references, estimates, rate_hz)
    shifts = [
        f"{source} aligns best with {delay} samples of delay, where its SI-SDR would be {rise:.1f} dB higher"
        for source, delay, rise in zip(names, delays, rises, strict=True)
        if rise > SHIFT_DB
    ]
    return track.name, rows, shifts


def read(folder: Path) -> pd.DataFrame:
    """The rows that `evaluate` left: a row a track, source, method, metric and moment."""
    return Metrics.read_scores([folder / TABLES[0]])


def scores_of(scoring: Scoring, output: Output) -> pd.DataFrame:
    """The scores of all tracks that could be scored, in the tracks' order."""
    paths = [output.root / scoring.files(track)[0] for track in scoring.truth.tracks]
    there = [path for path in paths if path.is_file()]
    return Metrics.read_scores(there) if there else pd.DataFrame()


def write_summary(scores: pd.DataFrame, scoring: Scoring, output: Output) -> str:
    """Writes all tracks' scores, and their summary as csv and Markdown; returns a table for a screen."""
    summary = Metrics.summarise(scores)
    tables = [Utils.markdown_table(*table) + "\n\n" for table in Metrics.summary_tables(summary)]
    markdown = "".join([*tables, " ".join(Metrics.summary_notes(summary)), "\n"])
    texts = (scores.to_csv(index=False), summary.to_csv(index=False), markdown)
    for name, text in zip(TABLES, texts, strict=True):
        output.write_text(f"{scoring.below}/{name}", text, scoring.made_of)
    return Metrics.table(summary)


def draw(scores: pd.DataFrame, scoring: Scoring, output: Output) -> list[str]:
    """Draws the scores, and the spectrograms of the track in the middle of the ranking; returns what went wrong."""
    boxplot, spectrograms = PICTURES
    median = next(track for track in scoring.truth.tracks if track.name == median_track(scores))
    try:
        with output.file(f"{scoring.below}/{boxplot}") as png:
            Metrics.score_boxplot(scores, png)
        (references, estimates, mixture), rate_hz = scoring.signals(median)
        with output.file(f"{scoring.below}/{spectrograms}") as png:
            Metrics.separation_figure(mixture, references, estimates, scoring.names(median), rate_hz, png)
    except Exception as error:  # whatever it is, it never costs a table
        return [f"{output.root / scoring.below}: a picture cannot be drawn ({Utils.in_words(error)})"]
    return []


def write_probes(by_probe: Mapping[str, pd.DataFrame], output: Output, folder: str) -> tuple[Path, str]:
    """Writes how much each probe changes the scores; returns the folder and a table for a screen."""
    changes = Metrics.probe_changes(by_probe)
    headings, cells = Metrics.probe_table(changes)
    text = Utils.markdown_table(headings, cells) + "\n\n" + Metrics.PROBE_NOTE
    for name, content in zip(PROBES, (changes.to_csv(index=False), text + "\n"), strict=True):
        output.write_text(f"{folder}/{name}", content)
    return output.root / folder, text


def median_track(scores: pd.DataFrame) -> str:
    """The track whose mean SI-SDR improvement is the median one: neither the best nor the worst is shown."""
    metric = "SI-SDRi" if "SI-SDRi" in set(scores["metric"]) else "SI-SDR"
    improvement = scores[(scores["metric"] == metric) & (scores["method"] == "estimate") & scores["value"].notna()]
    ranking = improvement.groupby("track")["value"].mean().sort_values(kind="stable")
    return str(ranking.index[len(ranking) // 2]) if len(ranking) else str(scores["track"].iloc[0])
