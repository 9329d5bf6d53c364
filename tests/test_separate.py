"""Separate.py as people of other separators use it: which files are read, how stems are called, how loud they are."""

import os
import shutil
from pathlib import Path

from Actions.run import Run
from Files import Output

import numpy as np
import pytest
import soundfile
from joblib.externals.loky import get_reusable_executor
from scripts import Said, call
from test_scripts import TINY

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]

RATE_HZ = 8_000
RUN = ("--run", "runs/tiny", "--labels", "vn,vc")


@pytest.fixture(scope="module")
def place(place):
    """A folder with a run that separates four sources."""
    assert call("Training.py", "with", *TINY, "data.prepared=prepared", "name=tiny") == 0
    return place


@pytest.fixture
def here(place, tmp_path, monkeypatch, capsys):
    """Separates in a folder of its own, in which `runs` is; returns what was said."""
    (tmp_path / "runs").symlink_to(place / "runs")
    monkeypatch.chdir(tmp_path)

    def separate(*arguments: object) -> Said:
        capsys.readouterr()
        code = call("Separate.py", *arguments, *RUN)
        return Said(code, *capsys.readouterr())

    return separate


def sound(path: str, samples: int = 3_000, channels: int = 1, level: float = 0.1, seed: int = 0) -> np.ndarray:
    signal = (level * np.random.default_rng(seed).standard_normal((samples, channels))).astype(np.float32)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signal, RATE_HZ, "FLOAT" if path.endswith("wav") else None)
    return signal


