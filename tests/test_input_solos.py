import json
from collections import Counter
from pathlib import Path

import Prepare
from Input.prepared import Prepared
from Input.readers.ranges import instrument_code, read_ranges
from Input.readers.solos import solo_tracks
from Input.track_preparation import SourcePart

import numpy as np
import pytest
import soundfile
from encoded import encode

RATE_HZ = 8_000
INSTRUMENTS = ("Violin", "DoubleBass", "Trumpet")


def sound(samples: int, seed: int = 0) -> np.ndarray:
    """Noise that begins with a whole sequence of its own: where an excerpt comes from can be told from any of it."""
    return np.random.default_rng(seed).integers(-5_000, 5_000, (samples, 1)).astype(np.int16)


def add(root: Path, recording: str, seconds: float = 2.0, seed: int = 0) -> Path:
    path = root / recording
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound(round(seconds * RATE_HZ), seed), RATE_HZ)
    (path.parent / f"._{path.name}").touch()
    (path.parent / ".DS_Store").touch()
    return path


def add_many(root: Path, count: int, instruments=INSTRUMENTS) -> None:
    for instrument in instruments:
        for number in range(count):
            add(root, f"{instrument}/-_{instrument[:2]}{number}.wav", 1.0 + 0.1 * number, seed=number)


def write(path: Path, ranges: object) -> Path:
    path.write_text(ranges if isinstance(ranges, str) else json.dumps(ranges))
    return path


# ---------------------------------------------------------------- what is read


def test_a_recording_is_a_track_of_one_part_in_the_code_of_its_instrument(tmp_path):
    path = add(tmp_path, "Double Bass/-0RW_Zt.wav")
    add(tmp_path, "violin/_a b.wav")
    tracks, remarks = solo_tracks(tmp_path)
    assert [(track.name, track.split, track.group) for track in tracks] == [
        ("db_-0RW_Zt", "train", "-0RW_Zt"),
        ("vn__a b", "train", "_a b"),
    ]
    assert tracks[0].parts == (SourcePart(1, "db", path),) and tracks[0].mixture is None and remarks == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        *zip(
            "Bassoon Cello Clarinet DoubleBass Flute Horn Oboe Saxophone Trombone Trumpet Tuba Viola Violin".split(),
            "bn vc cl db fl hn ob sax tbn tpt tba va vn".split(),
            strict=True,
        ),  # the 13 classes of Solos
        ("double_bass", "db"),
        ("Double Bass", "db"),
        ("French Horn", "hn"),
        ("vn", "vn"),
        ("VIOLIN", "vn"),
        ("acoustic_guitar", "acoustic_guitar"),
        ("Erhu", "erhu"),
    ],
)
def test_the_instruments_of_data_sets_have_urmps_codes_where_there_is_one(given, code):
    assert instrument_code(given) == code


def test_the_ranges_of_solos_are_in_frames_of_25_a_second(tmp_path):
    path = add(tmp_path / "audio", "Tuba/_W2V-u.wav", 60.0)
    add(tmp_path / "audio", "Tuba/whole.wav", 3.0)
    add(tmp_path / "audio", "Tuba/none.wav", 3.0)
    add(tmp_path / "audio", "Oboe/_W2V-u.wav", 3.0)
    table = {"Tuba": {"_W2V-u": [[18, 750], [760, 1028]], "none": [], "gone": [[0, 9]]}, "Viola": {"x": [[1, 2]]}}
    tracks, remarks = solo_tracks(tmp_path / "audio", tables=[write(tmp_path / "solos_timestamps.json", table)], test=0)
    named = {track.name: track.parts[0] for track in tracks}
    assert named["tba__W2V-u_0.72-30.00"] == SourcePart(1, "tba", path, 0, (0.72, 30.0))
    assert named["tba__W2V-u_30.40-41.12"].span_seconds == (30.4, 41.12)
    assert named["tba_whole"].span_seconds is None and len(named) == 4
    assert remarks == [
        "2 recording(s) are in no table and taken whole, such as ob/_W2V-u",
        "1 recording(s) have no valid range in the tables and are left out, such as tba/none",
        "2 recording(s) of the tables have no file, such as tba/gone",
    ]


def test_a_csv_is_a_table_in_seconds_and_tables_add_up(tmp_path):
    lines = "\ufeffrecording,instrument,start_seconds,end_seconds,comment\na.wav,Violin,1.5,2.25,x\nb,vn,0,1,\n"
    first = write(tmp_path / "home.csv", lines)
    second = write(tmp_path / "more.json", {"violin": {"a": [[0, 25], [37.5, 56.25]]}})
    assert read_ranges([first, second]) == ({("vn", "a"): [(0.0, 1.0), (1.5, 2.25)], ("vn", "b"): [(0.0, 1.0)]}, [])


# ---------------------------------------------------------------- splits and combined tracks


