"""Estimates + references -> scores, tables, plots.

    python Evaluate.py with run=runs/demo
    python Evaluate.py with run=runs/demo split=test,test_unseen_bank metrics=all
    python Evaluate.py with estimates=DIR prepared=PREPARED out=SCORES

Estimates are DIR/<track>/<source>.wav, anybody's; a run's own lie where Test.py wrote them. OUT/<split> (by default
RUN/scores/<split>) then holds scores.csv (every number), summary.csv, summary.md, boxplot.png, the spectrograms of the
track in the middle of the ranking, and for every track a csv and a json in museval's form.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import Config
import Metrics
import Utils
from Experiment import Experiment, register
from Input.prepared import Prepared, Sources, Track
from Input.stems import read_stems

import numpy as np
import pandas as pd

experiment = register(Experiment("evaluate"), Config.Evaluate)


@experiment.main
def main(_config: Config.Tree) -> None:
    """Scores each split and prints its table."""
    config = Config.from_dict(Config.Evaluate, _config)
    for split, out, summary in evaluate(config):
        print(f"\n{split}\n{Metrics.table(summary)}\n\n{out}: {', '.join(sorted(p.name for p in out.iterdir()))}")


def evaluate(config: Config.Evaluate) -> Iterator[tuple[str, Path, pd.DataFrame]]:
    """Scores the estimates of every track of each split, and writes all files.

    A track that cannot be scored does not stop the others: their files are written, then its fault is raised.

    Yields:
        A split, where its files are, and its summary (`Metrics.summarise`).

    Raises:
        FileNotFoundError, ValueError: if estimates or references are missing, or one line for each track that cannot
            be scored.
    """
    for split in config.split:
        task = run_task(config, split) if config.run else estimates_task(config, split)
        rows, faults = [], []
        for track in Utils.progress(task.tracks, unit="track", label=f"scoring {split}"):
            try:
                mixture, references, estimates = task.signals(track)
                about = (task.wanted.names, task.prepared.sample_rate_hz, config.metrics)
                scores = Metrics.score_track(track.name, references, estimates, mixture, *about)
            except (ValueError, FileNotFoundError) as error:
                faults.append(str(error))
                continue
            Metrics.write_track_scores(scores, task.out / "tracks")
            rows.append(scores)
        if rows:
            scores = pd.concat(rows, ignore_index=True)
            summary = write_summary(scores, task.out)
            median = next(track for track in task.tracks if track.name == median_track(scores))
            Metrics.separation_figure(
                *task.signals(median),
                task.wanted.names,
                task.prepared.sample_rate_hz,
                task.out / "spectrograms.png",
            )
            yield split, task.out, summary
        if faults:
            raise ValueError("\n".join(faults))


@dataclass(frozen=True)
class Task:
    """What is scored against what.

    Args:
        prepared: the data set with the references.
        tracks: its tracks that are scored.
        wanted: the sources.
        mixture: what was separated: `sum` or `recorded`.
        estimates_dir: where the estimates are, a folder for each track.
        out: where scores go.
    """

    prepared: Prepared
    tracks: tuple[Track, ...]
    wanted: Sources
    mixture: str
    estimates_dir: Path
    out: Path

    def signals(self, track: Track) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A track's mixture (T, C), references (T, S, C) and estimates (T, S, C).

        Raises:
            FileNotFoundError, ValueError: if the estimates are missing, broken or of another length.
        """
        references = self.prepared.sources(track, self.wanted)
        shape = (track.samples, self.prepared.channels)
        folder = self.estimates_dir / track.name
        estimates = read_stems(folder, self.wanted.names, self.prepared.sample_rate_hz, shape)
        mixture = references.sum(axis=1) if self.mixture == "sum" else self.prepared.recorded(track)
        return mixture, references, estimates


def run_task(config: Config.Evaluate, split: str) -> Task:
    """What Test.py separated for a run.

    Raises:
        FileNotFoundError, ValueError: if the run or its estimates are missing, or estimates are named as well.
    """
    if config.estimates:
        raise ValueError("expected run=RUN or estimates=DIR. Received: both")
    data = Config.from_dict(Config.Training, Utils.run_config(config.run)).data
    estimates_dir = Utils.estimates_dir(config.run, split)
    if not (estimates_dir / Utils.TESTED).is_file():
        raise FileNotFoundError(
            f"no finished estimates at {estimates_dir}: make them with  "
            f"python Test.py with run={config.run} split={split}"
        )
    tested = json.loads((estimates_dir / Utils.TESTED).read_text())
    prepared = Prepared(config.prepared or data.prepared)
    tracks = tuple(track for track in prepared.split(split) if track.name in tested["tracks"])
    wanted = sounding(Sources(data.sources, data.sums), tracks)
    out = Path(config.out or Path(config.run, "scores"), split)
    return Task(prepared, tracks, wanted, tested["mixture"], estimates_dir, out)


def estimates_task(config: Config.Evaluate, split: str) -> Task:
    """Anybody's estimates of one split; its sources are the instruments that play in it.

    Raises:
        FileNotFoundError, ValueError: if something is missing, or not said.
    """
    if not config.estimates:
        raise ValueError("expected run=RUN or estimates=DIR. Received: neither")
    if not (config.prepared and config.out and len(config.split) == 1):
        raise ValueError("estimates=DIR needs prepared=PREPARED (the references), out=DIR (for scores) and one split")
    prepared = Prepared(config.prepared)
    tracks = prepared.split(split)
    wanted = Sources(tuple(sorted({instrument for track in tracks for instrument in track.instruments})))
    return Task(prepared, tracks, wanted, "sum", Path(config.estimates), Path(config.out, split))


def sounding(wanted: Sources, tracks: tuple[Track, ...]) -> Sources:
    """Those of the sources that have a part in one of the tracks."""
    present = np.max([wanted.labels(track) for track in tracks], axis=0)
    return Sources(tuple(name for name, here in zip(wanted.names, present, strict=True) if here), wanted.sums)


def write_summary(scores: pd.DataFrame, out: Path) -> pd.DataFrame:
    """Writes all tracks' scores, their summary as csv and Markdown, and the boxplot; returns the summary."""
    summary = Metrics.summarise(scores)
    texts = {
        "scores.csv": scores.to_csv(index=False),
        "summary.csv": summary.to_csv(index=False),
        "summary.md": Metrics.markdown_table(summary) + "\n",
    }
    for name, text in texts.items():
        with Utils.write_atomically(out / name) as partial:
            partial.write_text(text)
    Metrics.score_boxplot(scores, out / "boxplot.png")
    return summary


def median_track(scores: pd.DataFrame) -> str:
    """The track whose mean SI-SDR improvement is the median one: neither the best nor the worst is shown."""
    improvement = scores[(scores["metric"] == "SI-SDRi") & np.isfinite(scores["value"])]
    ranking = improvement.groupby("track")["value"].mean().sort_values()
    return str(ranking.index[len(ranking) // 2])


if __name__ == "__main__":
    with Utils.errors_in_one_line("Evaluate.py"):
        experiment.run_commandline()
