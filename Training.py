"""A prepared data set + a configuration -> a run.

    python Training.py with demo data.prepared=PREPARED name=demo
    python Training.py print_config with urmp

The run's folder, runs/<name>, then holds the configuration (config.json), the weights of the best validation and of
the last (best.keras, last.keras), the losses (log.csv, curve.png) and what TensorBoard reads (tensorboard/).
"""

import csv
import importlib.util
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import Config
import Utils
from Experiment import Experiment, RunFolder, register
from Input.augmentation import Augmentation
from Input.device import Cache, DrawnWindows, Mixer, drawn_batches
from Input.doctor import require_trainable
from Input.examples import Excerpt, Mix, TrainingExamples, Windows
from Input.prepared import Prepared, Sources
from Metrics import loss_curve
from Models import networks
from Models.cost import cost
from Models.losses import loss, per_example
from Models.separation import WINDOW_SAMPLES

import keras

experiment = register(Experiment("training"), Config.Training, Config.PRESETS)
experiment.observers.append(RunFolder(Utils.RUNS))


@experiment.command(unobserved=True)
def list_models() -> None:
    """Prints what each preset builds: weights, lengths of an excerpt, and the work of separating a second of audio."""
    rows = []
    for name in Config.PRESETS:
        config = Config.resolve(Config.Training, Config.PRESETS, [name], {})
        lengths = networks.lengths(config.data.output_samples, **config.model.model_dump())
        separator = networks.separator(len(config.data.sources), config.data.channels, **config.model.model_dump())
        excerpt = cost(separator, lengths, config.data.output_samples)
        window = cost(separator, lengths, WINDOW_SAMPLES)
        gflop = window.flops / window.output_samples * config.data.sample_rate_hz / 1e9
        numbers = (excerpt.parameters, excerpt.input_samples, excerpt.output_samples)
        rows.append(
            [name, f"{config.model.network} ({Config.ORIGINS[name]})", *(f"{n:,}" for n in numbers), f"{gflop:.1f}"]
        )
    headings = (
        "preset",
        "network and its source",
        "weights",
        "mixture, samples",
        "sources, samples",
        "GFLOP per second of audio",
    )
    print(Utils.markdown_table(headings, rows))


LogScalar = Callable[[str, float, int], None]
"""Told the name of a number, its value and the step, after each validation."""


@experiment.main
def main(_config: Config.Tree, _run: Any) -> float:
    """Trains; the result that Sacred keeps is the best validation loss."""
    config = Config.from_dict(Config.Training, _config)
    run_dir = Path(_run.observers[0].dir)
    best = train(config, run_dir, _run.log_scalar)
    print(f"best validation loss {best:.5g}\n{run_dir}: separate a split with  python Test.py with run={run_dir}")
    return best


def train(
    config: Config.Training,
    run_dir: Path,
    log_scalar: LogScalar = lambda name, value, step: None,
) -> float:
    """Trains a separator into a run's folder.

    Args:
        config: every number of the run.
        run_dir: where checkpoints, log and curve go; exists.
        log_scalar: told (name, value, step) after each validation.

    Returns:
        The best validation loss.

    Raises:
        FileNotFoundError, ValueError: if the prepared data set does not fit the configuration.
    """
    data, training = config.data, config.training
    prepared, wanted = prepared_for(data), sources_of(data)
    for remark in require_trainable(prepared, wanted):
        print(f"note: {remark}")
    lengths = networks.lengths(data.output_samples, **config.model.model_dump())
    output_samples = lengths.output_samples(data.output_samples)
    excerpt = Excerpt(lengths.input_samples(output_samples), output_samples)
    examples = training_examples(config, prepared, excerpt)
    windows = Windows(prepared, prepared.split("validation", data.parts), wanted, excerpt)
    separator = new_separator(config)
    feed = from_device if data.cache == "device" else from_host
    model, batches, validation = feed(separator, examples, windows, training)

    progress = Utils.progress(total=training.steps * training.batch_size, unit="example", label="training")
    with progress:
        history = model.fit(
            batches,
            steps_per_epoch=training.validate_every,
            epochs=training.steps // training.validate_every,
            validation_data=validation,
            callbacks=list(_callbacks(training, separator, run_dir, progress, log_scalar)),
            shuffle=False,  # the examples are drawn at random
            verbose=0,
        )
    return min(history.history["val_loss"])


def from_host(
    separator: keras.Model, examples: TrainingExamples, windows: Windows, training: Config.Optimisation
) -> tuple[keras.Model, Any, Any]:
    """What is fitted, and batches to train and to validate it on: excerpts are read and mixed by tf.data.

    Raises:
        ValueError: if TensorFlow is not installed.
    """
    try:  # here and not above, because it is the one room that needs TensorFlow
        from Input.pipeline import track_batches, training_batches
    except ModuleNotFoundError:
        raise ValueError(
            "training reads through tf.data: install tensorflow, also where JAX computes, or train with "
            "data.cache=device"
        ) from None

    def heard(context: dict, sources: Any) -> tuple[dict, Any]:
        """What this separator takes as input: a plain one wants no labels."""
        return {name: context[name] for name in separator.input}, sources

    batches = training_batches(examples, training.batch_size).map(heard)
    return separator, batches, track_batches(windows, training.batch_size).map(heard)


