"""A run + a split -> estimates (wav) and the loss.

    python Test.py with run=runs/demo
    python Test.py with run=runs/demo split=test,test_unseen_bank
    python Test.py with run=runs/demo probes=no_labels,all_labels,shuffled_labels,wrong_label

Writes RUN/estimates/<split>/<track>/<source>.wav, 32-bit float at the run's rate, and RUN/estimates/<split>/test.json,
which tells the loss and what was separated. A source that the separator left exactly silent has no file. Clips of the
best, median and worst track are kept in RUN/listening/<split>. A probe tells a conditioned separator something else
than the truth; its estimates lie in RUN/probes/<probe>/estimates.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import Config
import Metrics
import Utils
from Experiment import Experiment, register
from Input.prepared import Prepared, Sources, Track
from Input.probes import probed_labels
from Input.references import PreparedReferences
from Input.stems import read_stems, write_clips, write_stems
from Models import networks
from Models.lengths import Lengths
from Models.losses import per_example
from Models.separation import load_separator, separate

import keras
import numpy as np

CLIP_SECONDS = 8
RANKS = ("best", "median", "worst")

experiment = register(Experiment("test"), Config.Test)


@experiment.main
def main(_config: Config.Tree) -> dict[str, float]:
    """Separates each split; the result is the mean loss of each."""
    config = Config.from_dict(Config.Test, _config)
    losses = {}
    for what, loss, out in test(config):
        losses[what] = loss
        print(f"loss {loss:.5g} on {what}: {out}")
    probes = f" probes={','.join(config.probes)}" if config.probes else ""
    print(f"score them with  python Evaluate.py with run={config.run} split={','.join(config.split)}{probes}")
    return losses


def test(config: Config.Test) -> Iterator[tuple[str, float, Path]]:
    """Separates every track of each split with the run's best weights, and again for each probe.

    Yields:
        The split (and probe), the mean of the run's loss over excerpts of the length it was trained on, as in its
        validation, and the folder of the estimates.

    Raises:
        FileNotFoundError, ValueError: if the run, its checkpoint, the data set or a split is missing, or a run without
            labels is probed.
    """
    run = Config.from_dict(Config.Training, Utils.run_config(config.run))
    separator = load_separator(Utils.run_checkpoint(config.run))
    if config.probes and len(separator.inputs) == 1:
        raise ValueError(f"the run {config.run} hears no labels (model.conditioning=none): there is nothing to probe")
    lengths = networks.lengths(run.data.output_samples, **run.model.model_dump())
    excerpt_samples = lengths.output_samples(run.data.output_samples)
    prepared, wanted = Prepared(config.prepared or run.data.prepared), Sources(run.data.sources, run.data.sums)
    for split in config.split:
        truth = PreparedReferences(prepared, prepared.split(split, config.parts or run.data.parts))
        names, labels = [track.name for track in truth.tracks], [wanted.labels(track) for track in truth.tracks]
        for probe in ("", *config.probes):
            what = f"{split}, {probe}" if probe else split
            told = probed_labels(probe, names, labels) if probe else labels
            out = Utils.estimates_dir(config.run, split, probe)
            shutil.rmtree(out, ignore_errors=True)  # estimates of other weights must not be taken for these
            losses: list[float] = []
            ranking: dict[Track, float] = {}
            separating = Utils.progress(truth.tracks, unit="track", label=f"separating {what}")
            for track, of_track in zip(separating, told, strict=True):
                mixture, references, rate_hz = truth.read(track, wanted, config.mixture)
                estimates = separate_track(separator, lengths, mixture, of_track)
                write_stems(out / track.name, estimates, wanted.names, rate_hz)
                losses += excerpt_losses(run.training.loss, references, estimates, excerpt_samples)
                ranking[track] = improvement(references, estimates, mixture)
            if not probe:
                keep_clips(truth, ranking, wanted, config.mixture, out, Utils.listening_dir(config.run, split))
            made = {"loss": run.training.loss, "value": np.mean(losses), "excerpts": len(losses)}
            Utils.write_json(out / Utils.TESTED, made | {"mixture": config.mixture, "tracks": names})
            yield what, float(np.mean(losses)), out


def separate_track(separator: keras.Model, lengths: Lengths, mixture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A whole mixture (T, C) -> estimates (T, S, C)."""
    return np.concatenate(list(separate(separator, lengths, [mixture], labels, samples=len(mixture))))


def excerpt_losses(expression: str, references: np.ndarray, estimates: np.ndarray, samples: int) -> list[float]:
    """The loss of each consecutive excerpt of so many samples of a track (T, S, C); the last is padded by silence."""
    losses = []
    for start in range(0, len(references), samples):
        excerpt = np.zeros((2, samples, *references.shape[1:]), np.float32)
        for padded, signal in zip(excerpt, (references, estimates), strict=True):
            padded[: len(signal) - start] = signal[start : start + samples]
        losses.append(float(per_example(expression, excerpt[:1], excerpt[1:])[0]))
    return losses


def improvement(references: np.ndarray, estimates: np.ndarray, mixture: np.ndarray) -> float:
    """The mean SI-SDR improvement over the mixture, in dB, of a track's sources; -inf where one is missed altogether.

    NaN where the mixture already is the source, and nothing is separated.
    """
    own = Metrics.si_sdr(references, estimates)
    of_mixture = Metrics.si_sdr(references, np.broadcast_to(mixture[:, np.newaxis], references.shape))
    counted = of_mixture < Metrics.TRIVIAL_DB  # NaN, a source that is absent, is not
    return float(np.mean(own[counted] - of_mixture[counted])) if counted.any() else np.nan


class Clip(NamedTuple):
    """What clips.json tells of a track's clips."""

    rank: str
    track: str
    start_seconds: float
    seconds: float
    gain: float
    si_sdri_db: float


def keep_clips(
    truth: PreparedReferences,
    ranking: dict[Track, float],
    wanted: Sources,
    mixture: str,
    estimates_dir: Path,
    out: Path,
) -> None:
    """Keeps some seconds of the best, the median and the worst track, for people to listen to.

    OUT/<rank>/ gets mixture.flac, and for each source that plays <source>.reference.flac and <source>.estimate.flac.
    """
    shutil.rmtree(out, ignore_errors=True)
    ranked = sorted((track for track in ranking if not np.isnan(ranking[track])), key=lambda track: -ranking[track])
    ranks: dict[Track, str] = {}
    for rank, place in (("best", 0), ("worst", -1), ("median", len(ranked) // 2)):
        if ranked:
            ranks.setdefault(ranked[place], rank)
    clips = []
    for track, rank in sorted(ranks.items(), key=lambda item: RANKS.index(item[1])):
        heard, references, rate_hz = truth.read(track, wanted, mixture)
        estimates = read_stems(estimates_dir / track.name, wanted.names, rate_hz, heard.shape)
        excerpt = Metrics.liveliest(references, CLIP_SECONDS * rate_hz)
        signals = {"mixture": heard[excerpt]}
        for index in np.flatnonzero(wanted.labels(track)):
            signals[f"{wanted.names[index]}.reference"] = references[excerpt, index]
            signals[f"{wanted.names[index]}.estimate"] = estimates[excerpt, index]
        gain = write_clips(out / rank, signals, rate_hz)
        seconds = len(signals["mixture"]) / rate_hz
        clips.append(Clip(rank, track.name, excerpt.start / rate_hz, seconds, gain, ranking[track])._asdict())
    Utils.write_json(out / Utils.CLIPS, clips)


if __name__ == "__main__":
    with Utils.errors_in_one_line("Test.py"):
        experiment.run_commandline()