def test_every_instrument_of_three_is_in_each_split_and_another_recording_moves_no_other(tmp_path):
    add_many(tmp_path, 20)

    def splits():
        return {part.path: track.split for track in solo_tracks(tmp_path)[0] for part in track.parts}

    before = splits()
    for instrument in INSTRUMENTS:
        found = {split for path, split in before.items() if path.parent.name == instrument}
        assert found == {"train", "validation", "test"}
    for number in range(5):
        add(tmp_path, f"Violin/another {number}.wav")
    after = splits()
    stayed = sum(after[path] == split for path, split in before.items())
    assert stayed == len(before) == 60


def test_all_ranges_of_a_recording_are_in_one_split(tmp_path):
    add_many(tmp_path / "audio", 8)
    names = {path.parent.name: {} for path in (tmp_path / "audio").glob("*/*.wav")}
    for path in (tmp_path / "audio").glob("*/[!.]*.wav"):
        names[path.parent.name][path.stem] = [[0, 5], [6, 11], [12, 20]]
    tracks, _ = solo_tracks(tmp_path / "audio", tables=[write(tmp_path / "t.json", names)], validation=0.3, test=0.3)
    splits: dict[Path, set[str]] = {}
    for track in tracks:
        for part in track.parts:
            splits.setdefault(part.path, set()).add(track.split)
    assert len(splits) == 24 and all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize("mix", [(2,), (2, 3), (3,), (5,)])
def test_combined_tracks_have_different_instruments_and_use_every_recording_once(tmp_path, mix):
    add_many(tmp_path, 30)
    tracks = [track for track in solo_tracks(tmp_path, validation=0.3, test=0.3, mix=mix)[0] if track.split != "train"]
    used = Counter(part.path for track in tracks for part in track.parts)
    per_instrument = Counter((track.split, part.path.parent.name) for track in tracks for part in track.parts)
    for track in tracks:
        assert len({part.instrument for part in track.parts}) == len(track.parts) and track.combined
        spans = {part.span_seconds for part in track.parts}
        shortest = min(soundfile.info(part.path).duration for part in track.parts)
        assert spans == {(0.0, shortest)}
    for split in ("validation", "test"):
        found = [track for track in tracks if track.split == split]
        of_the_split = {part.path for track in found for part in track.parts}
        seen: set[Path] = set()
        for number, track in enumerate(found):
            seen |= {part.path for part in track.parts}
            if len(track.parts) < min(mix[number % len(mix)], 3):  # nothing was left of the instruments that it lacks
                own = {part.path.parent for part in track.parts}
                assert {path for path in of_the_split if path.parent not in own} <= seen
    # Twice only what pairs with the last of an instrument that has more recordings than all others:
    assert sum(count - 1 for count in used.values()) <= max(per_instrument.values())
    assert len({track.name for track in tracks}) == len(tracks)


def test_no_recording_is_used_twice_where_the_numbers_allow_it(tmp_path):
    add_many(tmp_path, 6)
    tracks = [track for track in solo_tracks(tmp_path, mix=(3,))[0] if track.split == "test"]
    assert [len(track.parts) for track in tracks] == [3]  # one of each stands in


def test_where_one_instrument_has_more_recordings_the_others_are_used_again(tmp_path):
    add_many(tmp_path, 3, ("Trumpet",))
    add_many(tmp_path, 40, ("Violin",))
    tracks = [track for track in solo_tracks(tmp_path, validation=0.2, test=0.2)[0] if track.split == "test"]
    used = Counter(part.path.parent.name for track in tracks for part in track.parts)
    assert used["Violin"] == used["Trumpet"] == len(tracks) > 3
    violins = [part.path for track in tracks for part in track.parts if part.instrument == "vn"]
    assert len(set(violins)) == len(violins)


# ---------------------------------------------------------------- what is wrong


def test_every_fault_is_a_line(tmp_path):
    root = tmp_path / "audio"
    add_many(root, 2)
    for name in ("Violin/bad.wav", "Tuba/bad.webm"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("no sound")
    add(root, "Violin/twice.wav")
    add(root, "Violin/twice.flac")
    add(root, "скрипка/a.wav")
    table = {"Violin": {"twice": [[30, 20], [0, 10]], "-_Vi0": [[100, 200]]}}
    with pytest.raises(ValueError) as stop:
        solo_tracks(root, tables=[write(tmp_path / "t.json", table), write(tmp_path / "u.json", '{"videos": ["a"]}')])
    begins = [
        f"{root}/скрипка: its name holds no letter or digit",
        f"{root}/Violin/twice.wav: this recording is also {root}/Violin/twice.flac; keep one",
        f"{tmp_path}/t.json: Violin/twice: expected 0 <= start < end. Received: 1.2 s, 0.8 s",
        f"{tmp_path}/u.json is no table of ranges: expected {{instrument: {{recording: [[start, end]]}}}} ",
        f"{root}/Tuba/bad.webm cannot be read as audio",
        f"{root}/Violin/bad.wav cannot be read as audio",
        f"{root}/Violin/-_Vi0.wav lasts 1.00 s; its table has a range from 4.00 s to 8.00 s",
    ]
    lines = str(stop.value).split("\n")
    assert len(lines) == len(begins)
    assert all(any(line.startswith(begin) for line in lines) for begin in begins), lines


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("t.json", "{", "Expecting"),
        ("t.json", "[1]", "items"),
        ("t.json", '{"Violin": {"a": [[1]]}}', "unpack"),
        ("t.json", '{"Violin": {"a": [["x", "y"]]}}', "unsupported operand"),
        ("t.csv", "instrument,recording\nvn,a\n", "no column end_seconds, start_seconds"),
        ("t.csv", "instrument,recording,start_seconds,end_seconds\nvn,a,0,late\n", "late"),
        ("t.csv", "instrument,recording,start_seconds,end_seconds\nvn,a\n", "NoneType"),
        ("t.csv", "", "no column"),
    ],
)
def test_a_broken_table_is_one_line(tmp_path, name, text, reason):
    _, [line] = read_ranges([write(tmp_path / name, text)])
    assert line.startswith(f"{tmp_path / name} is no table of ranges: expected ") and reason in line


