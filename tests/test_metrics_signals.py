"""The excerpt that people are given to listen to."""

import Metrics

import numpy as np
import pytest


def faintest(references, start, samples):
    """The energy of the faintest source in an excerpt, of those that sound anywhere."""
    sounding = references.any(axis=(0, 2))
    return np.sum(references[start : start + samples, sounding] ** 2, axis=(0, 2)).min()


@pytest.mark.parametrize("seed", range(12))
def test_the_excerpt_is_that_in_which_the_faintest_source_is_loudest(seed):
    rng = np.random.default_rng(seed)
    samples = 8 * int(rng.integers(2, 30))
    references = rng.standard_normal((int(rng.integers(samples + 1, 9 * samples)), 4, 2))
    references *= np.repeat(rng.exponential(size=(len(references) // 20 + 1, 4, 1)) ** 3, 20, axis=0)[: len(references)]
    references[:, seed % 4] = 0
    chosen = Metrics.liveliest(references, samples)
    assert chosen.stop - chosen.start == samples and 0 <= chosen.start and chosen.stop <= len(references)
    starts = range(0, len(references) - samples + 1, samples // 8)
    assert chosen.start == max(starts, key=lambda start: faintest(references, start, samples))


def test_a_loud_solo_is_not_chosen_where_both_can_be_heard():
    references = np.zeros((1000, 2, 1))
    references[:600, 0] = 1
    references[500:, 1] = 0.1
    chosen = Metrics.liveliest(references, 80)
    assert chosen.start >= 500 and chosen.stop <= 600


@pytest.mark.parametrize("samples", [100, 101, 5000])
def test_a_track_that_is_not_longer_is_taken_whole(samples):
    assert Metrics.liveliest(np.ones((100, 2, 1)), samples) == slice(0, 100)


@pytest.mark.parametrize("samples", [1, 3, 7, 9, 17, 99])
def test_excerpts_of_any_length_lie_in_the_track_and_a_silent_track_has_one_too(samples):
    for references in (np.zeros((100, 2, 1)), np.random.default_rng(0).standard_normal((100, 2, 1))):
        chosen = Metrics.liveliest(references, samples)
        assert 0 <= chosen.start and chosen.stop - chosen.start == samples and chosen.stop <= 100


def test_the_last_excerpt_can_be_chosen():
    references = np.zeros((803, 1, 1))
    references[-80:] = 1
    chosen = Metrics.liveliest(references, 80)
    assert chosen.stop > 790


def test_where_never_all_play_the_excerpt_with_most_is_taken():
    references = np.full((1000, 4, 1), 1e-4)  # what is left of the room while a player rests
    for source, (start, end) in enumerate([(0, 400), (300, 700), (350, 800), (900, 1000)]):
        references[start:end, source] = 4 - source
    chosen = Metrics.liveliest(references, 40)
    assert 350 <= chosen.start and chosen.stop <= 400


@pytest.mark.parametrize("step", [7, 50, 100])
def test_excerpts_begin_at_multiples_of_the_step(step):
    references = np.ones((1003, 2, 1))
    references[:, 1] = 0
    references[613:687, 1] = 1
    chosen = Metrics.liveliest(references, 2 * step, step)
    assert chosen.start % step == 0 and chosen.stop - chosen.start == 2 * step
    played = [references[start : start + 2 * step, 1].sum() for start in range(0, 1003 - 2 * step, step)]
    assert references[chosen, 1].sum() == max(played)
