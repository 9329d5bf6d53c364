"""Estimates + references -> scores, tables, plots.

    python Evaluate.py with run=runs/demo
    python Evaluate.py with run=runs/demo split=test,test_unseen_bank
    python Evaluate.py with estimates=DIR prepared=PREPARED out=SCORES

Estimates are DIR/<track>/<source>.wav, anybody's; a run's own lie where Test.py wrote them. OUT/<split> (by default
RUN/scores/<split>) then holds scores.csv (every number), summary.csv, summary.md, boxplot.png, the spectrograms of the
track in the middle of the ranking, and for every track a csv and a json in museval's form.
"""

from collections.abc import Iterator
from pathlib import Path

import Config
import Metrics
import Utils
from Experiment import Experiment, register
from Input.prepared import Prepared, Track
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
        prepared, estimates_dir, out = places(config, split)
        tracks = prepared.split(split)
        sources = tuple(sorted({instrument for track in tracks for instrument in track.instruments}))
        rows, faults = [], []
        for track in Utils.progress(tracks, unit="track", label=f"scoring {split}"):
            try:
                mixture, references, estimates = signals(prepared, track, estimates_dir, sources)
                scores = Metrics.score_track(
                    track.name, references, estimates, mixture, sources, prepared.sample_rate_hz
                )
            except (ValueError, FileNotFoundError) as error:
                faults.append(str(error))
                continue
            Metrics.write_track_scores(scores, out / "tracks")
            rows.append(scores)
        if rows:
            scores = pd.concat(rows, ignore_index=True)
            summary = write_summary(scores, out)
            median = next(track for track in tracks if track.name == median_track(scores))
            drawn = signals(prepared, median, estimates_dir, sources)
            Metrics.separation_figure(*drawn, sources, prepared.sample_rate_hz, out / "spectrograms.png")
            yield split, out, summary
        if faults:
            raise ValueError("\n".join(faults))


def signals(
    prepared: Prepared, track: Track, estimates_dir: Path, sources: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A track's mixture (T, C), references (T, S, C) and estimates (T, S, C).

    Raises:
        FileNotFoundError, ValueError: if the estimates are missing, broken or of another length.
    """
    references = prepared.sources(track, sources)
    shape = (track.samples, prepared.channels)
    estimates = read_stems(estimates_dir / track.name, sources, prepared.sample_rate_hz, shape)
    return references.sum(axis=1), references, estimates


def places(config: Config.Evaluate, split: str) -> tuple[Prepared, Path, Path]:
    """References, the folder of a split's estimates, and the folder of its scores.

    Raises:
        FileNotFoundError, ValueError: if one of them is missing, or not said.
    """
    if bool(config.run) == bool(config.estimates):
        raise ValueError(f"expected run=RUN or estimates=DIR. Received: {'both' if config.run else 'neither'}")
    if config.estimates and not (config.prepared and config.out and len(config.split) == 1):
        raise ValueError("estimates=DIR needs prepared=PREPARED (the references), out=DIR (for scores) and one split")
    if config.estimates:
        return Prepared(config.prepared), Path(config.estimates), Path(config.out, split)
    trained_on = Config.from_dict(Config.Training, Utils.run_config(config.run)).data.prepared
    estimates_dir = Utils.estimates_dir(config.run, split)
    if not (estimates_dir / "loss.json").is_file():
        raise FileNotFoundError(
            f"no finished estimates at {estimates_dir}: make them with  "
            f"python Test.py with run={config.run} split={split}"
        )
    out = Path(config.out or Path(config.run, "scores"), split)
    return Prepared(config.prepared or trained_on), estimates_dir, out


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
