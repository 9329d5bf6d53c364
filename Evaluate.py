"""Estimates + references -> scores, tables, plots.

    python Evaluate.py with run=runs/demo
    python Evaluate.py with run=runs/demo split=test,test_unseen_bank metrics=all oracles=IBM,IRM,MWF
    python Evaluate.py with run=runs/demo probes=no_labels,all_labels,shuffled_labels,wrong_label
    python Evaluate.py with estimates=DIR references=DIR out=SCORES
    python Evaluate.py with estimates=DIR prepared=PREPARED out=SCORES

Estimates are DIR/<track>/<source>.wav, anybody's; a run's own lie where Test.py wrote them. References are a prepared
data set, or lie as URMP, MUSDB18 or <track>/<source>.wav do. OUT/<split> (by default RUN/scores/<split>) then holds
scores.csv (every number), summary.csv, summary.md, boxplot.png, the spectrograms of the track in the middle of the
ranking, and for every track a csv and a json in museval's form. Tracks that were scored before are not scored again.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import Config
import Metrics
import Utils
from Experiment import Experiment, register
from Input.prepared import Ensemble, Prepared, Sources
from Input.references import FolderReferences, PreparedReferences, References
from Input.stems import read_stems, stem_files

import joblib
import numpy as np
import pandas as pd

SCORED = "scored.jsonl"  # beside the tracks' scores: of what each was made

experiment = register(Experiment("evaluate"), Config.Evaluate)


@experiment.main
def main(_config: Config.Tree) -> None:
    """Scores each split and prints its table."""
    config = Config.from_dict(Config.Evaluate, _config)
    for what, out, text in evaluate(config):
        print(f"\n{what}\n{text}\n\n{out}: {', '.join(sorted(p.name for p in out.iterdir()))}")


def evaluate(config: Config.Evaluate) -> Iterator[tuple[str, Path, str]]:
    """Scores the estimates of every track of each split and of each of its probes, and writes all files.

    A track that cannot be scored does not stop the others: their files are written, then its fault is raised.

    Yields:
        What was scored (a split, or its probes), where the files are, and a table for a screen.

    Raises:
        FileNotFoundError, ValueError: if estimates or references are missing, or one line for each track that cannot
            be scored.
    """
    faults: list[str] = []
    for split in config.split:
        by_probe = {}
        for probe in ("", *config.probes):
            try:
                task = run_task(config, split, probe) if config.run else folders_task(config, split)
            except (ValueError, FileNotFoundError) as error:
                faults.append(str(error))
                continue
            faults += score_tracks(task, config)
            scores = scores_of(task)
            if not scores.empty:
                by_probe[probe] = scores
                yield f"{split}, {probe}" if probe else split, task.out, write_summary(scores, task)
        if config.probes and "" in by_probe:
            yield f"{split}, probes", *write_probes(by_probe, config, split)
    if faults:
        raise ValueError("\n".join(dict.fromkeys(faults)))


@dataclass(frozen=True)
class Task:
    """What is scored against what.

    Args:
        run: what made the estimates, as it appears in the scores.
        truth: the tracks that are scored.
        wanted: all sources of these tracks.
        scored: the sources that are scored.
        mixture: what was separated: `sum` or `recorded`.
        estimates_dir: where the estimates are, a folder for each track.
        complete: whether every source that plays must have a file; our own have none where they are silent.
        out: where scores go.
    """

    run: str
    truth: References
    wanted: Sources
    scored: tuple[str, ...]
    mixture: str
    estimates_dir: Path
    complete: bool
    out: Path

    @property
    def files(self) -> Path:
        """The folder of the tracks' scores."""
        return self.out / "tracks"

    def signals(self, track: Ensemble) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], int]:
        """A track's references (T, S, C), estimates (T, S, C) and mixture (T, C), and their sample rate.

        Raises:
            FileNotFoundError, ValueError: if the estimates are missing, broken or of another length.
        """
        mixture, references, rate_hz = self.truth.read(track, self.wanted, self.mixture)
        references = references[:, [self.wanted.names.index(name) for name in self.scored]]
        sounding = [name for name, here in zip(self.scored, Metrics.sounding_sources(references), strict=True) if here]
        required = sounding if self.complete else ()
        estimates = read_stems(self.folder(track), self.scored, rate_hz, mixture.shape, required)
        return (references, estimates, mixture), rate_hz

    def folder(self, track: Ensemble) -> Path:
        """Where the track's estimates are."""
        return self.estimates_dir / track.name

    def key(self, track: Ensemble, config: Config.Evaluate) -> str:
        """Changes where anything does that the track's scores depend on."""
        folder = self.folder(track)
        stats = {path.name: path.stat() for path in stem_files(folder).values()} if folder.is_dir() else {}
        files = sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items())
        settings = [self.run, self.scored, dict(self.wanted.sums), self.mixture, config.metrics, config.oracles]
        told = json.dumps([str(folder), files, self.truth.fingerprint(track), *settings])
        return hashlib.sha256(told.encode()).hexdigest()


