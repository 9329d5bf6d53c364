"""What a probe tells: true of every draw, and the same draw every time."""

from typing import get_args

from Input.probes import Probe, context_of, probed

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def probed_labels(probe: str, names, labels):
    """The labels alone, which one other context accompanies unchanged."""
    found = probed(probe, names, [{"labels": of_track, "notes": np.ones(2)} for of_track in labels])
    assert all(np.array_equal(of_track["notes"], np.ones(2)) for of_track in found)
    return [of_track["labels"] for of_track in found]


NAMES = st.lists(st.text(max_size=12), min_size=2, max_size=6, unique=True)


@st.composite
def splits(draw, least=1, most=4):
    """Names of tracks, and labels of five sources of which `least` to `most` play."""
    names = draw(NAMES)
    counts = [draw(st.integers(least, most)) for _ in names]
    playing = [draw(st.permutations(range(5)))[:count] for count in counts]
    return names, [np.isin(np.arange(5), which).astype(np.float32) for which in playing]


@settings(deadline=None, max_examples=50)
@given(splits())
def test_nothing_and_everything(split):
    names, labels = split
    assert [told.tolist() for told in probed_labels("no_labels", names, labels)] == [[0] * 5] * len(names)
    assert [told.tolist() for told in probed_labels("all_labels", names, labels)] == [[1] * 5] * len(names)


@settings(deadline=None, max_examples=50)
@given(splits())
def test_one_source_that_plays_is_exchanged_for_one_that_does_not(split):
    names, labels = split
    for told, true in zip(probed_labels("wrong_label", names, labels), labels, strict=True):
        assert sorted(told - true) == [-1, 0, 0, 0, 1] and set(told) <= {0, 1}


@settings(deadline=None, max_examples=50)
@given(splits())
def test_shuffled_labels_are_another_tracks_and_other_ones(split):
    names, labels = split
    if len({tuple(true) for true in labels}) == 1:
        with pytest.raises(ValueError, match="^shuffled_labels: expected tracks with different sources"):
            probed_labels("shuffled_labels", names, labels)
        return
    for told, true in zip(probed_labels("shuffled_labels", names, labels), labels, strict=True):
        assert not np.array_equal(told, true)
        assert any(np.array_equal(told, other) for other in labels)


@pytest.mark.parametrize("probe", get_args(Probe))
@settings(deadline=None, max_examples=50)
@given(split=splits())
def test_a_probe_tells_the_same_each_time_as_float32_and_leaves_the_truth_alone(probe, split):
    names, labels = split
    if probe == "shuffled_labels" and len({tuple(true) for true in labels}) == 1:
        return
    before = [true.copy() for true in labels]
    first, second = (probed_labels(probe, names, labels) for _ in range(2))
    assert all(np.array_equal(a, b) and a.dtype == np.float32 for a, b in zip(first, second, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(labels, before, strict=True))
    assert not any(told is true for told, true in zip(first, labels, strict=True))


@settings(deadline=None, max_examples=50)
@given(splits())
def test_a_wrong_label_depends_on_its_track_alone(split):
    names, labels = split
    together = probed_labels("wrong_label", names, labels)
    alone = [probed_labels("wrong_label", [name], [true])[0] for name, true in zip(names, labels, strict=True)]
    assert np.array_equal(together, alone)


def test_every_source_has_its_turn():
    """Of 300 tracks, drawn by their names: each of 2 that play goes, each of 4 that rest comes, about equally often."""
    names = [f"{number:02}_Title" for number in range(300)]
    true = np.array([1, 0, 0, 1, 0, 0], np.float32)
    exchanged = np.sum([told - true for told in probed_labels("wrong_label", names, [true] * 300)], axis=0)
    assert (exchanged[[0, 3]] < -110).all() and (exchanged[[1, 2, 4, 5]] > 45).all()
    three = [np.eye(3, dtype=np.float32)[number % 3] for number in range(300)]
    counts = np.sum(probed_labels("shuffled_labels", names, three), axis=0)
    assert (counts > 70).all() and counts.sum() == 300


@pytest.mark.parametrize("playing", [0, 4])
def test_where_nothing_can_be_exchanged_the_track_is_named(playing):
    true = np.full(4, float(bool(playing)), np.float32)
    with pytest.raises(ValueError, match=f"^wrong_label: .* Received: {playing} of 4 play in 07_Tutti$"):
        probed_labels("wrong_label", ["07_Tutti"], [true])


def test_labels_of_parts_are_exchanged_in_one_row_and_shuffled_among_tracks_of_as_many():
    names = [f"t{number}" for number in range(20)]
    random = np.random.default_rng(0)
    labels = [np.eye(5, dtype=np.float32)[random.integers(5, size=2 + number % 3)] for number in range(20)]
    for true, wrong in zip(labels, probed_labels("wrong_label", names, labels), strict=True):
        assert (wrong.sum(axis=1) == 1).all() and (wrong != true).any(axis=1).sum() == 1
    for true, other in zip(labels, probed_labels("shuffled_labels", names, labels), strict=True):
        assert other.shape == true.shape and not np.array_equal(other, true)
    assert all((told == 1).all() for told in probed_labels("all_labels", names, labels))


@pytest.mark.parametrize("shape", [(7, 3), (2, 7, 3)])
def test_a_context_that_moves_is_withheld_shuffled_and_shifted_in_time(shape):
    names = ["a", "b", "c"]
    notes = [np.random.default_rng(number).random(shape).astype(np.float32) for number in range(3)]
    known = [{"labels": np.ones(4, np.float32), "notes": one} for one in notes]
    assert context_of("shifted_notes") == "notes" and context_of("wrong_label") == "labels"
    for true, none, other, later in zip(
        notes, *(probed(f"{kind}_notes", names, known) for kind in ("no", "shuffled", "shifted")), strict=True
    ):
        assert not none["notes"].any() and none["labels"].all()
        assert not np.array_equal(other["notes"], true) and any(np.array_equal(other["notes"], each) for each in notes)
        np.testing.assert_array_equal(later["notes"][..., 3:, :], true[..., :4, :])
        np.testing.assert_array_equal(later["notes"][..., :3, :], true[..., 4:, :])
    with pytest.raises(ValueError, match="shifted_labels: expected a context that moves"):
        probed("shifted_labels", names, known)
