"""What happens between the steps, with validation losses that are told: stops, rates, best weights, and no numbers."""

import functools
import itertools
import json

from Learning.devices import Devices
from Learning.loop import Interrupted, Loop, Rules
from Learning.options import Fit
from Learning.recipe import optimizer
from Learning.state import Course, read_course, restore, save_state
from Learning.watchers import Bar, Log, Waiting, Watcher

import keras
import numpy as np
import pytest

RULES = Rules(
    steps=20, batch_size=3, checkpoint_every=1, validate_every=2, patience=0, plateau=0, plateau_factor=0.5
)  # fmt: skip


class Seen(Watcher):
    """Keeps what it is told, and the weights of that moment."""

    def __init__(self, model):
        self.model, self.steps, self.rows, self.validated_weights = model, [], [], []
        self.begun_examples = []

    def begun(self, example):
        self.begun_examples.append(example)

    def trained(self, course, loss):
        self.steps.append((course.step, course.example))

    def validated(self, course, row, best):
        self.rows.append((row, best))
        self.validated_weights.append(self.model.get_weights()[0])


class Fixture:
    """A network with six weights, and what stands around its training."""

    def __init__(self, folder, losses=(), **recipe):
        keras.utils.set_random_seed(1)
        self.model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
        self.model.compile(optimizer(Fit(steps=20, validate_every=20, **recipe), 0.01), "mse")
        if losses:
            told = iter(losses)
            self.model.evaluate = lambda *_, **__: {"loss": next(told)}
        self.course, self.seen, self.folder, self.offending = Course(), Seen(self.model), folder, []

    def train(self, rules=RULES, batches=None, asked=lambda step: False, filled=1.0):
        def offending(first, end):
            self.offending.append((first, end))
            return "they are kept"

        state, best = self.folder / "state.npz", functools.partial(self.model.save, self.folder / "best.keras")
        arguments = (
            self.course,
            rules,
            self.model,
            None,
            Devices(),
            state,
            best,
            [self.seen],
            asked,
            offending,
            filled,
        )
        random = np.random.default_rng(self.course.step)
        endless = batches or (
            (random.normal(size=(3, 3)).astype(np.float32), np.ones((3, 2), np.float32)) for _ in itertools.count()
        )
        pieces = (rules.steps - self.course.step) // rules.checkpoint_every
        every = rules.checkpoint_every
        pieces = (rules.steps - self.course.step) // every
        callbacks = [Loop(*arguments)]
        self.model.fit(endless, steps_per_epoch=every, epochs=pieces, callbacks=callbacks, shuffle=False, verbose=0)
        return self


def with_rules(**changes):
    return Rules(**{**RULES.__dict__, **changes})