def run_task(config: Config.Evaluate, split: str, probe: str) -> Task:
    """What Test.py separated for a run.

    Raises:
        FileNotFoundError, ValueError: if the run or its estimates are missing, or something is named that only
            anybody's estimates need.
    """
    for key in ("estimates", "references", "sources", "sums"):
        if getattr(config, key):
            raise ValueError(f"expected run=RUN or estimates=DIR. Received: run={config.run} and {key}")
    data = Config.from_dict(Config.Training, Utils.run_config(config.run)).data
    estimates_dir = Utils.estimates_dir(config.run, split, probe)
    if not (estimates_dir / Utils.TESTED).is_file():
        probed = f" probes={probe}" if probe else ""
        raise FileNotFoundError(
            f"no finished estimates at {estimates_dir}: make them with  "
            f"python Test.py with run={config.run} split={split}{probed}"
        )
    tested = json.loads((estimates_dir / Utils.TESTED).read_text())
    prepared = Prepared(config.prepared or data.prepared)
    tracks = tuple(track for track in prepared.split(split) if track.name in tested["tracks"])
    wanted = Sources(data.sources, data.sums)
    out = Path(config.out, probe, split) if config.out else Utils.scores_dir(config.run, split, probe)
    truth = PreparedReferences(prepared, tracks)
    name = f"{Path(config.run).name}, {probe}" if probe else Path(config.run).name
    return Task(name, truth, wanted, wanted.names, tested["mixture"], estimates_dir, False, out)


def folders_task(config: Config.Evaluate, split: str) -> Task:
    """Anybody's estimates of a split; unless said otherwise the sources are the instruments that play in it.

    Raises:
        FileNotFoundError, ValueError: if something is missing, not said, or named otherwise than the references.
    """
    if not config.estimates:
        raise ValueError("expected run=RUN or estimates=DIR. Received: neither")
    if bool(config.prepared) == bool(config.references) or not config.out:
        raise ValueError("estimates=DIR needs out=DIR (for scores) and either prepared=PREPARED or references=DIR")
    if config.probes:
        raise ValueError("probes are of runs: expected run=RUN. Received: estimates=DIR")
    truth: References
    if config.prepared:
        prepared = Prepared(config.prepared)
        truth = PreparedReferences(prepared, prepared.split(split))
    else:
        truth = FolderReferences(Path(config.references), split)
    instruments = {instrument for track in truth.tracks for instrument in track.instruments}
    summed = {instrument for of_sum in config.sums.values() for instrument in of_sum}
    wanted = Sources(tuple(sorted({*instruments - summed, *config.sums})), config.sums)
    if unknown := set(config.sources) - set(wanted.names):
        raise ValueError(
            f"sources: expected some of {', '.join(wanted.names)}. Received: {', '.join(sorted(unknown))}; "
            "sums.NAME=a,b makes a source of several"
        )
    root = Path(config.estimates)
    estimates_dir = root / split if (root / split).is_dir() else root
    require_some(estimates_dir, truth)
    scored = config.sources or wanted.names
    return Task(root.name, truth, wanted, scored, config.mixture, estimates_dir, True, Path(config.out, split))


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


