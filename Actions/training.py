"""A configuration -> a run: training that goes on where it was stopped, and ends as if it had not been."""

import contextlib
import functools
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import Config
import Options
import Runs
import Utils
from Actions.data import read_log
from Actions.run import loaded
from Actions.task import Task, fitting, network_of, task_of
from Files import archive_fault, whole_file
from Input.examples import TrainingExamples, Windows
from Learning.board import Board
from Learning.devices import Devices, explained, joined
from Learning.finder import HIGHEST, LOWEST, Rising, range_test, suggestion
from Learning.loop import Loop, Rules
from Learning.state import Course, course_of_best, keep_newest, read_course, restore, save_state
from Learning.watchers import Bar, Log, LogScalar, Waiting, Watcher
from Metrics import liveliest, loss_curve, rate_curve, spectrogram_grid
from Models import networks
from Models.checkpoints import emitting, save_network
from Models.cost import cost
from Models.separation import WINDOW_SAMPLES

import keras
import matplotlib.image
import numpy as np

FINDER_STEPS = 100
TOGETHER_SECONDS = 0.5  # in which a second signal is the same request, sent to the process and to its group


def train(
    config: Config.Training,
    run_dir: Path,
    log_scalar: LogScalar = lambda name, value, step: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> Course:
    """Trains a network into a run's folder; goes on where an earlier call was stopped, as if it had not been.

    Args:
        config: every number of the run.
        run_dir: where state, weights, log and curve go; exists.
        log_scalar: called with (name, value, step) after each validation.
        asked_to_stop: whether to save and stop, asked after each step.

    Returns:
        How far the training is: its best validation loss, and where.

    Raises:
        FileNotFoundError, ValueError: if the prepared data set does not fit the configuration, or a loss is no number.
        Interrupted: if it was asked to stop.
    """
    training = config.training
    task = task_of(config, joined(training.processes))
    course = begun(config, run_dir, task.devices)
    first, began = course.example, time.monotonic()
    waiting = Waiting(lambda: task.examples.reached)
    watchers: list[Watcher] = [waiting]
    if task.devices.writes:
        bar = Utils.progress(
            total=examples_to(course, training), unit="example", label="training", initial=course.example
        )
        curve = functools.partial(drawn, loss_curve, run_dir / Runs.CURVE)
        watchers += [Bar(bar, waiting), Log(run_dir / Runs.LOG, course, log_scalar, curve)]
    if not course.finished:
        train_round(task, course, run_dir, watchers, waiting, asked_to_stop)
    if training.second_round and course.round == 1 and course.step < training.steps:
        course.begin_second_round()
        train_round(task, course, run_dir, watchers, waiting, asked_to_stop)
    if task.devices.writes:
        seconds, examples = time.monotonic() - began, course.example - first
        speed = f"{seconds / 60:.1f} minutes, {examples / seconds:.1f} examples/s"
        print(speed if examples else "there was nothing left to do")
    return course


def begun(config: Config.Training, run_dir: Path, devices: Devices) -> Course:
    """How far a run is, by what of its files can be read: a state, or else its best weights and its log.

    Says what is lost. Of several processes, which all look, one changes files.

    Raises:
        ValueError: if a finished run has lost its best weights, or too little can be read to go on.
    """
    training, path, best = config.training, run_dir / Runs.STATE, run_dir / Runs.BEST
    again = f"start over:  {Runs.training_again(run_dir)}"
    tell = print if devices.writes else lambda *words: None
    if devices.writes:
        with contextlib.suppress(ValueError):  # which all processes find below
            if fault := keep_newest(path):
                tell(f"note: {fault}; going on from the state before, at most {training.piece} steps earlier")
    devices.wait()
    best_fault = archive_fault(best) if best.is_file() else "it is gone"
    try:
        course = read_course(path)
        if not path.is_file() and len(read_log(run_dir)) > 1:  # a first validation comes before the first state
            raise ValueError(f"{path} is gone")
    except ValueError as error:
        if best_fault:
            raise ValueError(f"{error}, and {best} cannot be read ({best_fault}); {again}") from None
        rows = read_log(run_dir)
        if not rows:
            raise ValueError(f"{error}, and {run_dir / Runs.LOG} is gone; {again}") from None
        course = course_of_best(rows, training.steps, training.batch_size, training.patience)
        going_on = (
            f"going on from the best weights, those of step {course.step}: "
            f"{rows[-1]['step'] - course.step} steps or more are lost, and the optimizer begins anew"
        )
        tell(f"note: {error}; {'by its log the run has ended' if course.finished else going_on}")
        return course
    if course.rows and best_fault and course.finished:
        raise ValueError(f"{best} cannot be read ({best_fault}); copy it back, or {again}")
    if course.rows and best_fault:
        tell(f"note: {best} cannot be read ({best_fault}); the best weights from now on take its place")
        course.best = None
    return course


def drawn(draw: Callable[..., None], png: Path, *what: Any) -> None:
    """Draws into a picture of a run, whole or not at all."""
    with whole_file(png) as partial:
        draw(*what, partial)


def examples_to(course: Course, training: Config.Optimisation) -> int:
    """The number of the example that the last step ends with, if no early stop changes the batch."""
    return course.example + (training.steps - course.step) * training.batch_size * course.round


def train_round(
    task: Task,
    course: Course,
    run_dir: Path,
    watchers: list[Watcher],
    waiting: Waiting,
    asked_to_stop: Callable[[], bool],
) -> None:
    """Trains until the round ends: the first one, or the second with twice the batch and a tenth of the rate."""
    config, devices, windows = task.config, task.devices, task.windows
    training, state_path, best_path = config.training, run_dir / Runs.STATE, run_dir / Runs.BEST
    factor = 2 if course.round == 2 else 1
    rules = Rules(
        steps=training.steps,
        batch_size=training.batch_size * factor,
        checkpoint_every=training.piece,
        validate_every=training.validate_every,
        patience=training.patience,
        plateau=training.plateau_patience if training.decay == "plateau" else 0,
        plateau_factor=training.plateau_factor,
    )
    of_round = fitting(task, rules.batch_size, training.learning_rate / (10 if course.round == 2 else 1))
    network, model = of_round.network, of_round.model
    if course.begins_from_best:
        take_weights(network, best_path)
        course.begins_from_best = False
        if devices.writes:  # at once: the best weights may soon be others
            save_state(state_path, course, network, model)
    elif config.continue_from and not course.step:
        take_weights(network, Runs.checkpoint(config.continue_from))
    keep_best = functools.partial(keep_checkpoint, network, config, best_path, devices.writes)
    offending = functools.partial(keep_offending, task.examples, run_dir, devices.writes)
    asked = devices.agreed(asked_to_stop)
    with boards(task, course, network, run_dir, waiting) as board:
        while not course.finished:
            devices.wait()
            if state_path.is_file():
                restore(state_path, network, model)
            left = rules.checkpoint_every - course.step % rules.checkpoint_every  # to the next checkpoint
            whole = left == rules.checkpoint_every
            loop = Loop(
                course,
                rules,
                network,
                of_round.validation,
                devices,
                state_path,
                keep_best,
                [*watchers, *board],
                asked,
                offending,
                filled=len(windows) / windows.count,
            )
            with explained(of_round.memory, rules.batch_size // devices.count), task.reading():
                model.fit(
                    of_round.batches(course.example),
                    steps_per_epoch=left,
                    epochs=(training.steps - course.step) // left if whole else 1,
                    callbacks=[loop],
                    shuffle=False,  # the examples are drawn at random
                    verbose=0,
                )


def keep_checkpoint(network: keras.Model, config: Config.Training, path: Path, writes: bool) -> None:
    """Writes a network and its configuration, whole or not at all.

    Keras computes while it saves, which several processes must do together; those that do not `write` keep nothing,
    and write where they disturb nobody: they may run on other machines with equal process numbers.
    """
    with contextlib.ExitStack() as stack:
        place = path if writes else Path(stack.enter_context(tempfile.TemporaryDirectory()), path.name)
        save_network(network, stack.enter_context(whole_file(place)), Options.to_dict(config))


def take_weights(network: keras.Model, checkpoint: Path) -> None:
    """Sets the weights to those of a checkpoint, and nothing else: it holds an optimizer and its rate too.

    Raises:
        ValueError: if the checkpoint is damaged, or another network's.
    """
    weights = loaded(checkpoint)[0].get_weights()
    if [each.shape for each in weights] != [each.shape for each in network.get_weights()]:
        raise ValueError(
            f"expected a checkpoint of the same network. Received: {checkpoint} of another one; choose the settings "
            "model.* and data.sources of its run"
        )
    network.set_weights(weights)


@contextmanager
def boards(
    task: Task, course: Course, network: keras.Model, run_dir: Path, waiting: Waiting
) -> Iterator[list[Watcher]]:
    """What writes for TensorBoard; nothing where several processes train, which can only listen together."""
    if task.devices.processes > 1:
        yield []
        return
    listen = None
    if "sources" in task.config.model.emits:
        numbers = lively_windows(task.windows, task.config.training.batch_size)
        listen = functools.partial(audition, network, task.windows, numbers, run_dir)
    rate_hz = task.config.data.sample_rate_hz
    board = Board(run_dir / Runs.BOARD, course, network, rate_hz, listen, waiting.share)
    try:
        yield [board]
    finally:
        board.close()


def lively_windows(windows: Windows, count: int) -> range:
    """So many consecutive windows in which most sources play, of the track with most of them; looks at its first 64."""
    track = max(windows.tracks, key=lambda track: len(set(windows.sources.rows(track))))
    numbers = [number for number, (of_track, _) in enumerate(windows.spans[: windows.count]) if of_track is track]
    sources = windows.batch(numbers[:64])["sources"]
    samples = sources.shape[1]
    first = liveliest(np.concatenate(sources), count * samples, samples).start // samples
    return range(numbers[0] + first, min(numbers[0] + first + count, numbers[-1] + 1))


def audition(
    network: keras.Model, windows: Windows, numbers: range, run_dir: Path
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Consecutive windows for validation, by their numbers, as they sound now.

    Returns:
        Signals (T, C) by name: the mixture, and each source that plays as it is and as it is estimated; and their
        spectrograms (H, W, 3), which are kept in the run's folder too.
    """
    batch = windows.batch(numbers)
    sources, whole = batch["sources"], batch["mixture"]
    received = {name: batch[name] for name in network.input}
    estimates = np.concatenate(keras.ops.convert_to_numpy(emitting(network, "sources").predict_on_batch(received)))
    references = np.concatenate(sources)
    names = windows.sources.of(windows.spans[numbers[0]][0])
    margin = (whole.shape[1] - sources.shape[1]) // 2
    mixture = np.concatenate(whole[:, margin : margin + sources.shape[1]])
    rows = [[("mixture", mixture), ("sum of the estimates", estimates.sum(axis=1))]]
    for index in np.flatnonzero(np.any(references, axis=(0, 2))):
        name = names[index]
        rows.append([(f"{name}, reference", references[:, index]), (f"{name}, estimate", estimates[:, index])])
    png = run_dir / Runs.SPECTROGRAMS
    if np.any(mixture):
        drawn(spectrogram_grid, png, rows, windows.prepared.sample_rate_hz)
    picture = matplotlib.image.imread(png)[..., :3] if png.is_file() else np.zeros((1, 1, 3), np.float32)
    return {title.replace(", ", "/"): signal for row in rows for title, signal in row}, picture


def keep_offending(examples: TrainingExamples, run_dir: Path, writes: bool, first: int, end: int) -> str:
    """Keeps the examples whose loss was no number, as they entered the training; returns where.

    Of several processes, which all come to know of it, one `writes`.
    """
    if writes:
        arrays: dict[str, Any] = {**examples.batch(range(first, end)), "first": first}
        with whole_file(run_dir / Runs.OFFENDING) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
    return f"they are in {run_dir / Runs.OFFENDING}"


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether Ctrl-C or SIGTERM was received; the second one stops at once."""
    asked: list[float] = []

    def ask(number: int, frame: Any) -> None:
        asked.append(time.monotonic())
        if asked[-1] > asked[0] + TOGETHER_SECONDS:
            raise KeyboardInterrupt
        if len(asked) == 1:  # not by print, which may be at work already
            os.write(2, b"stopping after this step, to save; once more stops at once\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def find_learning_rate(config: Config.Training, png: Path) -> str:
    """Trains 100 steps while the rate rises from 1e-6 to 1, and draws the losses.

    Args:
        config: of the training; its schedule does not count.
        png: the picture to write.

    Returns:
        A line that suggests a rate.
    """
    plain = {"decay": "constant", "warmup_steps": 0, "accumulate": 1, "ema": 0.0, "steps_per_execution": 1}
    training = config.training.model_copy(update=plain)
    task = task_of(config.model_copy(update={"training": training}), joined(1))
    of_test = fitting(task, training.batch_size, Rising(FINDER_STEPS))
    with (
        explained(of_test.memory, training.batch_size),
        task.reading(),
        Utils.progress_calls("step", "finding a learning rate") as tell,
    ):
        found = range_test(of_test.model, of_test.batches(0), FINDER_STEPS, lambda step: tell(step, FINDER_STEPS))
    rate, smoothed = suggestion(found)
    rate_curve(np.geomspace(LOWEST, HIGHEST, FINDER_STEPS), found, smoothed, rate, png)
    return f"training.learning_rate={rate:.1g}: a tenth of {10 * rate:.1g}, where the loss was least"


def model_table() -> str:
    """What each preset builds: weights, lengths of an excerpt, and the work of separating a second of audio."""
    rows = []
    for name in Config.PRESETS:
        config = Config.resolve(Config.Training, Config.PRESETS, [name], {})
        lengths = networks.lengths(config.data.output_samples, **config.model.model_dump())
        network = network_of(config)
        excerpt = cost(network, lengths, config.data.output_samples)
        window = cost(network, lengths, WINDOW_SAMPLES)
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
    return Utils.markdown_table(headings, rows)
