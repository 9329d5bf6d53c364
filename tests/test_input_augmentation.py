"""What chance draws for a part, and what arithmetic makes of it."""

from Input import augmentation as module
from Input.augmentation import (
    FLAT,
    TAPS,
    UNCHANGED,
    UNIT_GAIN,
    UNIT_STEP,
    UNTREATED,
    Augmentation,
    Treatment,
    equaliser,
    filtered,
    resampled,
    stacked,
)
from Input.examples import Excerpt, TrainingExamples
from Input.prepared import Prepared
from Input.sources import Sources

import numpy as np
import pytest
import scipy.signal
import scipy.stats
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

RATE_HZ = 22_050
NAMES = ("cl", "fl", "vc", "vn")
EXCERPT = Excerpt(input_samples=700, output_samples=300)
STEPS = {
    "gain": {"gain": (0.25, 2.0)},
    "polarity": {"polarity": 0.5},
    "silence": {"silence": 0.4},
    "swap": {"swap": 0.5},
    "speed": {"speed": 0.5, "speed_range": (0.75, 1.5)},
    "tilt": {"tilt": 0.5},
    "lowpass": {"lowpass": 0.5},
}
EVERYTHING = {key: value for keys in STEPS.values() for key, value in keys.items()}


def changed(**keys) -> Augmentation:
    """These steps alone."""
    return Augmentation(**UNCHANGED.model_dump() | keys)


def drawn(number: int, parts: int = 3, **keys) -> list[Treatment]:
    return changed(**keys).treatments((1, number), parts, RATE_HZ)


def same(one: Treatment, other: Treatment) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def likely(hits: int, trials: int, probability: float) -> bool:
    return scipy.stats.binomtest(hits, trials, probability).pvalue > 1e-3


# ---------------------------------------------------------------- what is drawn


def test_nothing_on_draws_what_leaves_a_part_alone():
    assert all(same(one, UNTREATED) for number in range(50) for one in drawn(number, 5))


def test_a_draw_depends_on_seed_and_number_alone():
    again = [drawn(number, **EVERYTHING) for number in reversed(range(50))][::-1]
    for number in range(50):
        assert all(map(same, drawn(number, **EVERYTHING), again[number]))
    assert not all(map(same, drawn(1, **EVERYTHING), drawn(2, **EVERYTHING)))
    other_seed = changed(**EVERYTHING).treatments((2, 1), 3, RATE_HZ)
    assert not all(map(same, drawn(1, **EVERYTHING), other_seed))


def test_each_step_draws_alone_what_it_draws_among_all():
    for number in range(200):
        alone = {name: drawn(number, **keys) for name, keys in STEPS.items()}
        for n, one in enumerate(drawn(number, **EVERYTHING)):
            sign, heard = np.sign(alone["polarity"][n].gain), alone["silence"][n].gain != 0
            assert one.gain == alone["gain"][n].gain * sign * heard
            assert one.swap == alone["swap"][n].swap
            assert one.step == alone["speed"][n].step
            tilted, limited = (not np.array_equal(alone[name][n].taps, FLAT) for name in ("tilt", "lowpass"))
            if not (tilted and limited):  # of both at once, `a_tilt_and_a_cut_off` below
                np.testing.assert_array_equal(one.taps, alone["tilt" if tilted else "lowpass"][n].taps)
            else:
                assert not np.array_equal(one.taps, alone["tilt"][n].taps)


def test_no_step_follows_another():
    """What happens to a part by one step says nothing of what happens by the others, nor where its excerpt lies."""
    happens = {
        "gain": lambda one: one.gain > 288,
        "polarity": lambda one: one.gain < 0,
        "silence": lambda one: one.gain == 0,
        "swap": lambda one: one.swap,
        "speed": lambda one: one.step != UNIT_STEP,
        "tilt": lambda one: not np.array_equal(one.taps, FLAT),
        "lowpass": lambda one: not np.array_equal(one.taps, FLAT),
    }
    seen = [[happens[name](drawn(n, 2, **keys)[0]) for name, keys in STEPS.items()] for n in range(1_500)]
    moments = [np.random.default_rng((1, n)).random() for n in range(1_500)]
    correlations = np.corrcoef(np.column_stack([moments, seen]).astype(float).T)
    assert np.abs(correlations - np.eye(8)).max() < 0.11  # chance alone: 0.026


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["polarity", "swap", "tilt", "lowpass"])
def test_so_many_parts_are_changed_each_on_its_own(name, probability):
    changed = np.array(
        [[not same(one, UNTREATED) for one in drawn(number, 2, **{name: probability})] for number in range(1_500)]
    )
    assert likely(changed.sum(), changed.size, probability)
    assert likely((changed[:, 0] & changed[:, 1]).sum(), len(changed), probability**2)