def from_device(
    separator: keras.Model, examples: TrainingExamples, windows: Windows, training: Config.Optimisation
) -> tuple[keras.Model, Any, Any]:
    """The same with the whole data set in the accelerator's memory: excerpts are cut and mixed in the training step."""
    slots = max(examples.most_parts, windows.most_parts)
    cache = Cache(examples.prepared, tuple(dict.fromkeys(examples.tracks + windows.tracks)))
    mixer = Mixer(cache, examples)
    drawn = mixer.inputs(slots)
    context, sources = mixer(drawn)
    estimates = separator({name: context[name] for name in separator.input})
    model = keras.Model(drawn, PerExample(training.loss)(sources, estimates))
    model.compile(separator.optimizer, lambda zeros, losses: losses, jit_compile=training.xla)
    batches = drawn_batches(examples, cache, slots, training.batch_size)
    return model, batches, DrawnWindows(windows, cache, slots, training.batch_size)


class PerExample(keras.layers.Layer):
    """The loss of each example, in float32: true sources and estimates (B, T, S, C) -> (B,)."""

    def __init__(self, expression: str):
        super().__init__(dtype="float32")
        self.expression = expression

    def call(self, sources: Any, estimates: Any) -> Any:
        return per_example(self.expression, sources, estimates)


def training_examples(config: Config.Training, prepared: Prepared, excerpt: Excerpt) -> TrainingExamples:
    """What a configuration trains on.

    Raises:
        ValueError: if the data set has not what it asks for.
    """
    data, tracks = config.data, prepared.split("train", config.data.parts)
    augmentation = Augmentation(**config.augmentation.model_dump())
    mix = Mix(*data.mix, data.mix_same) if data.mix else None
    return TrainingExamples(prepared, tracks, sources_of(data), excerpt, augmentation, config.seed, mix)


def sources_of(data: Config.Data) -> Sources:
    """What the model emits."""
    return Sources(data.sources, data.sums)


def prepared_for(data: Config.Data) -> Prepared:
    """The prepared data set that a configuration names.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if none is named, or its rate or channels are not the configuration's.
    """
    if not data.prepared:
        raise ValueError("expected data.prepared=FOLDER, a data set that Prepare.py made. Received: none")
    prepared = Prepared(data.prepared)
    for name in ("sample_rate_hz", "channels"):
        if (wanted := getattr(data, name)) != (received := getattr(prepared, name)):
            raise ValueError(
                f"expected a data set with {name}={wanted}. Received: {data.prepared} with {received}; "
                f"prepare it again, or train with data.{name}={received}"
            )
    return prepared


def new_separator(config: Config.Training) -> keras.Model:
    """A separator with fresh weights, compiled for training. Sets the seed and the precision of the whole process."""
    training = config.training
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(training.precision)
    separator = networks.separator(len(config.data.sources), config.data.channels, **config.model.model_dump())
    optimizer = keras.optimizers.Adam(_learning_rate(training))
    separator.compile(optimizer, loss(training.loss), jit_compile=training.xla)
    return separator


def _learning_rate(training: Config.Optimisation) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if training.decay == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(
            training.learning_rate, training.decay_steps, training.decay_rate
        )
    if training.decay == "cosine":
        return keras.optimizers.schedules.CosineDecay(training.learning_rate, training.steps)
    return training.learning_rate


def _callbacks(
    training: Config.Optimisation, separator: keras.Model, run_dir: Path, progress: Any, log_scalar: LogScalar
) -> Iterator[keras.callbacks.Callback]:
    yield Progress(progress, training.batch_size)
    yield Checkpoints(separator, run_dir)
    yield Log(run_dir, training.validate_every, log_scalar)
    if training.patience:
        yield keras.callbacks.EarlyStopping("val_loss", patience=training.patience)
    if importlib.util.find_spec("tensorflow"):
        yield keras.callbacks.TensorBoard(run_dir / "tensorboard", write_graph=False)


class Progress(keras.callbacks.Callback):
    """Moves the bar, example by example, and stops at the first loss that is no number."""

    def __init__(self, bar: Any, batch_size: int):
        super().__init__()
        self.bar, self.batch_size, self.step = bar, batch_size, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        if not math.isfinite(logs["loss"]):
            raise ValueError(
                f"the loss became {logs['loss']} at step {self.step}; a smaller training.learning_rate may help"
            )
        self.bar.set_postfix(loss=f"{logs['loss']:.4g}", refresh=False)
        self.bar.update(self.batch_size)


class Checkpoints(keras.callbacks.Callback):
    """After each validation: the last weights, and the best if they are. A killed run leaves whole files."""

    def __init__(self, separator: keras.Model, run_dir: Path):
        super().__init__()
        self.separator, self.run_dir, self.best = separator, run_dir, math.inf

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        names = [Utils.LAST]
        if logs["val_loss"] < self.best:
            self.best = logs["val_loss"]
            names.append(Utils.BEST)
        for name in names:
            with Utils.write_atomically(self.run_dir / name) as partial:
                self.separator.save(partial)


class Log(keras.callbacks.Callback):
    """After each validation: a row of log.csv, and the curve drawn anew."""

    def __init__(self, run_dir: Path, validate_every: int, log_scalar: LogScalar):
        super().__init__()
        self.run_dir, self.validate_every, self.log_scalar = run_dir, validate_every, log_scalar
        self.rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        step = (epoch + 1) * self.validate_every
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = {"step": step, "loss": logs["loss"], "validation_loss": logs["val_loss"], "learning_rate": rate}
        self.rows.append(row)
        for name in ("loss", "validation_loss"):
            self.log_scalar(name, float(row[name]), step)
        with Utils.write_atomically(self.run_dir / Utils.LOG) as partial, partial.open("w", newline="") as file:
            table = csv.DictWriter(file, row)
            table.writeheader()
            table.writerows(self.rows)
        loss_curve(self.rows, self.run_dir / Utils.CURVE)


if __name__ == "__main__":
    with Utils.errors_in_one_line("Training.py"):
        experiment.run_commandline()
