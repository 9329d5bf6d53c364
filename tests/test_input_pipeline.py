import time

from Input.augmentation import Augmentation
from Input.examples import Element, Excerpt, TrainingExamples, Windows
from Input.pipeline import track_batches, training_batches
from Input.prepared import Prepared, Sources

import numpy as np
import pytest
import tensorflow as tf

NAMES = ("cl", "fl", "vc", "vn")
SOURCES = Sources(NAMES)
EXCERPT = Excerpt(input_samples=700, output_samples=300)


@pytest.fixture(params=[1, 2])
def prepared(make_prepared, request) -> Prepared:
    return make_prepared({"a_vn_vn_vc": 5_000, "b_fl_cl": 2_000, "c_vn_fl": 1_250}, channels=request.param)


def examples(prepared: Prepared) -> TrainingExamples:
    return TrainingExamples(prepared, prepared.split("train"), SOURCES, EXCERPT, Augmentation(remix=0.5), seed=3)


def windows(prepared: Prepared) -> Windows:
    return Windows(prepared, prepared.split("train"), SOURCES, EXCERPT)


def stacked(of: TrainingExamples | Windows, numbers: range) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The oracle: the elements of these numbers as one batch."""
    inputs, sources = zip(*(of.element(number) for number in numbers), strict=True)
    return {key: np.stack([one[key] for one in inputs]) for key in inputs[0]}, np.stack(sources)


def assert_same(one, other) -> None:
    assert one[0].keys() == other[0].keys()
    for key in one[0]:
        np.testing.assert_array_equal(one[0][key], other[0][key])
    np.testing.assert_array_equal(one[1], other[1])


def test_the_element_is_the_one_of_this_floor(prepared):
    def element(batch_size: int | None) -> tuple:
        context = {
            "mixture": tf.TensorSpec((batch_size, 700, prepared.channels), tf.float32),
            "labels": tf.TensorSpec((batch_size, 4), tf.float32),
        }
        return context, tf.TensorSpec((batch_size, 300, 4, prepared.channels), tf.float32)

    assert training_batches(examples(prepared), 4).element_spec == element(4)
    assert track_batches(windows(prepared), 4).element_spec == element(None)


@pytest.mark.parametrize("first", [0, 7, 10**10])
def test_a_batch_holds_the_examples_of_its_numbers(prepared, first):
    batches = training_batches(examples(prepared), 4, first).take(6).as_numpy_iterator()
    for start, batch in zip(range(first, first + 24, 4), batches, strict=True):
        assert_same(batch, stacked(examples(prepared), range(start, start + 4)))


def test_a_restart_gives_what_going_on_would_have_given(prepared):
    going_on = training_batches(examples(prepared), 4).skip(5).take(4).as_numpy_iterator()
    restarted = training_batches(examples(prepared), 4, first=20).take(4).as_numpy_iterator()
    for one, other in zip(going_on, restarted, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_several_hosts_share_what_one_would_see(prepared, count):
    alone = training_batches(examples(prepared), 8, first=16).take(3).as_numpy_iterator()
    shares = [
        training_batches(examples(prepared), 8, first=16, share=(index, count)).take(3).as_numpy_iterator()
        for index in range(count)
    ]
    for whole, *pieces in zip(alone, *shares, strict=True):
        contexts, sources = zip(*pieces, strict=True)
        assert len(sources[0]) == 8 // count
        joined = {key: np.concatenate([context[key] for context in contexts]) for key in whole[0]}
        assert_same((joined, np.concatenate(sources)), whole)


@pytest.mark.parametrize("share, message", [((0, 3), "multiple of 3"), ((2, 2), "share 0 to 1. Received: 2")])
def test_a_share_that_cannot_be_is_one_line(prepared, share, message):
    with pytest.raises(ValueError, match=message):
        training_batches(examples(prepared), 8, share=share)


class Hesitant(TrainingExamples):
    """Some examples take longer than those after them."""

    def element(self, number: int) -> Element:
        time.sleep(0.02 * (number % 3 == 0))
        return super().element(number)


@pytest.mark.parametrize("threads", [1, 8])
def test_neither_the_number_of_threads_nor_their_speed_changes_anything(prepared, threads):
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    hesitant = Hesitant(prepared, prepared.split("train"), SOURCES, EXCERPT, Augmentation(remix=0.5), seed=3)
    batches = training_batches(hesitant, 4).with_options(options).take(10).as_numpy_iterator()
    for start, batch in zip(range(0, 40, 4), batches, strict=True):
        assert_same(batch, stacked(examples(prepared), range(start, start + 4)))


def test_whole_tracks_come_in_order_and_the_last_batch_is_kept(prepared):
    """17 + 7 + 5 windows."""
    batches = list(track_batches(windows(prepared), 4).as_numpy_iterator())
    assert [len(sources) for _, sources in batches] == [4] * 7 + [1]
    for start, batch in zip(range(0, 29, 4), batches, strict=True):
        assert_same(batch, stacked(windows(prepared), range(start, min(start + 4, 29))))


def test_training_never_ends_and_can_be_gone_through_twice(prepared):
    batches = training_batches(examples(prepared), 2)
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    first, again = (next(batches.as_numpy_iterator()) for _ in range(2))
    assert_same(first, again)
