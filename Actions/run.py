"""A run's folder -> its trained network, whose parts are checked to belong together."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import Config
import Options
import Runs
from Actions.data import configuration_of, require_emits, sources_of, stem_names, wanted_stems
from Files import sha256
from Input.audio import resampled
from Input.streams import Stretch, known
from Models import networks
from Models.checkpoints import emitting, load_network, settings_of
from Models.lengths import Lengths
from Models.recognition import recognise
from Models.separation import separate

import keras
import numpy as np

COMPUTED_BY = ("sources", "sums", "targets", "sample_rate_hz", "channels", "output_samples")
"""The keys of `data` that decide what is computed, beside all of `model`."""


class Run:
    """A trained network, and the configuration that it was trained with.

    Args:
        folder: the run's folder.

    Attributes:
        config: its configuration.
        network: with its best weights, compiled.
        lengths: of the network.
        checksum: of the checkpoint's bytes.

    Raises:
        FileNotFoundError: if it is no run, or has no checkpoint.
        ValueError: if a file is damaged, or configuration and checkpoint do not belong together.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.config = configuration_of(folder)
        self.checkpoint = Runs.checkpoint(folder)
        self.checksum = sha256(self.checkpoint)  # now: a run that trains may replace it
        self.network, stored = loaded(self.checkpoint)
        if stored and (differing := _differences(Options.from_dict(Config.Training, stored), self.config)):
            raise ValueError(
                f"{self.folder}/config.json is not what {self.checkpoint.name} was trained with: {'; '.join(differing)}"
                f". Put it back as it was, or train a run with the other settings:  "
                f"python Training.py with {self.folder / 'config.json'} name=..."
            )
        data, model = self.config.data, self.config.model.model_dump()
        self.lengths: Lengths = networks.lengths(data.output_samples, **model)
        if not stored and not _fits(self.network, self.lengths, len(data.sources), data.channels, model):
            raise ValueError(
                f"{self.checkpoint} is another network than {self.folder}/config.json describes; put the one back that "
                "belongs to the other, or train the run again with fresh=true"
            )

    @functools.cached_property
    def separator(self) -> keras.Model:
        """The network as far as it computes sources; ValueError if it computes none."""
        require_emits(self.config, self.folder, "sources")
        return emitting(self.network, "sources")

    @functools.cached_property
    def recogniser(self) -> keras.Model:
        """The network as far as it computes which classes play; ValueError if it does not."""
        require_emits(self.config, self.folder, "playing")
        return emitting(self.network, "playing")

    def contexts(self, playing: Sequence[str]) -> dict[str, np.ndarray]:
        """What is known of a recording, by the names of the network's inputs, if sources of these classes play.

        Raises:
            ValueError: if the network receives more than labels.
        """
        data = self.config.data
        parts = [Stretch(data.sources.index(label)) for label in playing]
        return known(self.config.model.received, sources_of(data), parts, 0.0)

    def separate(
        self, samples: np.ndarray, rate_hz: int, labels: Sequence[str] = (), stems: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """Separates a recording that is in memory.

        Args:
            samples: linear amplitude, full scale 1.0, (T,) or (T, C).
            rate_hz: its rate, in Hz; any.
            labels: the sources that play, which a conditioned run needs.
            stems: the sources wanted; those that play, or all, if none are named.

        Returns:
            Each stem by its source's name, float32, of the shape and rate of the recording.

        Raises:
            ValueError: if a name is unknown, labels are missing, or the samples have another shape or are no numbers.
        """
        separator, wanted = self.separator, wanted_stems(self.config, labels, stems)
        mixture = checked_samples(samples)
        columns, own_hz = mixture.reshape(len(mixture), -1), self.config.data.sample_rate_hz
        blocks = resampled(iter([columns]), rate_hz, own_hz, columns.shape[1])
        length = round(len(columns) * own_hz / rate_hz)
        separated = np.concatenate(
            list(separate(separator, self.lengths, blocks, self.contexts(labels), samples=length))
        )
        names = stem_names(self.config.data, labels)
        found = {}
        for stem in wanted:
            of_stem = np.ascontiguousarray(separated[:, names.index(stem)])
            at_rate = np.concatenate(list(resampled(iter([of_stem]), own_hz, rate_hz, columns.shape[1])))
            whole = np.zeros_like(columns)
            whole[: len(at_rate)] = at_rate[: len(whole)]  # the two roundings of the length may differ by a sample
            found[stem] = whole.reshape(mixture.shape)
        return found

    def recognise(self, samples: np.ndarray, rate_hz: int) -> dict[str, float]:
        """The probability that a class plays in a recording that is in memory, by its name.

        Args:
            samples: as for `separate`.
            rate_hz: its rate, in Hz; any.

        Raises:
            ValueError: if the run separates, or the samples have another shape or are no numbers.
        """
        recogniser, columns, own_hz = self.recogniser, checked_samples(samples), self.config.data.sample_rate_hz
        columns = columns.reshape(len(columns), -1)
        blocks = resampled(iter([columns]), rate_hz, own_hz, columns.shape[1])
        return probabilities_of(self.config.data, recognise(recogniser, self.lengths, blocks))


def checked_samples(samples: np.ndarray) -> np.ndarray:
    """A recording (T,) or (T, C) in float32.

    Raises:
        ValueError: if it has another shape, or holds no finite floating point numbers.
    """
    if not np.issubdtype(np.asarray(samples).dtype, np.floating):
        raise ValueError(
            f"expected floating point samples, full scale 1.0. Received: {np.asarray(samples).dtype}; divide them "
            "by their full scale, which is 32768 for int16"
        )
    mixture = np.asarray(samples, np.float32)
    if mixture.ndim not in (1, 2) or not mixture.size or not np.isfinite(mixture).all():
        raise ValueError(f"expected finite samples (T,) or (T, C). Received: an array of shape {mixture.shape}")
    if mixture.ndim == 2 and mixture.shape[1] > len(mixture):
        raise ValueError(f"expected samples (T, C), time first. Received: an array of shape {mixture.shape}")
    return mixture


def probabilities_of(data: Config.Data, windows: Iterable[tuple[np.ndarray, int]]) -> dict[str, float]:
    """The probability that a class plays in a recording, by its name: the mean over its time.

    Args:
        data: of the run.
        windows: what `recognise` gives.

    Raises:
        ValueError: if there is none.
    """
    found = list(windows)
    if not found:
        raise ValueError("expected a recording. Received: one without a sample")
    probabilities, samples = zip(*found, strict=True)
    return dict(zip(data.sources, np.average(probabilities, axis=0, weights=samples).tolist(), strict=True))


def loaded(checkpoint: Path) -> tuple[keras.Model, Options.Tree | None]:
    """The network of a run's checkpoint, and the settings it was made with; None where it does not say.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        return load_network(checkpoint), settings_of(checkpoint)
    except ValueError as error:
        raise ValueError(
            f"{error}. Copy it again from where it is whole, or train the run again:  "
            f"{Runs.training_again(checkpoint.parent)}"
        ) from error


def _differences(stored: Config.Training, config: Config.Training) -> list[str]:
    """The settings in which a checkpoint and a configuration differ, of those that decide what is computed."""
    before, now = (
        dict(Options.flat({"model": tree["model"], "data": {key: tree["data"][key] for key in COMPUTED_BY}}))
        for tree in map(Options.to_dict, (stored, config))
    )
    return Options.changes(before, now)


def _fits(separator: keras.Model, lengths: Lengths, sources: int, channels: int, model: Options.Tree) -> bool:
    """Whether a network whose checkpoint does not say what it was made with is the one that a configuration describes.

    Its weights must have the shapes, and the mixture and its sources the lengths, of a network built anew.
    """
    built = networks.built(sources, channels, **model)
    if [each.shape for each in built.weights] != [each.shape for each in separator.weights]:
        return False
    samples = lengths.output_samples(1)
    mixture = keras.KerasTensor((1, lengths.input_samples(samples), channels))
    inputs = {name: keras.KerasTensor((1, *tensor.shape[1:])) for name, tensor in separator.input.items()}
    computed = separator.compute_output_spec({**inputs, "mixture": mixture})
    return tuple(computed.shape) == (1, samples, sources, channels)
