"""References as data sets lie on disk: which tracks, which sources, which samples, and what is wrong."""

import json
import os

from Input.references import FolderReferences, PreparedReferences
from Input.sources import Sources

import numpy as np
import pytest
import soundfile
from encoded import encode

RATE_HZ = 8_000


def noise(samples, channels=1, seed=0):
    return 0.2 * np.random.default_rng(seed).standard_normal((samples, channels)).astype(np.float32)


def add_sound(path, sound, rate_hz=RATE_HZ):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate_hz, "FLOAT")


def add_track(folder, **sources):
    for name, sound in sources.items():
        add_sound(folder / f"{name}.wav", sound)


def read(references, names, name=None, mixture="sum", sums=None):
    """One track's truth; of the only one where no name is said."""
    [track] = [track for track in references.tracks if name in (None, track.name)]
    return references.read(track, Sources(names, sums or {}), mixture)


# ---------------------------------------------------------------- <track>/<source>.wav


def test_a_folder_without_splits_is_taken_whole(tmp_path):
    a, b = noise(400, 2, 1), noise(400, 2, 2)
    add_track(tmp_path / "one", vn=a, vc=b)
    add_track(tmp_path / "two", vc=b)
    (tmp_path / "._one").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    references = FolderReferences(tmp_path, "test")
    assert [(track.name, sorted(track.instruments)) for track in references.tracks] == [
        ("one", ["vc", "vn"]),
        ("two", ["vc"]),
    ]
    truth = read(references, ("vc", "vn", "fl"), "one")
    assert truth.sample_rate_hz == RATE_HZ and truth.references.dtype == truth.mixture.dtype == np.float32
    np.testing.assert_array_equal(truth.references, np.stack([b, a, 0 * a], axis=1))
    np.testing.assert_allclose(truth.mixture, a + b, atol=1e-7)
    truth = read(references, ("vc", "vn"), "two")
    np.testing.assert_array_equal(truth.references[:, 0], b)
    assert not truth.references[:, 1].any()


@pytest.mark.parametrize(("split", "expected"), [("test", ["b"]), ("train", ["a"]), ("test_unseen_bank", ["c"])])
def test_a_folder_with_splits_gives_the_one_that_is_wanted(tmp_path, split, expected):
    for place in ("train/a", "test/b", "test_unseen_bank/c"):
        add_track(tmp_path / place, vn=noise(50))
    assert [track.name for track in FolderReferences(tmp_path, split).tracks] == expected


def test_sources_are_summed_and_one_that_no_source_holds_is_named(tmp_path):
    parts = {name: noise(300, 1, seed) for seed, name in enumerate(("bass", "drums", "vocals"))}
    add_track(tmp_path / "t", **parts)
    references = FolderReferences(tmp_path, "test")
    truth = read(references, ("accompaniment", "vocals"), sums={"accompaniment": ("bass", "drums", "other")})
    np.testing.assert_allclose(truth.references[:, 0], parts["bass"] + parts["drums"], atol=1e-7)
    np.testing.assert_array_equal(truth.references[:, 1], parts["vocals"])
    with pytest.raises(ValueError, match="t: instrument 'bass' is not among the sources vocals, drums"):
        read(references, ("vocals", "drums"))


def test_the_recorded_mixture_is_another_file_and_no_source(tmp_path):
    vn, recorded = noise(300, 1, 1), noise(300, 1, 2)
    add_track(tmp_path / "a", vn=vn, mixture=recorded)
    add_track(tmp_path / "b", vn=vn)
    references = FolderReferences(tmp_path, "test")
    assert {instrument for track in references.tracks for instrument in track.instruments} == {"vn"}
    np.testing.assert_array_equal(read(references, ("vn",), "a", "recorded").mixture, recorded)
    np.testing.assert_array_equal(read(references, ("vn",), "a", "sum").mixture, vn)
    with pytest.raises(ValueError, match="^b has no recorded mixture; take mixture=sum$"):
        read(references, ("vn",), "b", "recorded")