@pytest.mark.parametrize(
    ("losses", "patience", "stops", "best"),
    [
        ([5, 4, 3, 3.5, 3, 2, 1], 2, 10, 6),  # the same again is no better
        ([5, 4, 3, 3.5, 2, 2.5, 2.1, 1], 2, 14, 10),
        ([5, 6, 7, 8, 9, 10, 11, 12, 13, 14], 0, 20, 2),  # never
        ([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 1, 20, 20),
    ],
)
def test_it_stops_after_so_many_validations_without_a_better_one(tmp_path, losses, patience, stops, best):
    run = Fixture(tmp_path, losses).train(with_rules(patience=patience))
    assert (run.course.step, run.course.best_step, run.course.finished) == (stops, best, True)
    assert run.course.best == min(losses[: stops // 2])
    assert run.seen.steps == [(n, 3 * n) for n in range(1, stops + 1)]
    assert run.seen.begun_examples == [3 * n for n in range(1, stops + 1)]
    assert [row["validation_loss"] for row, _ in run.seen.rows] == losses[: stops // 2]
    assert read_course(tmp_path / "state.npz") == run.course


def test_the_best_weights_are_kept(tmp_path):
    run = Fixture(tmp_path, [5, 2, 3, 1, 4, 4, 4, 4, 4, 4]).train()
    assert [best for _, best in run.seen.rows] == [True, True, False, True, *[False] * 6]
    kept = keras.saving.load_model(tmp_path / "best.keras", compile=False).get_weights()[0]
    np.testing.assert_array_equal(kept, run.seen.validated_weights[3])
    assert not np.array_equal(kept, run.model.get_weights()[0])


def test_a_plateau_lowers_the_rate(tmp_path):
    losses = [5, 5, 6, 4, 5, 5, 5, 5, 5, 5]
    run = Fixture(tmp_path, losses).train(with_rules(plateau=2, plateau_factor=0.1))
    rates = [row["learning_rate"] for row, _ in run.seen.rows]
    # Lowered after the third, the sixth, the eighth and the tenth.
    np.testing.assert_allclose(rates, [1e-2] * 3 + [1e-3] * 3 + [1e-4] * 2 + [1e-5] * 2, rtol=1e-5)
    assert run.course.best == 4


def test_averages_are_validated_and_training_goes_on_without_them(tmp_path):
    every_step = with_rules(validate_every=1)
    plain = Fixture(tmp_path, [1] * 20).train(every_step)
    averaged = Fixture(tmp_path, [1] * 20, ema=0.9).train(every_step)
    average = plain.seen.validated_weights[0]
    for weights, validated in zip(plain.seen.validated_weights, averaged.seen.validated_weights, strict=True):
        average = 0.9 * average + 0.1 * weights
        np.testing.assert_allclose(validated, average, atol=1e-6)
    assert np.abs(average - weights).max() > 1e-2


def test_a_loss_that_is_no_number_stops_it_with_its_examples(tmp_path):
    good = (np.ones((3, 3), np.float32), np.ones((3, 2), np.float32))
    bad = (np.full((3, 3), np.inf, np.float32), good[1])
    run = Fixture(tmp_path, [1] * 10)
    message = "the loss became nan at step 6, examples 15 to 17; they are kept; a smaller training.learning_rate"
    with pytest.raises(ValueError, match=message):
        run.train(batches=(bad if n == 5 else good for n in itertools.count()))
    assert run.offending == [(15, 18)]
    assert read_course(tmp_path / "state.npz").step == 5  # the last good one stays
    again = Fixture(tmp_path, [float("nan")])
    with pytest.raises(ValueError, match="the validation loss became nan at step 2"):
        again.train()
    assert not (tmp_path / "offending.npz").exists()


@pytest.mark.parametrize("step", [3, 4, 5])
def test_it_stops_when_asked_with_its_state_saved(tmp_path, step):
    """In the middle of a piece, at its end, and where it validates."""
    rules = with_rules(checkpoint_every=5, validate_every=5)
    run = Fixture(tmp_path, [1] * 4)
    with pytest.raises(Interrupted, match=f"stopped at step {step}; the same command goes on"):
        run.train(rules, asked=lambda now: now >= step)
    assert read_course(tmp_path / "state.npz").step == run.course.step == step
    assert len(run.seen.rows) == step // 5


def test_a_validation_of_full_batches_counts_its_windows_once(tmp_path):
    """Ten windows are read for seven, the others silent: the mean over ten times 10 / 7 is the mean over seven."""
    run = Fixture(tmp_path, [0.7] * 10).train(filled=10 / 7)
    assert run.course.best == pytest.approx(1.0)


def test_a_state_gives_back_every_number(tmp_path):
    Fixture(tmp_path, [3, 2] * 5, ema=0.9, accumulate=2).train()
    other = Fixture(tmp_path, ema=0.9, accumulate=2).model
    other.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    save_state(tmp_path / "before.npz", Course(), other, other)
    restore(tmp_path / "state.npz", other, other)
    save_state(tmp_path / "after.npz", read_course(tmp_path / "state.npz"), other, other)
    arrays = {name: dict(np.load(tmp_path / f"{name}.npz")) for name in ("state", "before", "after")}
    for key, array in arrays["state"].items():
        np.testing.assert_array_equal(arrays["after"][key], array)
    assert any(not np.array_equal(arrays["before"][key], array) for key, array in arrays["state"].items())


def test_another_model_s_state_is_one_line(tmp_path):
    Fixture(tmp_path, [1] * 10).train()
    another = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, use_bias=False)])
    another.compile("adam", "mse")
    another.optimizer.build(another.trainable_variables)
    with pytest.raises(ValueError, match="that are not those of this model and optimizer"):
        restore(tmp_path / "state.npz", another, another)


# ---------------------------------------------------------------- watchers


def test_the_share_that_waits_and_its_one_warning(capsys):
    reached = 0
    waiting = Waiting(lambda: reached)
    for step in range(1, 201):
        reached = 4 * step if step <= 100 else 0  # later the input has not even begun
        waiting.begun(3 * step)
        if step == 100:
            assert waiting.share() == 0 and capsys.readouterr().err == ""
    assert waiting.share() == 1
    said = capsys.readouterr().err
    assert said.count("the input is the bottleneck") == 1 and "52% of the steps wait" in said


def test_a_bar_shows_examples_and_goes_on_where_it_was():
    class Tqdm:
        n, shown = 30, None

        def set_postfix(self, refresh, **shown):
            self.shown = shown

        def update(self, count):
            self.n += count

    bar = Tqdm()
    Bar(bar, Waiting(lambda: 0)).trained(Course(step=12, example=36), 0.5)
    assert bar.n == 36 and bar.shown == {"step": 12, "loss": "0.5", "waiting": "0%"}


def test_the_log_is_whole_lines_and_earlier_rows_are_told_again(tmp_path):
    rows = [{"step": n, "loss": n / 10, "validation_loss": n / 5, "learning_rate": 0.1} for n in (2, 4, 6)]
    told, drawn = [], []
    log = Log(
        tmp_path / "log.jsonl",
        Course(rows=rows[:1]),
        lambda *row: told.append(row),
        lambda rows: drawn.append(len(rows)),
    )
    assert told == [("loss", 0.2, 2), ("validation_loss", 0.4, 2)]
    for count in (2, 3):
        log.validated(Course(rows=rows[:count]), rows[count - 1], best=True)
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == rows[:count]
    assert told[2:] == [("loss", 0.4, 4), ("validation_loss", 0.8, 4), ("loss", 0.6, 6), ("validation_loss", 1.2, 6)]
    assert drawn == [2, 3]


def test_a_loss_is_waited_for_while_the_next_step_runs(tmp_path):
    """A step that is no number stops the run although the next one has begun, and the course has not moved past it."""
    good = (np.ones((3, 3), np.float32), np.ones((3, 2), np.float32))
    bad = (np.full((3, 3), np.inf, np.float32), good[1])
    run = Fixture(tmp_path)
    rules = with_rules(checkpoint_every=10, validate_every=10)
    with pytest.raises(ValueError, match="the loss became nan at step 6, examples 15 to 17"):
        run.train(rules, batches=(bad if n == 5 else good for n in itertools.count()))
    assert run.seen.begun_examples == [3 * n for n in range(1, 8)]
    assert run.seen.steps == [(n, 3 * n) for n in range(1, 6)]
    assert not (tmp_path / "state.npz").exists()


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    """The loss of a step may be a number while its gradient is none: the state of before stays."""
    run = Fixture(tmp_path)
    rules = with_rules(checkpoint_every=2, validate_every=20)

    class Spoil(Seen):
        def trained(self, course, loss):
            if course.step == 6:
                self.model.set_weights([np.full_like(each, np.nan) for each in self.model.get_weights()])

    if hasattr(run.model, "jax_state_sync"):
        pytest.skip("on JAX the weights are the loop's own during an epoch")
    run.seen = Spoil(run.model)
    with pytest.raises(ValueError, match="the weights became no numbers by step 6, and were not saved"):
        run.train(rules)
    assert read_course(tmp_path / "state.npz").step == 4