def test_every_part_is_changed_where_it_is_certain():
    certain = {name: 1.0 for name in ("polarity", "swap", "tilt", "lowpass", "speed")}
    for number in range(50):
        for one in drawn(number, **certain):
            assert one.gain == -UNIT_GAIN and one.swap and not np.array_equal(one.taps, FLAT)


@pytest.mark.parametrize("probability", [0.2, 1.0])
def test_so_many_examples_play_faster_or_slower_all_their_parts_alike(probability):
    speeds = []
    for number in range(2_000):
        (step,) = {one.step for one in drawn(number, 4, speed=probability, speed_range=(0.5, 2.0))}
        speeds.append(step)
    assert min(speeds) >= 128 and max(speeds) <= 512
    changed = [step for step in speeds if step != UNIT_STEP]
    assert likely(len(changed), 2_000, probability * (1 - 1 / 384))  # 256, of 384 steps of the range, is no change
    assert scipy.stats.kstest(changed, scipy.stats.uniform(127.5, 385).cdf).pvalue > 1e-3


def test_gains_are_even_in_their_range_and_polarity_only_turns_them():
    plain = np.array([[one.gain for one in drawn(n, gain=(0.5, 3.0))] for n in range(1_000)])
    turned = np.array([[one.gain for one in drawn(n, gain=(0.5, 3.0), polarity=0.5)] for n in range(1_000)])
    assert scipy.stats.kstest(plain.ravel(), scipy.stats.uniform(127.5, 641).cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(plain.T) - np.eye(3)).max() < 0.15  # each part its own
    np.testing.assert_array_equal(abs(turned), plain)
    assert likely((turned < 0).sum(), 3_000, 0.5)