def tree(root: str = ".") -> dict[str, bytes]:
    files = [path for path in Path(root).rglob("*") if path.is_file() and ".vimss" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


# ---------------------------------------------------------------- nothing of people's is lost


def test_a_recording_in_the_folder_of_its_stems_is_refused_before_anything_is_written(here):
    sound("song/song.wav")
    Path("song/notes.txt").write_text("mine")
    before = tree()
    said = here("song/song.wav", "-o", ".")
    assert said.code == 1 and "song/song.wav lies in" in said.err and said.err.count("error:") == 1
    assert tree() == before
    sound("vn/song.wav")  # in a folder that is called as a stem
    before = tree()
    said = here("vn/song.wav", "-o", ".", "--filename", "{stem}/{track}.{ext}")
    assert said.code == 1 and "vn/song.wav lies in" in said.err and tree() == before


def test_stems_that_are_not_asked_for_again_stay_and_strangers_are_refused(here):
    sound("song.wav")
    Path("out/song").mkdir(parents=True)
    Path("out/song/lyrics.txt").write_text("la")
    assert here("song.wav", "-o", "out", "--stems", "vn").code == 0
    vn = Path("out/song/vn.wav").read_bytes()
    assert here("song.wav", "-o", "out", "--stems", "vc").code == 0
    assert set(tree("out")) == {"song/vn.wav", "song/vc.wav", "song/lyrics.txt"}
    assert Path("out/song/vn.wav").read_bytes() == vn
    Path("out/song/vn.wav").write_bytes(b"edited by hand")
    before = tree()
    said = here("song.wav", "-o", "out")
    assert said.code == 1 and "out/song/vn.wav was not written by this program, or was changed since" in said.err
    assert tree() == before


def test_stems_are_not_separated_again(here):
    sound("music/a.wav")
    assert here("music", "-o", "music/stems").code == 0
    first = tree("music")
    said = here("music", "-o", "music/stems")
    assert said.code == 0 and "2 file(s) that this program made are left out" in said.err
    assert tree("music") == first


# ---------------------------------------------------------------- which files


def test_a_folder_gives_all_its_sound_linked_folders_once_and_names_the_rest(here):
    for name in ("one.wav", "two.flac", "deep/three.aiff", "deep/er/four.ogg", ".hidden.wav"):
        sound(f"music/{name}")
    sound("elsewhere/five.au")
    Path("music/linked").symlink_to(Path("elsewhere").resolve())
    Path("music/deep/loop").symlink_to(Path("music").resolve())
    Path("music/cover.jpg").write_bytes(b"jpg")
    said = here("music")
    assert said.code == 0, said.err
    assert {path.name for path in Path("separated").glob("[!.]*")} == {"one", "two", "three", "four", "five"}
    assert "note: 1 file(s) without an ending of sound are left out: music/cover.jpg" in said.err


def test_what_is_wrong_with_one_file_is_its_own_fault(here):
    sound("good.wav")
    Path("text.wav").write_text("no sound")
    shutil.copy("good.wav", f"{'x' * 251}.wav")  # its stems are in a folder of that name
    strange = os.fsdecode(b"caf\xe9.wav")
    shutil.copy("good.wav", strange)
    Path("separated").mkdir()
    Path("separated/file").write_text("in the way")
    shutil.copy("good.wav", "file.wav")
    said = here("text.wav", "file.wav", strange, f"{'x' * 251}.wav", "good.wav")
    faults = [line for line in said.err.splitlines() if "error:" in line]
    assert said.code == 1 and len(faults) == 3, said.err
    assert "text.wav" in faults[0] and "separated/file" in faults[1] and "caf" in faults[2]
    assert set(tree("separated")) == {"file", *(f"{n}/{s}.wav" for n in ("good", "x" * 251) for s in ("vn", "vc"))}
    assert Path("separated/file").read_text() == "in the way"


# ---------------------------------------------------------------- how stems are written


@pytest.fixture
def loud(monkeypatch):
    """A run whose stems are three times the mixture, and one and a half times."""

    def separated(separator, lengths, mixture, labels=None, *, samples=None, window_samples=0):
        for block in mixture:
            stems = np.zeros((len(block), 13, block.shape[1]), np.float32)
            stems[:, -1], stems[:, -2] = 3 * block, 1.5 * block  # vn, vc
            yield stems

    monkeypatch.setattr("Actions.separation.separate", separated)


@pytest.mark.parametrize("mode", [None, "rescale", "clamp", "none"])
@pytest.mark.parametrize("float32", [False, True])
def test_stems_beyond_full_scale(here, loud, mode, float32):
    mixture = sound("song.wav", channels=2, level=0.3)
    said = here("song.wav", *(["--clip-mode", mode] if mode else []), *(["--float32"] if float32 else []))
    assert said.code == 0, said.err
    vn, vc = (soundfile.read(f"separated/song/{stem}.wav", dtype="float32")[0] for stem in ("vn", "vc"))
    peak = 3 * np.abs(mixture).max()
    if mode == "rescale" or (mode is None and not float32):
        np.testing.assert_allclose(vn, 3 * mixture / peak, atol=1.01 / 32768)
        np.testing.assert_allclose(vc, 1.5 * mixture / peak, atol=1.01 / 32768)  # by the same factor
        assert (
            f"reach {peak:.2f} times full scale, so that all were lowered by {20 * np.log10(peak):.1f} dB" in said.err
        )
    elif float32:
        np.testing.assert_allclose(vn, 3 * mixture, rtol=1e-6)
        assert "note" not in said.err
    else:
        np.testing.assert_allclose(vn, np.clip(3 * mixture, -1, 1), atol=1.01 / 32768)
        beyond = int((np.abs(3 * mixture) > 1).sum())
        assert f"{beyond:,} samples of vn were beyond full scale and clipped" in said.err and "--float32" in said.err


def test_flac_mp3_and_names_as_wanted(here):
    sound("song.ogg", 20_000)
    assert here("song.ogg", "--flac", "--int24", "--filename", "{stem}/{track}.{trackext}.{ext}").code == 0
    assert soundfile.info("separated/vn/song.ogg.flac").subtype == "PCM_24"
    assert here("song.ogg", "--mp3", "--mp3-bitrate", "64", "--filename", "{track}_{stem}.{ext}", "-o", ".").code == 0
    wav = here("song.ogg", "--float32")
    assert wav.code == 0
    mp3, _ = soundfile.read("song_vn.mp3")
    exact, _ = soundfile.read("separated/song/vn.wav")
    assert soundfile.info("separated/vn/song.ogg.flac").frames == len(exact)
    assert np.sqrt(np.mean((mp3[: len(exact)] - exact[: len(mp3)]) ** 2)) < 0.2 * exact.std() + 1e-3


@pytest.mark.parametrize("name", ["{track}.{ext}", "../{stem}.wav", "/x/{stem}", "{stem}/{nothing}", "{0}{stem}", ""])
def test_a_file_name_that_cannot_be_is_told_at_once(here, name):
    assert here("song.wav", "--filename", name).code == 2


def test_several_files_at_a_time_give_the_same_stems(here):
    for number in range(3):
        sound(f"music/{number}.wav", seed=number)
    assert here("music", "-o", "one").code == 0
    get_reusable_executor().shutdown(wait=True)  # joblib's processes of another test stay in its folder, which is gone
    assert here("music", "-o", "two", "-j", "2").code == 0
    assert tree("one") == tree("two") and len(tree("one")) == 6


# ---------------------------------------------------------------- what belongs together


def test_a_run_whose_configuration_was_edited_is_refused(here, place):
    sound("song.wav")
    shutil.copytree(place / "runs/tiny", "edited")
    config = Path("edited/config.json")
    config.write_text(config.read_text().replace('"levels": 3', '"levels": 4'))
    assert call("Separate.py", "song.wav", "--run", "edited", "--labels", "vn") == 1
    with pytest.raises(ValueError, match="model.levels was 3 and is 4. Put it back as it was"):
        Run("edited")
    assert not Path("separated").exists()


@pytest.mark.parametrize(
    "edit", [('"levels": 3', '"levels": 4'), ('"valid"', '"same"'), ('"down_size": 15', '"down_size": 9')]
)
def test_so_is_one_of_an_earlier_version_whose_network_is_another(place, tmp_path, edit):
    """Its checkpoint does not say what it was made with; its weights and its lengths do."""
    shutil.copytree(place / "runs/tiny", tmp_path / "old")
    checkpoint = tmp_path / "old/best.keras"
    strip(checkpoint)
    assert Run(tmp_path / "old").lengths
    config = tmp_path / "old/config.json"
    assert edit[0] in config.read_text()
    config.write_text(config.read_text().replace(*edit))
    with pytest.raises(ValueError, match=r"best.keras is another network than .*config.json describes"):
        Run(tmp_path / "old")


def strip(checkpoint: Path) -> None:
    """Takes out of a checkpoint what it says of its configuration."""
    import zipfile

    with zipfile.ZipFile(checkpoint) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != "vimss.json"}
    with zipfile.ZipFile(checkpoint, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_scores_and_estimates_know_the_weights_that_made_them(place, tmp_path, monkeypatch, capsys):
    shutil.copytree(place / "runs/tiny", tmp_path / "runs/mine")
    (tmp_path / "prepared").symlink_to(place / "prepared")
    monkeypatch.chdir(tmp_path)
    run = "runs/mine"
    assert call("Test.py", "with", f"run={run}") == 0
    assert call("Evaluate.py", "with", f"run={run}") == 0
    assert call("Compare.py", run) == 0
    best = Path(run, "best.keras")
    strip(best)  # other bytes, as those of other weights
    for script, words in (("Evaluate.py", ("with", f"run={run}")), ("Compare.py", (run,))):
        capsys.readouterr()
        assert call(script, *words) == 1
        said = capsys.readouterr().err
        assert "was made with other weights than runs/mine/best.keras holds now" in said
        assert f"python Test.py with run={run} split=test" in said
    assert call("Test.py", "with", f"run={run}") == 0
    capsys.readouterr()
    assert call("Compare.py", run) == 1
    assert "is not of the estimates beside" in capsys.readouterr().err
    assert call("Evaluate.py", "with", f"run={run}") == 0 and call("Compare.py", run) == 0
    assert Output(run).owns("scores/test/scores.csv")
