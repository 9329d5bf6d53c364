"""Examples mixed by a compiled step are those that the host mixes, to the bit."""

import importlib.util
import itertools
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import Actions.task as Task
import Actions.training as Training
import Config
from Input.augmentation import UNCHANGED, Augmentation
from Input.device import AHEAD, ROW, Cache, Drawn, DrawnWindows, Mixer, drawn_arrays, drawn_batches
from Input.examples import Example, Examples, Excerpt, Mix, TrainingExamples, Windows
from Input.prepared import MANIFEST, Prepared
from Input.sources import Sources
from Models import networks

import keras
import numpy as np
import pandas as pd
import pytest
from test_models_backends import on_jax

SOURCES = Sources(("cl", "fl", "vc", "vn"))
EXCERPT = Excerpt(input_samples=700, output_samples=300)
TRACKS = {"a_vn_vn_vc": 2 * ROW + 500, "b_fl_cl": 150, "c_vn_fl": ROW, "d_cl": ROW + 1, "e_vc": 1}
SPEED = {"speed": 0.6, "speed_range": (0.5, 1.7)}
FILTERS = {"tilt": 0.5, "lowpass": 0.5}
EVERYTHING = {"gain": (0.0, 4.0), "remix": 0.3, "polarity": 0.5, "swap": 0.5, "silence": 0.4} | SPEED | FILTERS
AUGMENTATIONS = {
    "none": {},
    "remix": {"remix": 1.0, "silence": 0.5, "swap": 0.5},
    "speed": SPEED,
    "slow": {"speed": 0.5, "speed_range": (0.5, 0.7)},
    "filters": FILTERS,
    "everything": EVERYTHING,
    "everything, in mono": EVERYTHING,
}


def training(prepared: Prepared, excerpt=EXCERPT, mix=None, **augmentation) -> TrainingExamples:
    tracks = prepared.split("train")
    return TrainingExamples(
        prepared, tracks, SOURCES, excerpt, Augmentation(**UNCHANGED.model_dump() | augmentation), 1, mix
    )


def windows(prepared: Prepared, excerpt=EXCERPT) -> Windows:
    return Windows(prepared, prepared.split("train"), SOURCES, excerpt)


def mixer_of(examples: Examples, slots: int = 0) -> tuple[Mixer, Cache]:
    cache = Cache(examples.prepared, examples.tracks)
    return Mixer(cache, examples, slots or examples.most_parts), cache


def assert_same(one: Example, other: Example) -> None:
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])
        assert one[key].dtype == np.float32


def on_device(mixer: Mixer) -> Callable[[Drawn], Example]:
    """What makes batches, compiled by XLA."""
    import tensorflow as tf  # here, because the tests import this file where there is none

    compiled = tf.function(mixer, jit_compile=True)

    def mixed(batch: Drawn) -> Example:
        example = compiled({name: tf.constant(array) for name, array in batch.items()})
        return {name: array.numpy() for name, array in example.items()}

    return mixed


on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compiles by tf.function")


# ---------------------------------------------------------------- the same as on the host


@pytest.mark.slow
@on_tensorflow
@pytest.mark.parametrize("name, channels", [(name, 1 + n % 2) for n, name in enumerate(AUGMENTATIONS)])
def test_the_device_mixes_what_the_host_mixes(make_prepared, name, channels):
    """Short tracks, starts and ends, empty slots; windows through the same mixer, which leaves them as they are."""
    prepared = make_prepared(TRACKS, channels=channels)
    examples, tracks = training(prepared, **AUGMENTATIONS[name]), windows(prepared)
    mixer, cache = mixer_of(examples, slots=5)
    count = len(tracks)
    assert count == 29 + 1 + 14 + 14 + 1
    (batch,) = next(drawn_batches(examples, cache, slots=5, batch_size=count))
    (whole_tracks,) = DrawnWindows(tracks, cache, slots=5, batch_size=count)[0]
    compiled = on_device(mixer)
    assert_same(compiled(batch), examples.batch(range(count)))
    assert_same(compiled(whole_tracks), tracks.batch(range(count)))


@on_tensorflow
@pytest.mark.parametrize("excerpt", [Excerpt(1, 1), Excerpt(ROW, ROW), Excerpt(3 * ROW + 2, ROW + 2)])
def test_excerpts_of_any_length_are_cut_from_rows(make_prepared, excerpt):
    prepared = make_prepared(TRACKS)
    examples = training(prepared, excerpt, gain=(0.5, 1.0))
    mixer, cache = mixer_of(examples)
    (batch,) = next(drawn_batches(examples, cache, slots=3, batch_size=24))
    assert_same(on_device(mixer)(batch), examples.batch(range(24)))


@on_tensorflow
def test_sums_of_instruments_and_parts_of_several_recordings(make_prepared):
    prepared = make_prepared({"a_vn": 900, "b_fl": 800, "c_cl": 700, "d_vc": 3_000})
    sources = Sources(("strings", "cl", "fl"), {"strings": ("vn", "vc")})
    tracks = prepared.split("train")
    examples = TrainingExamples(prepared, tracks, sources, EXCERPT, Augmentation(**EVERYTHING), 1, Mix(1, 4))
    mixer, cache = mixer_of(examples)
    (batch,) = next(drawn_batches(examples, cache, slots=examples.most_parts, batch_size=60))
    assert set(np.unique(batch["source"])) == {0, 1, 2} and {0} < set(np.unique(batch["row"]))
    assert_same(on_device(mixer)(batch), examples.batch(range(60)))


