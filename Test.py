"""A run + a split -> estimates (wav) and the loss.

    python Test.py with run=runs/demo
    python Test.py with run=runs/demo split=test,test_unseen_bank

Writes RUN/estimates/<split>/<track>/<source>.wav, 32-bit float at the run's rate, and RUN/estimates/<split>/test.json,
which tells the loss and what was separated. A source that the separator left exactly silent has no file.
"""

import shutil
from collections.abc import Iterator

import Config
import Utils
from Experiment import Experiment, register
from Input.prepared import Prepared, Sources
from Input.stems import write_stems
from Models import networks
from Models.lengths import Lengths
from Models.losses import per_example
from Models.separation import load_separator, separate

import keras
import numpy as np

experiment = register(Experiment("test"), Config.Test)


@experiment.main
def main(_config: Config.Tree) -> dict[str, float]:
    """Separates each split; the result is the mean loss of each."""
    config = Config.from_dict(Config.Test, _config)
    losses = {}
    for split, loss in test(config):
        losses[split] = loss
        print(f"loss {loss:.5g} on the split {split}: {Utils.estimates_dir(config.run, split)}")
    print(f"score them with  python Evaluate.py with run={config.run} split={','.join(config.split)}")
    return losses


def test(config: Config.Test) -> Iterator[tuple[str, float]]:
    """Separates every track of each split with the run's best weights.

    Yields:
        A split and the mean of the run's loss over excerpts of the length it was trained on, as in its validation.

    Raises:
        FileNotFoundError, ValueError: if the run, its checkpoint, the data set or a split is missing.
    """
    run = Config.from_dict(Config.Training, Utils.run_config(config.run))
    separator = load_separator(Utils.run_checkpoint(config.run))
    lengths = networks.lengths(run.data.output_samples, **run.model.model_dump())
    excerpt_samples = lengths.output_samples(run.data.output_samples)
    prepared, wanted = Prepared(config.prepared or run.data.prepared), Sources(run.data.sources, run.data.sums)
    for split in config.split:
        out = Utils.estimates_dir(config.run, split)
        tracks = prepared.split(split, config.parts or run.data.parts)
        shutil.rmtree(out, ignore_errors=True)  # estimates of other weights must not be taken for these
        losses: list[float] = []
        for track in Utils.progress(tracks, unit="track", label=f"separating {split}"):
            references = prepared.sources(track, wanted)
            mixture = references.sum(axis=1) if config.mixture == "sum" else prepared.recorded(track)
            estimates = separate_track(separator, lengths, mixture, wanted.labels(track))
            write_stems(out / track.name, estimates, wanted.names, prepared.sample_rate_hz)
            losses += excerpt_losses(run.training.loss, references, estimates, excerpt_samples)
        made = {"loss": run.training.loss, "value": np.mean(losses), "excerpts": len(losses), "mixture": config.mixture}
        Utils.write_json(out / Utils.TESTED, made | {"tracks": [track.name for track in tracks]})
        yield split, float(np.mean(losses))


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


if __name__ == "__main__":
    with Utils.errors_in_one_line("Test.py"):
        experiment.run_commandline()