@pytest.mark.parametrize("bad", ["1,nan", "inf,inf", "-1,2", "2,2"])
def test_an_impossible_range_is_one_line(tmp_path, bad):
    table = write(tmp_path / "t.csv", f"instrument,recording,start_seconds,end_seconds\nvn,a,{bad}\n")
    _, [line] = read_ranges([table])
    assert "vn/a: expected 0 <= start < end" in line


def test_what_cannot_be_mixed_or_found_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        solo_tracks(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no recording .*Violin/recording.wav"):
        solo_tracks(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such table of ranges: t.json"):
        add_many(tmp_path, 4, ("Clarinet",))
        solo_tracks(tmp_path, tables=[Path("t.json")])
    with pytest.raises(ValueError, match="(?s)for validation are of cl; a mixture needs .*for test are of cl; a"):
        solo_tracks(tmp_path)


# ---------------------------------------------------------------- the whole way


def test_the_command_cuts_ranges_to_the_sample_and_combines_what_is_tested(tmp_path, capsys):
    root, out = tmp_path / "in", tmp_path / "out"
    for number, instrument in enumerate(INSTRUMENTS):
        for take in range(4):
            add(root, f"{instrument}/-{take}_{number}.wav", 2.0 + take, seed=10 * number + take)
    table = write(
        tmp_path / "t.json", {i: {f"-{t}_{n}": [[5, 30]] for t in range(4)} for n, i in enumerate(INSTRUMENTS)}
    )
    Prepare.main(
        ["solos", str(root), str(out), "--ranges", str(table), "--sample-rate", str(RATE_HZ), "--workers", "1"]
    )
    said, bars = capsys.readouterr()
    assert "reading: 100%" in bars and "12/12" in bars
    prepared = Prepared(out)
    assert Counter(track.split for track in prepared.manifest.tracks)["train"] == 6
    for track in prepared.manifest.tracks:
        assert track.samples == RATE_HZ and len(track.parts) == (
            1 if track.split == "train" else len(track.instruments)
        )
        for part in track.parts:
            pcm = prepared.read_pcm(part, 0, RATE_HZ)
            sources = [soundfile.read(path, dtype="int16", always_2d=True)[0] for path in root.glob("*/-*.wav")]
            assert sum(np.array_equal(pcm, source[1_600 : 1_600 + RATE_HZ]) for source in sources) == 1
    keys = f"data.prepared={out} data.sample_rate_hz={RATE_HZ} data.channels=1 data.sources=db,tpt,vn data.mix=2,3\n"
    assert said.endswith(f"train on it: python Training.py with waveunet {keys}")


def test_other_ranges_are_prepared_anew(tmp_path, capsys):
    add_many(tmp_path / "in", 4)
    for frames in (10, 20):
        ranges = {i: {f"-_{i[:2]}{n}": [[0, frames]] for n in range(4)} for i in INSTRUMENTS}
        table = write(tmp_path / "t.json", ranges)
        arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--ranges", str(table), "--workers", "1"]
        Prepare.main(["solos", *arguments, "--sample-rate", str(RATE_HZ)])
        samples = {track.samples for track in Prepared(tmp_path / "out").manifest.tracks}
        assert samples == {frames * RATE_HZ // 25}
    assert len(list((tmp_path / "out").glob("[!.]*/"))) == len(Prepared(tmp_path / "out").manifest.tracks)


def test_recordings_as_they_are_downloaded_are_read(tmp_path):
    """Compressed, of their own rates, a table that says more than there is: all is cut to what all parts have."""
    for instrument in INSTRUMENTS:
        (tmp_path / "in" / instrument).mkdir(parents=True)
        for number in range(3):
            noise = 0.1 * np.random.default_rng(number).standard_normal((60_000 + 500 * number, 2))
            encode(tmp_path / "in" / instrument / f"{number}.webm", [noise], "libopus", 48_000)
    ranges = {instrument: {str(number): [[0, 50]] for number in range(3)} for instrument in INSTRUMENTS}
    table = write(tmp_path / "t.json", ranges)
    arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--ranges", str(table), "--workers", "1"]
    Prepare.main(["solos", *arguments])
    for track in Prepared(tmp_path / "out").manifest.tracks:
        assert 60_000 / 48_000 - 0.01 < track.samples / 22_050 < 61_000 / 48_000 + 0.01