@on_tensorflow
def test_each_part_may_be_a_source_on_the_device_too(make_prepared):
    prepared = make_prepared(TRACKS)
    tracks = prepared.split("train")
    sources = Sources(SOURCES.names, targets="parts")
    examples = TrainingExamples(prepared, tracks, sources, EXCERPT, Augmentation(**EVERYTHING), 1)
    examples.slots = 5
    mixer, cache = mixer_of(examples, slots=5)
    (batch,) = next(drawn_batches(examples, cache, slots=5, batch_size=40))
    assert_same(on_device(mixer)(batch), examples.batch(range(40)))


@on_tensorflow
def test_every_start_within_and_around_a_track(make_prepared):
    """Windows of one sample, so that an excerpt with its margin begins at each moment of tracks around rows' ends."""
    prepared = make_prepared({"a_vn": ROW + 3, "b_fl": 5})
    excerpt = Excerpt(9, 1)
    mixer, cache = mixer_of(training(prepared, excerpt))
    tracks = windows(prepared, excerpt)
    (batch,) = DrawnWindows(tracks, cache, slots=1, batch_size=len(tracks))[0]
    mixture = on_device(mixer)(batch)["mixture"][..., 0]
    for track in tracks.tracks:
        whole = np.pad(prepared.read(track.parts[0], 0, track.samples)[:, 0], 4)
        expected = np.lib.stride_tricks.sliding_window_view(whole, 9)
        np.testing.assert_array_equal(mixture[: track.samples], expected)
        mixture = mixture[track.samples :]