def score_tracks(task: Task, config: Config.Evaluate) -> list[str]:
    """Scores what was not scored yet, several tracks at a time, a file after the other; returns what went wrong."""
    if config.fresh:
        shutil.rmtree(task.files, ignore_errors=True)
    task.files.mkdir(parents=True, exist_ok=True)
    keys = {track.name: task.key(track, config) for track in task.truth.tracks}
    done = {name for name, key in scored_before(task).items() if keys.get(name) == key}
    for path in task.files.iterdir():  # of what is scored anew, or of no track any more
        if path.name != SCORED and path.stem not in done:
            path.unlink()
    waiting = [track for track in task.truth.tracks if track.name not in done]
    if done:
        print(f"note: {len(done)} track(s) of {task.out} were scored before; fresh=true scores them again")
    # Other backends of joblib (Dask, Ray) take over where evaluate() is called inside joblib.parallel_config.
    calls = joblib.Parallel(n_jobs=config.jobs, return_as="generator_unordered")(
        joblib.delayed(score)(task, track, config.metrics, config.oracles) for track in waiting
    )
    faults = []
    label = f"scoring {task.run}, {task.out.name}"
    for name, rows in Utils.progress(calls, total=len(waiting), unit="track", label=label):
        if isinstance(rows, str):
            faults.append(rows)
            continue
        Metrics.write_track_scores(rows, task.files)
        with (task.files / SCORED).open("a") as file:
            file.write(f"\n{json.dumps({'track': name, 'key': keys[name]})}\n")  # also after a line that was torn
    return faults


def score(task: Task, track: Ensemble, metrics: Any, oracles: Any) -> tuple[str, pd.DataFrame | str]:
    """A track's name and its scores, or what is wrong with it. Runs in processes of joblib's."""
    Utils.keep_freed_memory()
    try:
        (references, estimates, mixture), rate_hz = task.signals(track)
        about = (task.scored, rate_hz, metrics, oracles, task.run)
        return track.name, Metrics.score_track(track.name, references, estimates, mixture, *about)
    except (ValueError, OSError) as error:
        return track.name, str(error)


def scored_before(task: Task) -> dict[str, str]:
    """The key of each track that was scored; a line that was being written when the machine stopped does not count."""
    path = task.files / SCORED
    keys = {}
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
            keys[record["track"]] = record["key"]
        except (ValueError, KeyError):
            continue
    return {name: key for name, key in keys.items() if (task.files / f"{name}.csv").is_file()}


def scores_of(task: Task) -> pd.DataFrame:
    """The scores of all tracks that could be scored, in the tracks' order."""
    paths = [task.files / f"{track.name}.csv" for track in task.truth.tracks]
    there = [path for path in paths if path.is_file()]
    return Metrics.read_scores(there) if there else pd.DataFrame()


def write_summary(scores: pd.DataFrame, task: Task) -> str:
    """Writes all tracks' scores, their summary as csv and Markdown, and the pictures; returns a table for a screen."""
    summary = Metrics.summarise(scores)
    write_texts(task.out, {
        "scores.csv": scores.to_csv(index=False),
        "summary.csv": summary.to_csv(index=False),
        "summary.md": Metrics.markdown_table(summary) + "\n",
    })  # fmt: skip
    Metrics.score_boxplot(scores, task.out / "boxplot.png")
    median = next(track for track in task.truth.tracks if track.name == median_track(scores))
    (references, estimates, mixture), rate_hz = task.signals(median)
    Metrics.separation_figure(mixture, references, estimates, task.scored, rate_hz, task.out / "spectrograms.png")
    return Metrics.table(summary)


def write_probes(by_probe: Mapping[str, pd.DataFrame], config: Config.Evaluate, split: str) -> tuple[Path, str]:
    """Writes how much each probe changes the scores; returns the folder and a table for a screen."""
    out = Path(config.out, split) if config.out else Utils.scores_dir(config.run, split)
    changes = Metrics.probe_changes(by_probe)
    headings, cells = Metrics.probe_table(changes)
    text = Utils.markdown_table(headings, cells) + "\n\n" + Metrics.PROBE_NOTE
    write_texts(out, {"probes.csv": changes.to_csv(index=False), "probes.md": text + "\n"})
    return out, text


def write_texts(out: Path, texts: Mapping[str, str]) -> None:
    """Writes text files, each whole or not at all."""
    for name, text in texts.items():
        with Utils.write_atomically(out / name) as partial:
            partial.write_text(text)


def median_track(scores: pd.DataFrame) -> str:
    """The track whose mean SI-SDR improvement is the median one: neither the best nor the worst is shown."""
    improvement = scores[(scores["metric"] == "SI-SDRi") & scores["value"].notna()]
    ranking = improvement.groupby("track")["value"].mean().sort_values(kind="stable")
    return str(ranking.index[len(ranking) // 2]) if len(ranking) else str(scores["track"].iloc[0])


if __name__ == "__main__":
    with Utils.errors_in_one_line("Evaluate.py"):
        experiment.run_commandline()
