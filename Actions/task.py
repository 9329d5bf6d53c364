"""A configuration -> what it trains: a separator, the examples, and how they reach it on which devices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import Config
from Actions.data import prepared_for, sources_of
from Input.device import Cache, DrawnWindows, Mixer, drawn_batches
from Input.doctor import require_trainable
from Input.examples import Excerpt, Mix, TrainingExamples, Windows
from Input.prepared import Prepared, Track
from Learning.devices import Devices, Memory, accelerator_bytes, free_bytes
from Learning.recipe import optimizer
from Models import networks
from Models.cost import activations
from Models.losses import loss, per_example

import keras


@dataclass(frozen=True)
class Task:
    """What trains, and on what.

    Args:
        config: every number of it.
        devices: which share the work.
        examples: to train on.
        windows: to validate on.
    """

    config: Config.Training
    devices: Devices
    examples: TrainingExamples
    windows: Windows

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raises what stopped the reading of an example in place of what tf.data makes of it."""
        try:
            yield
        except Exception as error:
            for fault in (self.examples.fault, self.windows.fault):
                if fault and fault is not error:
                    raise fault from error
            raise


def task_of(config: Config.Training, devices: Devices) -> Task:
    """What a configuration means, on some devices.

    Raises:
        FileNotFoundError, ValueError: if the prepared data set does not fit it, or the devices cannot share its batch.
    """
    data, batch_size = config.data, config.training.batch_size
    devices.require_even(batch_size)
    prepared, wanted = prepared_for(data), sources_of(data)
    for remark in require_trainable(prepared, wanted) if devices.writes else ():
        print(f"note: {remark}")
    lengths = networks.lengths(data.output_samples, **config.model.model_dump())
    output_samples = lengths.output_samples(data.output_samples)
    excerpt = Excerpt(lengths.input_samples(output_samples), output_samples)
    full = batch_size if devices.count > 1 else 1
    windows = Windows(prepared, prepared.split("validation", data.parts), wanted, excerpt, full)
    return Task(config, devices, training_examples(config, prepared, excerpt), windows)


def training_examples(config: Config.Training, prepared: Prepared, excerpt: Excerpt) -> TrainingExamples:
    """What a configuration trains on.

    Raises:
        ValueError: if the data set has not what it asks for.
    """
    data, tracks = config.data, prepared.split("train", config.data.parts)
    mix = Mix(*data.mix, data.mix_same) if data.mix else None
    return TrainingExamples(prepared, tracks, sources_of(data), excerpt, config.augmentation, config.seed, mix)


def new_separator(
    config: Config.Training, rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None
) -> keras.Model:
    """A separator with fresh weights, compiled for training. Sets the seed and the precision of the whole process."""
    training = config.training
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(training.precision)
    separator = networks.separator(len(config.data.sources), config.data.channels, **config.model.model_dump())
    recipe = optimizer(training, rate)
    recipe.build(separator.trainable_variables)
    steps = training.steps_per_execution
    separator.compile(recipe, loss(training.loss), jit_compile=training.xla, steps_per_execution=steps)
    return separator


def memory_of(task: Task, separator: keras.Model) -> Memory:
    """What training takes of each device's memory, the data set included where it shall lie there."""
    training, values = task.config.training, activations(separator, task.examples.excerpt.input_samples)
    cached = tracks_of(task) if task.config.data.cache == "device" else ()
    return Memory(
        weights=separator.count_params(),
        averages=training.ema > 0,
        activations=values * (2 if training.precision == "mixed_bfloat16" else 4),
        data=sum(2 * track.samples * len(track.parts) * task.config.data.channels for track in cached),
        available=accelerator_bytes() or free_bytes(),
        accelerator=accelerator_bytes() > 0,
    )


def tracks_of(task: Task) -> tuple[Track, ...]:
    """All that is trained and validated on."""
    return tuple(dict.fromkeys(task.examples.tracks + task.windows.tracks))


Batches = Callable[[int], Any]
"""Endless batches to train on, from the example of a number on."""


def from_host(separator: keras.Model, task: Task, batch_size: int) -> tuple[keras.Model, Batches, Any]:
    """Excerpts are read and mixed by tf.data.

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

    share = task.devices.share

    def heard(context: dict, *targets: Any) -> tuple:
        """What this separator takes as input: a plain one wants no labels."""
        return {name: context[name] for name in separator.input}, *targets

    def batches(first: int) -> Any:
        return training_batches(task.examples, batch_size, first, share).map(heard)

    return separator, batches, track_batches(task.windows, task.config.training.batch_size, share).map(heard)


def from_device(separator: keras.Model, task: Task, batch_size: int) -> tuple[keras.Model, Batches, Any]:
    """The whole data set lies in the accelerator's memory: excerpts are cut and mixed in the training step."""
    examples, windows, training, share = task.examples, task.windows, task.config.training, task.devices.share
    slots = max(examples.most_parts, windows.most_parts)
    cache = Cache(examples.prepared, tracks_of(task))
    mixer = Mixer(cache, examples)
    drawn = mixer.inputs(slots)
    context, sources = mixer(drawn)
    estimates = separator({name: context[name] for name in separator.input})
    model = keras.Model(drawn, PerExample(training.loss)(sources, estimates))
    steps = training.steps_per_execution
    model.compile(
        separator.optimizer, lambda zeros, losses: losses, jit_compile=training.xla, steps_per_execution=steps
    )

    def batches(first: int) -> Any:
        return drawn_batches(examples, cache, slots, batch_size, first, share)

    return model, batches, DrawnWindows(windows, cache, slots, training.batch_size, share)


def fed(separator: keras.Model, task: Task, batch_size: int) -> tuple[keras.Model, Batches, Any]:
    """What is fitted, batches to train it on, and batches to validate it on."""
    feed = from_device if task.config.data.cache == "device" else from_host
    return feed(separator, task, batch_size)


class PerExample(keras.layers.Layer):
    """The loss of each example, in float32: true sources and estimates (B, T, S, C) -> (B,)."""

    def __init__(self, expression: str):
        super().__init__(dtype="float32")
        self.expression = expression

    def call(self, sources: Any, estimates: Any) -> Any:
        return per_example(self.expression, sources, estimates)