@pytest.mark.parametrize("probability", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_silence_leaves_at_least_one_part(parts, probability):
    silent = np.array([[one.gain == 0 for one in drawn(n, parts, silence=probability)] for n in range(2_000)])
    assert silent.sum(axis=1).max() <= parts - 1
    wanted = probability - probability**parts / parts  # all that chance picks, but one where it picks all
    for part in silent.T:  # none is preferred
        assert likely(part.sum(), 2_000, wanted)
    if probability == 1:
        assert (silent.sum(axis=1) == parts - 1).all()


def test_tilts_are_even_in_decibels_and_cut_offs_in_octaves(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "equaliser", lambda *numbers: asked.append(numbers) or FLAT)
    for number in range(1_000):
        drawn(number, 1, tilt=1.0, tilt_db=4.0, lowpass=1.0, lowpass_hz=(500.0, 4_000.0))
    tilts, cutoffs, rates = np.array(asked).T
    assert scipy.stats.kstest(tilts, scipy.stats.uniform(-4, 8).cdf).pvalue > 1e-3
    assert scipy.stats.kstest(np.log2(cutoffs / 500), scipy.stats.uniform(0, 3).cdf).pvalue > 1e-3
    assert set(rates) == {RATE_HZ}


# ---------------------------------------------------------------- arithmetic: speed

BEFORE = 7  # samples that the interpolation reads before the first


@pytest.mark.parametrize("step", [128, 200, 255, 257, 300, 512])
def test_a_sine_plays_faster_or_slower_as_its_formula_says(step):
    """Up to 0.7 of the Nyquist frequency the error is 50 dB below the tone."""
    times = BEFORE + np.arange(3_000) * step / 256
    for frequency in (0.01, 0.1, 0.3, 0.5, 0.6, 0.65, 0.7):
        pcm = np.rint(30_000 * np.sin(np.pi * frequency * np.arange(6_100) + 0.3)).astype(np.int16)
        played = resampled(np, pcm[None, :, None], np.array([step], np.int32), 3_000)[0, :, 0]
        error = played - 30_000 * np.sin(np.pi * frequency * times + 0.3)
        assert np.sqrt(np.mean(error**2)) < 10 ** (-50 / 20) * 30_000 / np.sqrt(2), frequency


def test_each_part_has_its_own_speed_and_a_constant_stays():
    pcm = np.full((3, 700, 2), 12_345, np.int16)
    np.testing.assert_array_equal(resampled(np, pcm, np.array([200, 256, 511], np.int32), 300), 12_345)
    ramp = np.broadcast_to(np.arange(700, dtype=np.int16)[None, :, None], (3, 700, 2))
    played = resampled(np, ramp, np.array([128, 256, 512], np.int32), 300)
    for part, speed in zip(played, (0.5, 1.0, 2.0), strict=True):
        expected = BEFORE + np.arange(300)[:, None] * speed
        np.testing.assert_allclose(part, np.broadcast_to(expected, part.shape), atol=0.51)


def test_a_part_at_its_own_speed_keeps_its_bits_beside_another_that_does_not():
    pcm = np.random.default_rng(0).integers(-(2**15), 2**15, (2, 700, 2)).astype(np.int16)
    played = resampled(np, pcm, np.array([256, 300], np.int32), 300)
    np.testing.assert_array_equal(played[0], pcm[0, BEFORE:][:300])
    assert not np.array_equal(played[1], pcm[1, BEFORE:][:300])


# ---------------------------------------------------------------- arithmetic: filters


def decibels(taps: np.ndarray, frequencies_hz: np.ndarray, rate_hz: int) -> np.ndarray:
    """The oracle: what a filter does to tones."""
    _, response = scipy.signal.freqz(taps / 4096, worN=frequencies_hz, fs=rate_hz)
    return 20 * np.log10(np.maximum(np.abs(response), 1e-6))


@pytest.mark.parametrize("tilt_db", [-6, -3, -1, 1, 3, 6])
@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100])
def test_a_tilt_is_a_line_in_decibels_over_octaves_through_1_khz(tilt_db, rate_hz):
    """As far as 63 taps tell frequencies apart: down to a few times rate / 64, and level below."""
    taps = equaliser(tilt_db, rate_hz, rate_hz)
    frequencies_hz = np.geomspace(max(1_000, 4 * rate_hz / 64), 0.48 * rate_hz, 50)
    wanted = np.clip(tilt_db * np.log2(frequencies_hz / 1_000), -12, 12)
    np.testing.assert_allclose(decibels(taps, frequencies_hz, rate_hz), wanted, atol=0.6)  # most at the knee of 12 dB
    octaves_hz = np.geomspace(rate_hz / 200, 0.48 * rate_hz, 200)
    assert (np.sign(tilt_db) * np.diff(decibels(taps, octaves_hz, rate_hz)) > -0.1).all()  # it never turns back


@pytest.mark.parametrize("cutoff_hz", [1_000, 2_500, 5_000, 8_000])
def test_a_low_pass_keeps_what_lies_below_and_takes_what_lies_above(cutoff_hz):
    taps = equaliser(0, cutoff_hz, RATE_HZ)
    edge_hz = 2 * RATE_HZ / 64  # half the main lobe of the window
    below_hz, above_hz = np.linspace(0, cutoff_hz - edge_hz, 50), np.linspace(cutoff_hz + edge_hz, 11_025, 50)
    np.testing.assert_allclose(decibels(taps, below_hz, RATE_HZ), 0, atol=0.15)
    assert decibels(taps, above_hz, RATE_HZ).max() < -40
    np.testing.assert_allclose(decibels(taps, np.array([cutoff_hz]), RATE_HZ), -6, atol=0.5)


def test_a_tilt_and_a_cut_off_are_one_filter():
    frequencies_hz = np.geomspace(1_400, 3_200, 20)
    both = decibels(equaliser(-4, 4_000, RATE_HZ), np.append(frequencies_hz, 5_000), RATE_HZ)
    np.testing.assert_allclose(both[:-1], -4 * np.log2(frequencies_hz / 1_000), atol=0.3)
    assert both[-1] < -40


def test_no_tilt_and_no_cut_off_is_no_filter():
    for rate_hz in (8_000, 22_050, 44_100):
        np.testing.assert_array_equal(equaliser(0, rate_hz, rate_hz), FLAT)


