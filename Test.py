"""A run + a split -> estimates (wav) and the loss.

    python Test.py with run=runs/demo
    python Test.py with run=runs/demo split=test_unseen_bank

Writes RUN/estimates/<split>/<track>/<source>.wav, 32-bit float at the run's rate, and RUN/estimates/<split>/loss.json.
A source that the separator left exactly silent has no file.
"""

import keras
import numpy as np

import Config
import Utils
from Input.prepared import Prepared, labels_of
from Input.stems import write_stems
from Models.lengths import Ladder
from Models.losses import LOSSES
from Models.separation import separate

experiment = Config.register(Config.Experiment("test"), Config.Test)


@experiment.main
def main(_config):
    """Separates a split; the result is the mean loss."""
    config = Config.from_dict(Config.Test, _config)
    mean_loss = test(config)
    print(f"loss {mean_loss:.5g} on the split {config.split}")
    print(f"{Utils.estimates_dir(config.run, config.split)}: score it with")
    print(f"  python Evaluate.py with run={config.run} split={config.split}")
    return mean_loss


def test(config: Config.Test) -> float:
    """Separates every track of a split with the run's best weights.

    Returns:
        The mean of the run's loss over excerpts of the length it was trained on, as in its validation.

    Raises:
        FileNotFoundError, ValueError: if the run, its checkpoint, the data set or the split is missing.
    """
    run = Config.from_dict(Config.Training, Utils.run_config(config.run))
    separator = keras.saving.load_model(Utils.run_checkpoint(config.run), compile=False)
    ladder = Ladder(run.model.levels, run.model.down_size, run.model.up_size)
    prepared = Prepared(config.prepared or run.data.prepared)
    out = Utils.estimates_dir(config.run, config.split)
    losses: list[float] = []
    for track in Utils.progress(prepared.split(config.split), unit="track", label="separating"):
        references = prepared.sources(track, run.data.sources)
        estimates = separate_track(separator, ladder, references.sum(axis=1), labels_of(track, run.data.sources))
        write_stems(out / track.name, estimates, run.data.sources, prepared.sample_rate_hz)
        losses += excerpt_losses(run.training.loss, references, estimates, ladder.output_samples(run.data.output_samples))
    Utils.write_json(out / "loss.json", {run.training.loss: np.mean(losses), "excerpts": len(losses)})
    return float(np.mean(losses))


def separate_track(separator: keras.Model, ladder: Ladder, mixture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A whole mixture (T, C) -> estimates (T, S, C)."""
    return np.concatenate(list(separate(separator, ladder, [mixture], labels, samples=len(mixture))))


def excerpt_losses(name: str, references: np.ndarray, estimates: np.ndarray, samples: int) -> list[float]:
    """The loss of each consecutive excerpt of so many samples of a track (T, S, C); the last is padded by silence."""
    losses = []
    for start in range(0, len(references), samples):
        excerpt = np.zeros((2, samples, *references.shape[1:]), np.float32)
        for padded, signal in zip(excerpt, (references, estimates), strict=True):
            padded[: len(signal) - start] = signal[start : start + samples]
        losses.append(float(LOSSES[name](excerpt[:1], excerpt[1:])[0]))
    return losses


if __name__ == "__main__":
    with Utils.errors_in_one_line("Test.py"):
        experiment.run_commandline()
