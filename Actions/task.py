"""A configuration -> what it trains: a network, the examples, and how they reach it on which devices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import Config
from Actions.data import prepared_for, sources_of
from Actions.doctor import require_trainable
from Input.device import Cache, DrawnWindows, Mixer, drawn_batches
from Input.examples import Excerpt, Mix, TrainingExamples, Windows
from Input.prepared import Prepared, Track
from Input.streams import inputs
from Learning.devices import Devices, Memory, accelerator_bytes, explained, free_bytes
from Learning.objective import trained
from Learning.recipe import optimizer
from Models import networks
from Models.cost import activations
from Models.losses import Objective, require_estimated

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
    windows = Windows(prepared, prepared.split("validation", data.parts), wanted, excerpt, full, config.model.received)
    examples = training_examples(config, prepared, excerpt)
    examples.slots = windows.slots = max(examples.most_parts, windows.most_parts)
    return Task(config, devices, examples, windows)


def training_examples(config: Config.Training, prepared: Prepared, excerpt: Excerpt) -> TrainingExamples:
    """What a configuration trains on.

    Raises:
        ValueError: if the data set has not what it asks for.
    """
    data, tracks = config.data, prepared.split("train", config.data.parts)
    mix = Mix(*data.mix, data.mix_same) if data.mix else None
    return TrainingExamples(
        prepared, tracks, sources_of(data), excerpt, config.augmentation, config.seed, mix, config.model.received
    )


def new_network(config: Config.Training) -> keras.Model:
    """A network with fresh weights. Sets the seed and the precision of the whole process."""
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.training.precision)
    return network_of(config)


def network_of(config: Config.Training) -> keras.Model:
    """The network of a configuration, with fresh weights."""
    data, choices = config.data, config.model.model_dump()
    shapes = inputs(config.model.received, sources_of(data))
    return networks.built(len(data.sources), data.channels, targets=data.targets, shapes=shapes, **choices)


def new_optimizer(
    config: Config.Training,
    network: keras.Model,
    rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
) -> keras.optimizers.Optimizer:
    """The optimizer of a configuration, built for a network's weights.

    Args:
        config: of the training.
        network: what it is to train.
        rate: in place of the configuration's.
    """
    recipe = optimizer(config.training, rate)
    recipe.build(network.trainable_variables)
    return recipe


def memory_of(task: Task, network: keras.Model) -> Memory:
    """What training takes of each device's memory, the data set included where it shall lie there."""
    training, values = task.config.training, activations(network, task.examples.shapes)
    cached = tracks_of(task) if task.config.data.cache == "device" else ()
    return Memory(
        weights=network.count_params(),
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


@dataclass(frozen=True)
class Feed:
    """How examples reach the training step.

    Args:
        inputs: what a batch holds.
        example: what an example is, computed from the inputs inside the step.
        batches: to train on.
        validation: batches of all windows.
    """

    inputs: dict[str, keras.KerasTensor]
    example: dict[str, keras.KerasTensor]
    batches: Batches
    validation: Any


def from_host(task: Task, batch_size: int) -> Feed:
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
    inputs = {name: keras.Input(shape, name=name) for name, shape in task.examples.shapes.items()}

    def batches(first: int) -> Any:
        return training_batches(task.examples, batch_size, first, share)

    return Feed(inputs, inputs, batches, track_batches(task.windows, task.config.training.batch_size, share))


def from_device(task: Task, batch_size: int) -> Feed:
    """The whole data set lies in the accelerator's memory: excerpts are cut and mixed in the training step."""
    examples, windows, share = task.examples, task.windows, task.devices.share
    slots = examples.slots
    cache = Cache(examples.prepared, tracks_of(task))
    mixer = Mixer(cache, examples, slots)
    inputs = mixer.inputs()

    def batches(first: int) -> Any:
        return drawn_batches(examples, cache, slots, batch_size, first, share)

    validation = DrawnWindows(windows, cache, slots, task.config.training.batch_size, share)
    return Feed(inputs, mixer(inputs), batches, validation)


def fitted(
    config: Config.Training,
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    inputs: dict[str, keras.KerasTensor],
    example: dict[str, keras.KerasTensor],
) -> keras.Model:
    """The model that `fit` trains: batches -> the losses of a configuration.

    Args:
        config: of the training.
        network: what is trained.
        optimizer: of its weights.
        inputs: what a batch holds.
        example: what an example is, computed from the inputs; the inputs themselves if the host makes it.
    """
    training = config.training
    # Here, because Keras would wrap the layer's own error in lines of its own.
    require_estimated(training.loss, example, network.output if isinstance(network.output, dict) else ["sources"])
    return trained(
        network,
        inputs,
        example,
        Objective(training.loss, present_only=sources_of(config.data).of_parts),
        optimizer,
        jit_compile=training.xla,
        steps_per_execution=training.steps_per_execution,
    )


@dataclass(frozen=True)
class Fitting:
    """A network with fresh weights, and all that `fit` needs to train it.

    Args:
        network: what is trained.
        model: around it: batches -> losses, with the optimizer.
        batches: to train on.
        validation: batches of all windows.
        memory: what it takes of each device.
    """

    network: keras.Model
    model: keras.Model
    batches: Batches
    validation: Any
    memory: Memory


def fitting(
    task: Task, batch_size: int, rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None
) -> Fitting:
    """Builds all that a training in batches of a size needs; prints how much memory it takes.

    Args:
        task: what trains, and on what.
        batch_size: of all devices together.
        rate: in place of the configuration's.

    Raises:
        OSError: if the memory is too small.
        ValueError: if TensorFlow is needed and not installed, or a loss is of what the network does not emit.
    """
    config, on_each = task.config, batch_size // task.devices.count
    network = new_network(config)
    optimizer, memory = new_optimizer(config, network, rate), memory_of(task, network)
    if task.devices.writes:
        print(f"note: memory: {memory.note(on_each)}")
    with explained(memory, on_each):
        feed = (from_device if config.data.cache == "device" else from_host)(task, batch_size)
        model = fitted(config, network, optimizer, feed.inputs, feed.example)
    return Fitting(network, model, feed.batches, feed.validation, memory)