def test_parts_that_end_a_little_early_end_in_silence(tmp_path):
    long, short = noise(2_000, 1, 1), noise(2_000 - RATE_HZ // 10, 1, 2)
    add_track(tmp_path / "t", vn=long, vc=short)
    truth = read(FolderReferences(tmp_path, "test"), ("vn", "vc"))
    np.testing.assert_array_equal(truth.references[:, 0], long)
    np.testing.assert_array_equal(truth.references[: len(short), 1], short)
    assert not truth.references[len(short) :, 1].any() and len(truth.mixture) == 2_000


def test_parts_that_end_much_earlier_are_a_fault(tmp_path):
    add_track(tmp_path / "t", vn=noise(2_000), vc=noise(2_000 - RATE_HZ // 10 - 1))
    with pytest.raises(ValueError, match=r"vc\.wav lasts 0\.15 s, another part of its track 0\.25 s; expected parts"):
        read(FolderReferences(tmp_path, "test"), ("vn", "vc"))


def test_files_of_several_rates_are_a_fault(tmp_path):
    add_sound(tmp_path / "t" / "vn.wav", noise(2_000))
    add_sound(tmp_path / "t" / "vc.wav", noise(1_000), 4_000)
    with pytest.raises(ValueError, match="t: expected files of one sample rate. Received: 4000 Hz, 8000 Hz$"):
        read(FolderReferences(tmp_path, "test"), ("vn", "vc"))


def test_a_mono_part_is_heard_on_both_channels(tmp_path):
    mono, stereo = noise(300, 1, 1), noise(300, 2, 2)
    add_track(tmp_path / "t", vn=mono, vc=stereo)
    truth = read(FolderReferences(tmp_path, "test"), ("vn", "vc"))
    np.testing.assert_array_equal(truth.references[:, 0], np.repeat(mono, 2, axis=1))
    np.testing.assert_array_equal(truth.references[:, 1], stereo)


def test_a_broken_file_is_named(tmp_path):
    add_track(tmp_path / "t", vn=noise(300))
    (tmp_path / "t" / "vc.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"vc\.wav cannot be read as audio"):
        read(FolderReferences(tmp_path, "test"), ("vn", "vc"))


@pytest.mark.parametrize("made", [(), ("a", "b"), ("test",), ("test/a",)])
def test_a_folder_without_tracks_is_one_line(tmp_path, made):
    for folder in made:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"holds no track of the split 'test': expected <track>/<source>\.wav"):
        FolderReferences(tmp_path, "test")
    with pytest.raises(FileNotFoundError, match="^no such folder: .*nowhere$"):
        FolderReferences(tmp_path / "nowhere", "test")


def test_tracks_of_musdb_are_no_sources_where_a_split_is_misspelt(tmp_path):
    (tmp_path / "test").mkdir()
    encode(tmp_path / "test" / "Artist - Title.stem.mp4", [noise(3_000, 2, seed) for seed in range(5)])
    with pytest.raises(FileNotFoundError, match="holds no track of the split 'tset'"):
        FolderReferences(tmp_path, "tset")


def test_a_part_with_too_many_channels_is_named(tmp_path):
    add_track(tmp_path / "t", vn=noise(300, 3), vc=noise(300, 2))
    with pytest.raises(ValueError, match=r"vc\.wav"):
        read(FolderReferences(tmp_path, "test"), ("vn", "vc"))


def test_a_sum_takes_no_notice_of_the_recorded_mixture(tmp_path):
    vn = noise(1_000, 1, 1)
    add_track(tmp_path / "t", vn=vn, mixture=noise(3_000, 2, 2))
    truth = read(FolderReferences(tmp_path, "test"), ("vn",))
    np.testing.assert_array_equal(truth.references[:, 0], vn)
    np.testing.assert_array_equal(truth.mixture, vn)


def test_every_fault_of_the_layout_is_a_line(tmp_path):
    for track in "abc":
        add_track(tmp_path / track, **({"vn": noise(50)} if track == "b" else {"mixture": noise(50)}))
    with pytest.raises(ValueError) as stop:
        FolderReferences(tmp_path, "test")
    assert [line.split(" holds")[0] for line in str(stop.value).split("\n")] == [f"{tmp_path}/a", f"{tmp_path}/c"]


# ---------------------------------------------------------------- URMP


def add_piece(root, name, sound, recorded=None):
    number, title, *instruments = name.split("_")
    for part, instrument in enumerate(instruments, 1):
        add_sound(root / name / f"AuSep_{part}_{instrument}_{number}_{title}.wav", sound[part - 1])
    if recorded is not None:
        add_sound(root / name / f"AuMix_{name}.wav", recorded)


def test_pieces_of_urmp_are_those_of_the_split_and_two_violins_are_one_source(tmp_path):
    sound = [noise(500, 1, seed) for seed in range(3)]
    recorded = noise(500, 1, 9)
    add_piece(tmp_path, "12_Spring_vn_vn_vc", sound, recorded)
    add_piece(tmp_path, "01_Jupiter_vn_vc", sound)
    references = FolderReferences(tmp_path, "test")
    assert [track.name for track in references.tracks] == ["12_Spring_vn_vn_vc"]
    truth = read(references, ("vc", "vn"), mixture="recorded")
    np.testing.assert_allclose(truth.references[:, 1], sound[0] + sound[1], atol=1e-7)
    np.testing.assert_array_equal(truth.references[:, 0], sound[2])
    np.testing.assert_array_equal(truth.mixture, recorded)
    assert [track.name for track in FolderReferences(tmp_path, "train").tracks] == ["01_Jupiter_vn_vc"]
    (tmp_path / "metadata.json").write_text(json.dumps([{"piece": "01_Jupiter_vn_vc", "split": "test_mine"}]))
    assert [track.name for track in FolderReferences(tmp_path, "test_mine").tracks] == ["01_Jupiter_vn_vc"]
    with pytest.raises(FileNotFoundError, match="holds no track of the split 'validation'"):
        FolderReferences(tmp_path, "validation")


# ---------------------------------------------------------------- MUSDB18

BAND = ("drums", "bass", "other", "vocals")


def tones():
    """The five streams of a stem file: a mixture that is not the sum, and four sources."""
    time = np.arange(22_050)[:, np.newaxis] / 44_100
    sources = [
        (0.1 * np.sin(2 * np.pi * np.array([hz, 1.5 * hz]) * time)).astype(np.float32) for hz in (200, 330, 560, 900)
    ]
    return [0.5 * sum(sources), *sources]


def add_stems(root):
    (root / "test").mkdir(parents=True)
    encode(root / "test" / "Artist, Jr. - Title.stem.mp4", tones())
    (root / "test" / "._Artist, Jr. - Title.stem.mp4").touch()


def add_hq(root):
    for name, sound in zip(("mixture", *BAND), tones(), strict=True):
        add_sound(root / "test" / "Artist, Jr. - Title" / f"{name}.wav", sound, 44_100)


@pytest.mark.parametrize(("add", "error"), [(add_stems, 1e-2), (add_hq, 0)])
@pytest.mark.parametrize("below", [True, False], ids=["the data set", "its test folder"])
def test_both_forms_of_musdb_hold_the_same(tmp_path, add, error, below):
    """AAC is lossy; the wavs are exact."""
    add(tmp_path)
    references = FolderReferences(tmp_path if below else tmp_path / "test", "test")
    [track] = references.tracks
    assert (track.name, track.instruments) == ("Artist, Jr. - Title", set(BAND))
    mixture, *sources = tones()
    truth = read(references, BAND, mixture="recorded")
    assert truth.sample_rate_hz == 44_100 and truth.references.shape == (22_050, 4, 2)
    inner = slice(6_000, -2_000)  # an encoder starts roughly
    np.testing.assert_allclose(truth.references[inner], np.stack(sources, axis=1)[inner], atol=error)
    np.testing.assert_allclose(truth.mixture[inner], mixture[inner], atol=error)
    summed = read(references, ("accompaniment", "vocals"), sums={"accompaniment": BAND[:3]})
    np.testing.assert_allclose(summed.references[inner, 0], sum(sources[:3])[inner], atol=3 * error + 1e-6)
    np.testing.assert_allclose(summed.mixture[inner], sum(sources)[inner], atol=4 * error + 1e-6)


# ---------------------------------------------------------------- prepared data sets, and what changes


def test_prepared_references_are_the_files_sums(make_prepared):
    prepared = make_prepared({"a_vn_vn_vc": 900, "b_fl": 700}, "test", channels=2)
    references = PreparedReferences(prepared, prepared.split("test"))
    files = [soundfile.read(prepared.root / part.audio.file, dtype="float32")[0] for part in references.tracks[0].parts]
    truth = read(references, ("vc", "fl", "vn"), "a_vn_vn_vc")
    expected = np.stack([files[2], 0 * files[2], files[0] + files[1]], axis=1)
    np.testing.assert_allclose(truth.references, expected, atol=1e-7)
    np.testing.assert_allclose(truth.mixture, sum(files), atol=1e-7)
    assert truth.sample_rate_hz == RATE_HZ
    with pytest.raises(ValueError, match="b_fl has no recorded mixture; take mixture=sum"):
        read(references, ("vc", "fl", "vn"), "b_fl", "recorded")


def test_the_fingerprint_changes_with_the_audio_and_with_nothing_else(tmp_path, make_prepared):
    add_track(tmp_path / "in" / "t", vn=noise(300), vc=noise(300))
    add_track(tmp_path / "in" / "u", vn=noise(300))

    def fingerprints():
        references = FolderReferences(tmp_path / "in", "test")
        return {track.name: references.fingerprint(track) for track in references.tracks}

    before = fingerprints()
    assert before == fingerprints() and before["t"] != before["u"]
    os.utime(tmp_path / "in" / "t" / "vc.wav", ns=(1, 1))
    touched = fingerprints()
    assert touched["t"] != before["t"] and touched["u"] == before["u"]
    add_track(tmp_path / "in" / "t", mixture=noise(300))
    assert fingerprints()["t"] != touched["t"]

    one, other = (make_prepared(names, name=f"p{len(names)}") for names in ({"a_vn": 50}, {"a_vn": 50, "b_vn": 60}))
    first, second = (PreparedReferences(p, p.split("train")) for p in (one, other))
    assert first.fingerprint(first.tracks[0]) == first.fingerprint(first.tracks[0])
    assert first.fingerprint(first.tracks[0]) != second.fingerprint(second.tracks[0])  # other noise
