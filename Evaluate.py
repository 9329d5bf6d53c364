"""Estimates + references -> scores, tables, plots.

    python Evaluate.py with run=runs/demo
    python Evaluate.py with run=runs/demo split=test_unseen_bank
    python Evaluate.py with estimates=DIR prepared=PREPARED out=SCORES

Estimates are DIR/<track>/<source>.wav, anybody's; a run's own lie where Test.py wrote them. OUT (by default
RUN/scores/<split>) then holds a json in museval's form and a csv for every track, scores.csv (every number),
summary.csv, summary.md, boxplot.png, and the spectrograms of the track in the middle of the ranking.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import Config
import Metrics
import Utils
from Input.prepared import Prepared, Track
from Input.stems import read_stems

experiment = Config.register(Config.Experiment("evaluate"), Config.Evaluate)


@experiment.main
def main(_config):
    """Scores a split and prints its table."""
    config = Config.from_dict(Config.Evaluate, _config)
    out, summary = evaluate(config)
    print(Metrics.table(summary))
    print(f"\n{out}: scores.csv, summary.csv, summary.md, boxplot.png, spectrograms.png, a json and a csv a track")


def evaluate(config: Config.Evaluate) -> tuple[Path, pd.DataFrame]:
    """Scores the estimates of every track of a split, and writes all files.

    A track that cannot be scored does not stop the others: their files are written, then its fault is raised.

    Returns:
        Where the files are, and the summary (`Metrics.summarise`).

    Raises:
        FileNotFoundError, ValueError: if estimates or references are missing, or one line for each track that cannot
            be scored.
    """
    prepared, estimates_dir, out = _places(config)
    tracks = prepared.split(config.split)
    sources = tuple(sorted({instrument for track in tracks for instrument in track.instruments}))
    rows, faults = [], []
    for track in Utils.progress(tracks, unit="track", label="scoring"):
        try:
            mixture, references, estimates = signals(prepared, track, estimates_dir, sources)
            scored = Metrics.score_track(
                track.name, references, estimates, mixture, sources, prepared.sample_rate_hz
            )
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
            continue
        Metrics.write_track_scores(scored, out / "tracks")
        rows.append(scored)
    if rows:
        summary = _write_all(pd.concat(rows, ignore_index=True), out)
        _draw_median_track(pd.concat(rows), prepared, {t.name: t for t in tracks}, estimates_dir, sources, out)
    if faults:
        raise ValueError("\n".join(faults))
    return out, summary


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


def _places(config: Config.Evaluate) -> tuple[Prepared, Path, Path]:
    """References, the folder of the estimates, the folder of the scores."""
    if bool(config.run) == bool(config.estimates):
        raise ValueError("expected either run=RUN or estimates=DIR. Received: " + ("both" if config.run else "neither"))
    if config.run:
        trained_on = Config.from_dict(Config.Training, Utils.run_config(config.run)).data.prepared
        estimates = Utils.estimates_dir(config.run, config.split)
        if not estimates.is_dir():
            raise FileNotFoundError(
                f"no estimates at {estimates}: make them with  python Test.py with run={config.run} split={config.split}"
            )
        default = Path(config.run, "scores", config.split)
        return Prepared(config.prepared or trained_on), estimates, Path(config.out) if config.out else default
    if not config.prepared or not config.out:
        raise ValueError("estimates=DIR needs prepared=PREPARED (the references) and out=DIR (where scores go)")
    return Prepared(config.prepared), Path(config.estimates), Path(config.out)


def _write_all(rows: pd.DataFrame, out: Path) -> pd.DataFrame:
    summary = Metrics.summarise(rows)
    for name, text in (
        ("scores.csv", rows.to_csv(index=False)),
        ("summary.csv", summary.to_csv(index=False)),
        ("summary.md", Metrics.markdown_table(summary) + "\n"),
    ):
        with Utils.write_atomically(out / name) as partial:
            partial.write_text(text)
    Metrics.score_boxplot(rows, out / "boxplot.png")
    return summary


def _draw_median_track(
    rows: pd.DataFrame, prepared: Prepared, tracks: dict[str, Track], estimates_dir: Path, sources, out: Path
) -> None:
    """The spectrograms of the track whose improvement is the median one: neither the best nor the worst is shown."""
    improvement = rows[(rows["metric"] == "SI-SDRi") & np.isfinite(rows["value"])].groupby("track")["value"].mean()
    track = tracks[improvement.sort_values().index[len(improvement) // 2]]
    mixture, references, estimates = signals(prepared, track, estimates_dir, sources)
    Metrics.separation_figure(
        mixture, references, estimates, sources, prepared.sample_rate_hz, out / "spectrograms.png"
    )


if __name__ == "__main__":
    with Utils.errors_in_one_line("Evaluate.py"):
        experiment.run_commandline()