# ---------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_several_hosts_draw_together_what_one_draws(make_prepared, hosts):
    examples = training(make_prepared(TRACKS), **EVERYTHING)
    _, cache = mixer_of(examples)
    shares = [drawn_batches(examples, cache, 4, 8, first=16, share=(host, hosts)) for host in range(hosts)]
    for step in range(3):
        pieces = [next(share)[0] for share in shares]
        numbers = range(16 + 8 * step, 24 + 8 * step)
        for name in pieces[0]:
            assert all(len(piece[name]) == 8 // hosts for piece in pieces)
            alone = np.concatenate([drawn_arrays(examples, cache, [number], 4)[name] for number in numbers])
            np.testing.assert_array_equal(np.concatenate([piece[name] for piece in pieces]), alone)


def test_a_thread_draws_ahead_and_ends_with_its_batches(make_prepared):
    examples = training(make_prepared(TRACKS))
    _, cache = mixer_of(examples)
    threads = threading.active_count()
    batches = drawn_batches(examples, cache, slots=3, batch_size=8, first=16)
    (first,) = next(batches)
    until = time.monotonic() + 30
    while examples.reached < 16 + 8 * (1 + AHEAD) and time.monotonic() < until:
        time.sleep(0.01)
    assert examples.reached == 16 + 8 * (1 + AHEAD)  # and no further
    np.testing.assert_array_equal(first["start"], drawn_arrays(examples, cache, range(16, 24), 3)["start"])
    assert threading.active_count() == threads + 1
    batches.close()
    assert threading.active_count() == threads


def test_an_error_while_drawing_ends_the_training_and_not_a_thread_alone(make_prepared, monkeypatch):
    examples = training(make_prepared(TRACKS))
    _, cache = mixer_of(examples)

    def draw(number, drawn=examples.draw):
        if number == 20:
            raise OSError("the disk is gone")
        return drawn(number)

    monkeypatch.setattr(examples, "draw", draw)
    batches = drawn_batches(examples, cache, slots=3, batch_size=8)
    assert [len(batch["weight"]) for (batch,) in itertools.islice(batches, 2)] == [8, 8]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


def test_windows_come_in_order_and_the_last_batch_is_kept(make_prepared):
    prepared = make_prepared(TRACKS)
    tracks, (_, cache) = windows(prepared), mixer_of(training(prepared))
    batches = DrawnWindows(tracks, cache, slots=3, batch_size=8)
    sizes = [len(batches[index][0]["weight"]) for index in range(len(batches))]
    assert sizes == [8] * 7 + [3]
    starts = np.concatenate([batches[index][0]["start"][:, 0] for index in range(len(batches))])
    assert starts[0] == starts[29] == starts[30] and (np.diff(starts[:29]) == 300).all()


def test_the_cache_holds_each_part_once(make_prepared):
    prepared = make_prepared(TRACKS, channels=2)
    _, cache = mixer_of(training(prepared))
    for track in prepared.split("train"):
        for part in track.parts:
            held = cache.rows[cache.row(part) :].reshape(-1, 2)
            np.testing.assert_array_equal(held[: track.samples], prepared.read_pcm(part, 0, track.samples))
    rows = sum(-(-track.samples // ROW) * len(track.parts) for track in prepared.split("train"))
    assert rows <= len(cache.rows) <= rows + 4 and cache.rows.dtype == np.int16


# ---------------------------------------------------------------- training

TINY = {
    "model": {"levels": 1, "filters": 2},
    "training": {"batch_size": 4, "steps": 4, "validate_every": 2, "xla": keras.backend.backend() == "jax"},
    "augmentation": {"swap": 0.5, "polarity": 0.5, "silence": 0.3, "remix": 0.3} | SPEED,
}


def tiny(prepared: Prepared, cache: str) -> Config.Training:
    data = {"prepared": str(prepared.root), "sources": SOURCES.names, "cache": cache}
    data |= {"sample_rate_hz": 8_000, "output_samples": 500}
    return Config.resolve(Config.Training, Config.PRESETS, ["demo"], TINY | {"data": data})


@pytest.fixture
def two_splits(make_prepared) -> Prepared:
    """Tracks to train and one to validate on, whose last batch is not full."""
    prepared = make_prepared({"a_vn_vn_vc": 5_000, "b_fl_cl": 2_000, "c_cl_vn": 2_900})
    manifest = prepared.manifest
    *tracks, last = manifest.tracks
    tracks.append(last.model_copy(update={"split": "validation"}))
    (prepared.root / MANIFEST).write_text(manifest.model_copy(update={"tracks": tuple(tracks)}).model_dump_json())
    return Prepared(prepared.root)


def excerpt_of(config: Config.Training) -> Excerpt:
    lengths = networks.lengths(config.data.output_samples, **config.model.model_dump())
    output_samples = lengths.output_samples(config.data.output_samples)
    return Excerpt(lengths.input_samples(output_samples), output_samples)


def trained(config: Config.Training, run_dir: Path) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """The losses and the last weights, which are those that were validated, on every window of the split."""
    run_dir.mkdir()
    course = Training.train(config, run_dir)
    log = pd.read_json(run_dir / "log.jsonl", lines=True)
    assert course.best == pytest.approx(log["validation_loss"].min())
    separator = Task.new_network(config)
    with np.load(run_dir / "state.npz") as state:
        separator.set_weights([state[f"{n:05}"] for n in range(len(separator.weights))])
    prepared = Prepared(config.data.prepared)
    tracks = Windows(prepared, prepared.split("validation"), SOURCES, excerpt_of(config))
    batch = tracks.batch(range(len(tracks)))
    estimates = separator({name: batch[name] for name in separator.input})
    errors = batch["sources"] - keras.ops.convert_to_numpy(estimates)
    assert log["validation_loss"].iloc[-1] == pytest.approx(np.mean(np.square(errors)), rel=1e-5)
    return log, separator.get_weights()


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_training_from_the_device_is_training_from_the_host(two_splits, tmp_path):
    """To rounding: the examples are the same to the bit, but nobody promises that of two compiled steps."""
    host_log, host = trained(tiny(two_splits, "none"), tmp_path / "host")
    device_log, device = trained(tiny(two_splits, "device"), tmp_path / "device")
    pd.testing.assert_frame_equal(host_log, device_log, rtol=1e-6)
    for one, other in zip(host, device, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert list(host_log["step"]) == [2, 4] and host_log["validation_loss"].nunique() == 2


def test_training_from_the_host_says_what_it_lacks(monkeypatch):
    monkeypatch.setitem(sys.modules, "Input.pipeline", None)  # as if TensorFlow were not installed
    with pytest.raises(ValueError, match="install tensorflow, .* or train with data.cache=device") as stop:
        Task.from_host(None, 1)
    assert "\n" not in str(stop.value)


# ---------------------------------------------------------------- JAX, where TensorFlow is not installed

ON_JAX = """
import sys
from pathlib import Path

sys.modules["tensorflow"] = None  # as if it were not installed
sys.path.append("tests")
import Actions.task as Task
import jax
import keras
import numpy as np
from test_input_device import EVERYTHING, Prepared, assert_same, drawn_batches, mixer_of, tiny, trained, training

assert keras.backend.backend() == "jax"
folder, stereo, mono = map(Path, sys.argv[1:])
examples = training(Prepared(stereo), **EVERYTHING)
mixer, cache = mixer_of(examples, slots=4)
(batch,) = next(drawn_batches(examples, cache, slots=4, batch_size=60))
assert_same({name: np.array(array) for name, array in jax.jit(mixer)(batch).items()}, examples.batch(range(60)))

config = tiny(Prepared(mono), "device")
log, weights = trained(config, folder / "run")
assert len(log) == 2 and list((folder / "run/tensorboard").glob("events*"))
fresh = Task.new_network(config).get_weights()
assert max(np.abs(one - other).max() for one, other in zip(fresh, weights, strict=True)) > 1e-4
"""


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="jax is not installed")
def test_jax_alone_mixes_what_the_host_mixes_and_trains(make_prepared, two_splits, tmp_path):
    on_jax("-c", ON_JAX, tmp_path, make_prepared(TRACKS, channels=2, name="stereo").root, two_splits.root)