@given(st.floats(-6, 6), st.floats(50, 20_000), st.sampled_from([8_000, 22_050, 44_100]))
def test_a_filter_leaves_an_impulse_in_its_place(tilt_db, cutoff_hz, rate_hz):
    taps = equaliser(tilt_db, cutoff_hz, rate_hz)
    np.testing.assert_array_equal(taps, taps[::-1])
    pcm = np.zeros((1, 201 + TAPS - 1, 1), np.int32)
    pcm[0, 100 + TAPS // 2] = 10_000
    heard = filtered(np, pcm, taps[None], 201)[0, :, 0]
    np.testing.assert_array_equal(heard, heard[::-1])
    assert heard.shape == (201,) and heard[100] > 0 and heard[100] >= np.abs(heard).max() - 3  # rounded


def test_a_filter_is_a_convolution_rounded_and_each_part_has_its_own():
    random = np.random.default_rng(0)
    pcm = random.integers(-10_000, 10_000, (3, 400, 2)).astype(np.int16)
    taps = np.stack([equaliser(3, RATE_HZ, RATE_HZ), FLAT, equaliser(-2, 3_000, RATE_HZ)])
    heard = filtered(np, pcm, taps, 400 - TAPS + 1)
    for part, own, expected in zip(pcm, taps, heard, strict=True):
        for channel in range(2):
            convolved = np.convolve(part[:, channel], own / 4096, "valid")
            np.testing.assert_allclose(expected[:, channel], convolved, atol=0.501)
    np.testing.assert_array_equal(heard[1], pcm[1, TAPS // 2 :][: 400 - TAPS + 1])


# ---------------------------------------------------------------- arithmetic: all of it


def test_gain_and_polarity_scale_and_swap_exchanges_left_and_right():
    pcm = np.random.default_rng(0).integers(-(2**15), 2**15, (3, 50, 2)).astype(np.int16)
    treatment = stacked([Treatment(-300, False, 256, FLAT), Treatment(0, True, 256, FLAT), UNTREATED._replace(swap=1)])
    heard = changed(swap=0.5).treated(np, pcm, treatment, 50)
    assert heard.dtype == np.int32
    np.testing.assert_array_equal(heard[0], -300 * pcm[0].astype(int))
    assert not heard[1].any()
    np.testing.assert_array_equal(heard[2], 256 * pcm[2, :, ::-1].astype(int))
    mono = changed(swap=0.5).treated(np, pcm[..., :1], treatment, 50)
    np.testing.assert_array_equal(mono[2], 256 * pcm[2, :, :1].astype(int))


RANGES = st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)).map(sorted)


@given(st.data(), RANGES, st.booleans(), st.booleans(), st.integers(10, 90), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_the_pcm_asked_for_is_enough_and_begins_where_it_must(data, speeds, resamples, filters, samples, before):
    """There are as many samples as wanted, and a click lies in its place."""
    augmentation = changed(speed=0.5 * resamples, speed_range=tuple(speeds), tilt=0.5 * filters)
    slowest, fastest = (round(256 * speed) for speed in speeds)
    steps = st.one_of(st.just(256), st.integers(slowest, fastest)) if resamples else st.just(256)
    step = data.draw(steps)
    treatment = stacked([Treatment(256, False, step, equaliser(2, RATE_HZ, RATE_HZ) if filters else FLAT)])
    length = augmentation.pcm_samples(samples)
    assert augmentation.treated(np, np.ones((1, length, 1), np.int16), treatment, samples).shape == (1, samples, 1)

    start = 1_000  # of the track; the treated sample number `before` lies there or less than a sample later
    first = augmentation.pcm_start(start, before, step)
    wanted = data.draw(st.integers(4, samples - 5))  # the treated sample that shall be a click
    place = start + round((wanted - before) * step / 256)
    pcm = np.zeros((1, length, 1), np.int16)
    pcm[0, place - first] = 10_000
    heard = augmentation.treated(np, pcm, treatment, samples)[0, :, 0]
    assert abs(np.argmax(np.abs(heard)) - wanted) <= 0.5 + 1.5 * 256 / step


# ---------------------------------------------------------------- 32 bits are enough


def loudest(step: int, taps: np.ndarray, output: int, samples: int) -> np.ndarray:
    """PCM (T,) at full scale whose signs are those with which it enters an output sample: nothing gets louder."""
    enters = np.zeros(samples, object)
    for n, tap in enumerate(taps):
        place = (output + n) * step
        enters[place // 256 :][:16] += int(tap) * module._SINCS[place % 256].astype(object)
    return np.where(enters < 0, -(2**15), 2**15 - 1).astype(np.int16)


@given(
    st.floats(-6, 6) | st.sampled_from([-6, 6]),
    st.floats(50, 96_000),
    st.sampled_from([1_000, 8_000, 22_050, 44_100, 96_000, 192_000]),
    st.integers(128, 512),
    st.integers(0, 39),
)
@settings(max_examples=150, deadline=None)
def test_no_sound_overflows_32_bits(tilt_db, cutoff_hz, rate_hz, step, output):
    """The same in 64 bits is the same; gains up to 4, and 31 parts as loud as that."""
    augmentation = Augmentation(gain=(4.0, 4.0), speed=1, speed_range=(0.5, 2.0), tilt=1, tilt_db=6, lowpass=1)
    taps = equaliser(tilt_db, cutoff_hz, rate_hz)
    pcm = loudest(step, taps, output, augmentation.pcm_samples(40))
    parts = np.stack([pcm, -1 - pcm])[..., None]  # which is ~pcm: the same, turned over
    treatment = stacked([Treatment(1_024, False, step, taps)] * 2)
    heard = augmentation.treated(np, parts, treatment, 40)
    wide = Treatment(*(np.asarray(numbers, np.int64) for numbers in treatment))
    exact = augmentation.treated(np, parts.astype(np.int64), wide, 40)
    assert heard.dtype == np.int32 and exact.dtype == np.int64
    np.testing.assert_array_equal(heard, exact)
    assert np.abs(exact).max() * 31 < 2**31


def test_a_gain_of_4_on_twice_full_scale_fits_31_times():
    """The bound that the test above stays below, reached."""
    taps = np.where(FLAT, 3 * FLAT, 0).astype(np.int32)
    pcm = np.full((1, TAPS, 1), -(2**15), np.int16)
    heard = changed(tilt=1).treated(np, pcm, stacked([Treatment(1_024, False, 256, taps)]), 1)
    assert heard.item() == -(2**26) and -(2**31) <= 31 * heard.item()


# ---------------------------------------------------------------- in an example


def training(prepared: Prepared, excerpt=EXCERPT, **augmentation) -> TrainingExamples:
    return TrainingExamples(prepared, prepared.split("train"), Sources(NAMES), excerpt, changed(**augmentation), 1)


def assert_same(one, other) -> None:
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


SPARED = {name: 1e-12 for name in ("remix", "polarity", "swap", "silence", "speed", "tilt", "lowpass")}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("spared", [*({name: 1e-12} for name in SPARED), SPARED, {**SPARED, "gain": (1.0, 1.0)}])
def test_what_chance_spares_keeps_every_bit(make_prepared, channels, spared):
    prepared = make_prepared({"a_vn_vn_vc": 5_000, "b_fl_cl": 200}, channels=channels)
    for number in range(10):
        assert_same(training(prepared, **spared).example(number), training(prepared).example(number))


@pytest.mark.parametrize("name", STEPS)
def test_what_is_on_changes_examples(make_prepared, name):
    """So that the test above does not agree about nothing."""
    prepared = make_prepared({"a_vn_vn_vc": 5_000}, channels=2)
    on, off = training(prepared, **STEPS[name]), training(prepared)
    assert any(not np.array_equal(on.example(n)["mixture"], off.example(n)["mixture"]) for n in range(10))


def test_what_happens_to_parts_changes_nothing_about_which_they_are(make_prepared):
    prepared = make_prepared({"a_vn_vn_vc": 5_000, "b_vn_cl": 2_000})
    plain, treated = training(prepared, remix=0.5), training(prepared, remix=0.5, **EVERYTHING)
    together = training(prepared, **EVERYTHING)
    for number in range(100):
        which = [(one.part, one.start) for one in plain.draw(number)]
        assert [(one.part, one.start) for one in treated.draw(number)] == which
        pairs = zip(treated.draw(number), together.draw(number), strict=True)
        assert all(same(one.treatment, other.treatment) for one, other in pairs)


def test_sources_sum_to_the_middle_of_the_mixture_and_labels_are_of_what_is_heard(make_prepared):
    prepared = make_prepared({"a_vn_vn_vc": 5_000, "b_fl_cl": 200}, channels=2)
    examples = training(prepared, remix=0.3, **EVERYTHING)
    silent = 0
    for number in range(60):
        example = examples.example(number)
        np.testing.assert_allclose(example["sources"].sum(axis=1), example["mixture"][200:500], atol=1e-6)
        heard = {one.part.instrument for one in examples.draw(number) if one.treatment.gain}
        assert example["labels"].tolist() == [float(name in heard) for name in NAMES]
        assert (example["present"] == example["labels"]).all()
        assert heard and (example["sources"].any(axis=(0, 2)) == example["labels"]).all()
        silent += len({one.part.instrument for one in examples.draw(number)}) - len(heard)
    assert silent > 10


def test_slow_speeds_alone_spare_some_examples_all_the_same(make_prepared):
    """An example that keeps its speed needs more PCM than any that is played slower."""
    prepared = make_prepared({"a_vn_vc": 5_000})
    examples = training(prepared, speed=0.5, speed_range=(0.5, 0.75))
    steps = set()
    for number in range(20):
        (step,) = {one.treatment.step for one in examples.draw(number)}
        if step == UNIT_STEP:
            assert_same(examples.example(number), training(prepared).example(number))
        steps.add(step)
    assert UNIT_STEP in steps and len(steps) > 5


def test_an_example_of_tones_is_what_their_formula_says(make_prepared):
    """All steps at once: tones keep their moment, are played at the speed, and scaled by filter and gain."""
    prepared = make_prepared({"a_vn_vc": 9_000}, channels=2, sample_rate_hz=RATE_HZ)
    tones = {  # radians a sample (below half the Nyquist frequency at the fastest), amplitude, phase, of each channel
        "1_vn": np.array([[0.41, 9_000, 0.1], [0.97, 5_000, 2.0]]),
        "2_vc": np.array([[0.23, 7_000, 1.3], [0.72, 8_000, 4.0]]),
    }

    def at(name: str, times: np.ndarray, scale: np.ndarray | float = 1.0) -> np.ndarray:
        turn, amplitude, phase = tones[name].T
        return scale * amplitude * np.sin(turn * times[:, None] + phase)

    for name in tones:
        path = prepared.root / f"a_vn_vc/{name}.wav"
        soundfile.write(path, np.rint(at(name, np.arange(9_000.0))).astype(np.int16), RATE_HZ)
    examples = training(prepared, **EVERYTHING | {"speed": 0.8, "lowpass_hz": (4_000.0, 9_000.0)})
    kinds, checked = set(), 0
    for number in range(60):
        example = examples.example(number)
        expected = np.zeros((700, 2))
        (start, step) = examples.draw(number)[0].start, examples.draw(number)[0].treatment.step
        if not 600 < start < 7_900:  # the example would reach beyond the track's ends
            continue
        late = (200 + TAPS // 2) * step % 256 / 256  # the excerpt begins this part of a sample after `start`
        times = start + late + (np.arange(700) - 200) * step / 256
        for one in examples.draw(number):
            name = f"{one.part.number}_{one.part.instrument}"
            turns = tones[name][:, 0] * step / 256
            response = np.cos(np.outer(turns, np.arange(TAPS) - TAPS // 2)) @ one.treatment.taps / 4096
            heard = at(name, times, response)[:, :: -1 if one.treatment.swap else 1] * one.treatment.gain / 256
            expected += heard
            kinds.add((bool(one.treatment.swap), bool((one.treatment.taps == FLAT).all()), step == 256))
            source = example["sources"][:, NAMES.index(one.part.instrument)]
            np.testing.assert_allclose(source, heard[200:500] / 2**15, atol=2e-3)
        np.testing.assert_allclose(example["mixture"], expected / 2**15, atol=3e-3)
        checked += 1
    assert checked > 20 and len(kinds) == 8


def test_a_context_is_withheld_now_and_then_and_nothing_else_changes(make_prepared):
    prepared = make_prepared({"a_vn_vn_vc": 5_000, "b_fl_cl": 2_000})
    plain, dropping = training(prepared, **EVERYTHING), training(prepared, **EVERYTHING, drop={"labels": 0.3})
    withheld = 0
    for number in range(100):
        one, other = plain.example(number), dropping.example(number)
        gone = not other["labels"].any()
        assert gone or (other["labels"] == one["labels"]).all()
        assert_same({**other, "labels": one["labels"]}, one)
        withheld += gone
    assert 15 < withheld < 45
