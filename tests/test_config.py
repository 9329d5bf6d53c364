import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import Config
from Utils import errors_in_one_line

import pytest
from pydantic import Field

ROOT = Path(__file__).resolve().parent.parent


class Net(Config.Group):
    levels: Annotated[int, Field(ge=1)] = 3
    loss: Literal["mse", "log_energy"] = "mse"
    condition: Literal["none", "film"] = "film"
    sources: Config.Names = ("vn", "vc")
    gain: Config.Range = (0.5, 1.0)
    rate: float = 0.1
    weights: str | None = "w"


class Tiny(Config.Group):
    name: str = ""
    fresh: bool = False
    seed: int = 1
    flag: bool = True
    net: Net = Net()


PRESETS = {"deep": {"net": {"levels": 9, "rate": 0.2}}, "slow": {"net": {"rate": 0.3}}}


def resolve(updates, *names):
    return Config.resolve(Tiny, PRESETS, names, updates)


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ({"flag": "false"}, {"flag": False}),
        ({"flag": "true"}, {}),
        ({"name": 7}, {"name": "7"}),
        ({"net": {"rate": "1e-3"}}, {"net": {"rate": 1e-3}}),
        ({"net": {"rate": 1}}, {"net": {"rate": 1.0}}),
        ({"net": {"weights": "null"}}, {"net": {"weights": None}}),
        ({"net": {"weights": "none"}}, {"net": {"weights": None}}),
        ({"net": {"weights": None}}, {"net": {"weights": None}}),
        ({"net": {"condition": "none"}}, {"net": {"condition": "none"}}),
        ({"net": {"sources": "fl,ob"}}, {"net": {"sources": ("fl", "ob")}}),
        ({"net": {"sources": "fl"}}, {"net": {"sources": ("fl",)}}),
        ({"net": {"gain": [0, 2]}}, {"net": {"gain": (0.0, 2.0)}}),
    ],
)
def test_words_become_values(updates, expected):
    found = resolve(updates).model_dump(exclude_defaults=True)
    assert found == expected
    assert repr(found) == repr(expected)  # 1 is not 1.0 and 0 is not False


@pytest.mark.parametrize(
    ("updates", "line"),
    [
        ({"net": {"levls": 3}}, "unknown key 'net.levls'; did you mean 'net.levels'?"),
        ({"levels": 3}, "unknown key 'levels'; did you mean 'net.levels'?"),
        ({"nett": {"levels": 3}}, "unknown key 'nett.levels'; did you mean 'net.levels'?"),
        ({"falg": 3}, "unknown key 'falg'; did you mean 'flag'?"),
        ({"zzz": 3}, "unknown key 'zzz'; known: name, fresh, seed, flag, net"),
        ({"net": {"zzz": 3}}, "unknown key 'net.zzz'; known: net.levels, net.loss, "),
        ({"net": {"levels": "abc"}}, "'net.levels' must be a valid integer; received 'abc'"),
        ({"net": {"levels": 0}}, "'net.levels' must be greater than or equal to 1; received 0"),
        (
            {"net": {"levels": 2.5}},
            "'net.levels' must be a valid integer, got a number with a fractional part; received",
        ),
        ({"net": {"levels": True}}, "'net.levels' must be a valid integer; received 'True'"),
        ({"net": {"levels": {"0": 5}}}, "'net.levels' must be a valid integer; received {'0': 5}"),
        ({"net": {"rate": "abc"}}, "'net.rate' must be a valid number; received 'abc'"),
        ({"net": {"rate": "nan"}}, "'net.rate' must be a finite number; received 'nan'"),
        ({"net": {"loss": "ms"}}, "'net.loss' must be 'mse' or 'log_energy'; received 'ms'; did you mean 'mse'?"),
        ({"net": {"loss": "l2"}}, "'net.loss' must be 'mse' or 'log_energy'; received 'l2'"),
        ({"net": {"gain": {"0": 5}}}, "'net.gain' must be set as a whole, like net.gain=a,b; received net.gain.0=..."),
        ({"net": {"gain": [1]}}, "'net.gain.1' is missing; received [1]"),
        (
            {"net": {"gain": [1, 2, 3]}},
            "'net.gain' must have at most 2 items after validation, not 3; received",
        ),
        ({"net": {"gain": [1, 0.5]}}, "'net.gain' must give the lower bound first; received [1, 0.5]"),
        ({"net": {"gain": [-1, 0]}}, "'net.gain.0' must be greater than or equal to 0; received -1"),
        ({"net": {"sources": "vn,vn"}}, "'net.sources' must give each name once and none empty; received 'vn,vn'"),
        ({"net": 5}, "'net' is a group of keys, like net.key=value; received net=5"),
        ({"flag": "perhaps"}, "'flag' must be a valid boolean; received 'perhaps'"),
        ({"name": True}, "'name' must be a valid string; received True"),
        ({"flag": "x", "seed": "y"}, "'seed' must be a valid integer; received 'y' (and 1 more)"),
    ],
)
def test_mistakes_become_one_line(updates, line):
    with pytest.raises(ValueError) as error:
        resolve(updates)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("depe", "unknown preset 'depe'; did you mean 'deep'?; known presets: deep, slow"),
        ("zzz", "unknown preset 'zzz'; known presets: deep, slow"),
        ("net.deep", "unknown preset 'net.deep'; did you mean 'deep'?; known presets: deep, slow"),
    ],
)
def test_a_misspelt_preset_is_named(name, line):
    with pytest.raises(ValueError, match="^" + line.replace("?", r"\?") + "$"):
        resolve({}, name)


def test_later_presets_win_and_the_command_line_wins_over_all():
    assert resolve({}, "deep", "slow").net == Net(levels=9, rate=0.3)
    assert resolve({}, "slow", "deep").net == Net(levels=9, rate=0.2)
    assert resolve({"net": {"rate": 0.4}}, "deep", "slow").net == Net(levels=9, rate=0.4)


def test_another_runs_configuration_serves_as_a_preset(tmp_path):
    config = resolve({"seed": 5, "net": {"weights": "null", "gain": [0, 1]}}, "deep")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(Config.to_dict(config)))
    assert resolve({}, str(path)) == config
    path.write_text("{")
    with pytest.raises(ValueError, match="config.json is not json: "):
        resolve({}, str(path))
    path.write_text("[]")
    with pytest.raises(ValueError, match="must hold a configuration as a json object; received a list"):
        resolve({}, str(path))
    with pytest.raises(FileNotFoundError):
        resolve({}, str(tmp_path / "none.json"))


def test_a_seed_of_sacreds_own_does_not_disturb_a_schema_without_one():
    assert Config.from_dict(Net, {"levels": 2, "seed": 123}) == Net(levels=2)
    assert Config.from_dict(Tiny, {"seed": 123}).seed == 123


# ---------------------------------------------------------------- the project's own schemas


SCHEMAS = [Config.Training, Config.Test, Config.Evaluate]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_key_is_documented_and_every_default_valid(schema):
    groups = [schema, *(f.annotation for f in schema.model_fields.values() if hasattr(f.annotation, "model_fields"))]
    for group in [*groups, *Config.NETWORKS.values()]:
        for name, field in group.model_fields.items():
            assert field.description or hasattr(field.annotation, "model_fields"), name
    assert Config.from_dict(schema, json.loads(json.dumps(Config.to_dict(schema())))) == schema()


@pytest.mark.parametrize("name", Config.PRESETS)
def test_every_preset_is_valid_and_changes_something(name):
    assert Config.resolve(Config.Training, Config.PRESETS, [name], {}) != Config.Training()


def test_urmp_is_the_published_vimss():
    """Numbers of the published code and README (Veleslavia/vimss)."""
    urmp = Config.resolve(Config.Training, Config.PRESETS, ["urmp"], {})
    assert (urmp.data.sample_rate_hz, urmp.data.channels, len(urmp.data.sources)) == (22_050, 1, 13)
    assert urmp.data.gain == (1.0, 1.0)
    assert (urmp.model.levels, urmp.model.filters, urmp.model.down_size, urmp.model.up_size) == (12, 24, 15, 5)
    assert (urmp.training.steps, urmp.training.batch_size, urmp.training.learning_rate) == (200_000, 64, 1e-5)
    training = urmp.training
    assert (training.decay, training.decay_rate, training.decay_steps) == ("exponential", 0.96, 2_000)
    assert (urmp.training.loss, urmp.training.precision) == ("sum_squared", "mixed_bfloat16")


def test_waveunet_is_the_papers_first_round():
    """Numbers of arXiv 1806.03185, sections 4.2 and 5.1."""
    paper = Config.resolve(Config.Training, Config.PRESETS, ["waveunet"], {})
    assert paper.data.sources == ("accompaniment", "vocals")
    assert paper.data.gain == (0.7, 1.0)
    assert (paper.training.loss, paper.training.learning_rate, paper.training.batch_size) == ("mse", 1e-4, 16)
    assert (paper.training.validate_every, paper.training.patience) == (2_000, 20)
    assert (paper.training.decay, paper.model.conditioning) == ("constant", "none")


STOLLER = {  # arXiv 1806.03185, table 1 and section 5.1: context, output, upsampling, channels, sources, rate
    "baseline": ("same", "direct", "linear", 1, 2, 22_050),
    "baseline_diff": ("same", "difference", "linear", 1, 2, 22_050),
    "baseline_context": ("valid", "difference", "linear", 1, 2, 22_050),
    "baseline_stereo": ("valid", "difference", "linear", 2, 2, 22_050),
    "full": ("valid", "difference", "learned", 2, 2, 22_050),
    "full_44KHz": ("valid", "difference", "learned", 2, 2, 44_100),
    "full_multi_instrument": ("valid", "difference", "linear", 2, 4, 22_050),
    "baseline_comparison": ("valid", "difference", "linear", 1, 2, 8_192),
}


@pytest.mark.parametrize("name", STOLLER)
def test_the_published_wave_u_nets(name):
    config = Config.resolve(Config.Training, Config.PRESETS, [name], {})
    model, data = config.model, config.data
    assert isinstance(model, Config.WaveUNet)
    found = (model.padding, model.output, model.resampling, data.channels, len(data.sources), data.sample_rate_hz)
    assert found == STOLLER[name]
    assert (model.levels, model.down_size, model.up_size, model.slope) == (12, 15, 5, 0.2)
    assert data.sources[-1] == "vocals"  # the original's order, whose last source is the difference


def test_every_preset_tells_its_origin():
    assert set(Config.ORIGINS) == set(Config.PRESETS)


def trained(*names: str, **model: object) -> Config.Training:
    return Config.resolve(Config.Training, Config.PRESETS, names, {"model": model})


def test_another_network_keeps_what_all_networks_have_and_forgets_the_rest():
    model = trained("demo", network="unet_spectrogram").model
    assert isinstance(model, Config.UNetSpectrogram)
    assert (model.conditioning, model.places, model.output) == ("film", ("every", "output"), "consistent")
    assert model.levels == Config.UNetSpectrogram(network="unet_spectrogram").levels  # not the demo's
    assert trained("demo", network="wave_unet").model == trained("demo").model


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (
            {"network": "unet"},
            "'model.network' must be one of wave_unet, unet_spectrogram, band_split; received 'unet'",
        ),
        ({"network": "band_split", "levels": 3}, "unknown key 'model.levels'"),
        ({"network": "unet_spectrogram", "sizes": 3}, "unknown key 'model.sizes'; did you mean 'model.size'?"),
        ({"down_size": 4}, "'model.down_size' must be odd; received 4"),
        ({"resampling": "linea"}, "did you mean 'linear'?"),
    ],
)
def test_mistakes_about_networks(model, line):
    with pytest.raises(ValueError) as mistake:
        trained(**model)
    assert line in str(mistake.value) and "\n" not in str(mistake.value)


# ---------------------------------------------------------------- under Sacred


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """An experiment in an empty folder; its main function returns the configuration that it received."""
    monkeypatch.chdir(tmp_path)
    made = Config.register(Config.Experiment("tiny"), Tiny, PRESETS)
    made.observers.append(Config.RunFolder("runs"))
    made.mistake = None

    @made.main
    def main(_config, _run):
        if made.mistake:
            raise made.mistake
        Path("runs", _run._id, "weights").touch()
        return Config.to_dict(Config.from_dict(Tiny, _config))

    return made


def command(experiment, line):
    with errors_in_one_line("tiny.py"):
        return experiment.run_commandline("tiny.py " + line)


def stored(run, file="config.json"):
    return json.loads(Path("runs", run, file).read_text())


def test_sacred_stores_and_passes_on_what_the_schema_says(experiment):
    run = command(experiment, "with deep flag=false net.weights=null net.sources=fl,ob name=a")
    expected = resolve({"flag": False, "net": {"weights": None, "sources": ["fl", "ob"]}, "name": "a"}, "deep")
    assert run.result == run.config == stored("a") == Config.to_dict(expected)
    assert stored("a", "run.json")["meta"]["named_configs"] == ["deep"]
    assert stored("a", "run.json")["meta"]["config_updates"]["flag"] == "false"


def test_print_config_shows_converted_values_and_leaves_no_run(experiment, capsys):
    command(experiment, "print_config with deep flag=false")
    shown = capsys.readouterr().out
    assert "flag = False" in shown and "levels = 9" in shown
    assert not Path("runs").exists()


def test_the_same_stored_configuration_restores_the_seed(experiment):
    command(experiment, "with seed=77 name=a")
    assert command(experiment, "with runs/a/config.json name=b").config == {**stored("a"), "name": "b"}


@pytest.mark.parametrize("words", ["with net.levls=3", "with depe", "with net.gain.0=5", "with nonsense=1", "with =1"])
def test_mistakes_end_with_one_line_and_no_run(experiment, capsys, words):
    with pytest.raises(SystemExit) as stop:
        command(experiment, words)
    assert str(stop.value.code).startswith("tiny.py: error: unknown ") or "must be set as a whole" in str(stop.value)
    assert capsys.readouterr() == ("", "")
    assert not Path("runs").exists()


def test_a_mistake_in_the_run_marks_it_failed(experiment, capsys):
    experiment.mistake = ValueError("data.prepared: there is no folder x")
    with pytest.raises(SystemExit, match="^tiny.py: error: data.prepared: there is no folder x$"):
        command(experiment, "with name=a")
    assert stored("a", "run.json")["status"] == "FAILED"
    assert "there is no folder x" in "".join(stored("a", "run.json")["fail_trace"])
    assert capsys.readouterr() == ("", "")


def test_a_bug_keeps_its_traceback(experiment):
    experiment.mistake = KeyError("bug")
    with pytest.raises(KeyError):
        command(experiment, "with name=a")
    assert stored("a", "run.json")["status"] == "FAILED"


def test_an_interrupted_run_says_so(experiment, capsys):
    experiment.mistake = KeyboardInterrupt()
    with pytest.raises(SystemExit) as stop:
        command(experiment, "with name=a")
    assert stop.value.code == 130
    assert capsys.readouterr().err == "tiny.py: interrupted\n"
    assert stored("a", "run.json")["status"] == "INTERRUPTED"


def test_runs_without_a_name_are_numbered(experiment):
    assert [command(experiment, "")._id, command(experiment, "")._id, command(experiment, "-i x")._id] == [
        "1",
        "2",
        "x",
    ]


def test_a_finished_run_is_not_overwritten_unless_told(experiment):
    command(experiment, "with name=a seed=1")
    with pytest.raises(SystemExit, match="error: the run runs/a exists already: choose another name=..., or replace"):
        command(experiment, "with name=a seed=2")
    assert stored("a")["seed"] == 1
    command(experiment, "with name=a seed=2 fresh=true")
    assert stored("a")["seed"] == 2


def test_a_run_that_came_to_nothing_is_replaced(experiment):
    experiment.mistake = ValueError("no data")
    with pytest.raises(SystemExit):
        command(experiment, "with name=a")
    experiment.mistake = None
    assert command(experiment, "with name=a").result["name"] == "a"


def test_a_run_that_has_only_begun_is_not_replaced(experiment):
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/run.json").write_text('{"status": "RUNNING"}')
    with pytest.raises(SystemExit, match="the run runs/a exists already"):
        command(experiment, "with name=a")


def test_fresh_deletes_nothing_but_runs(experiment):
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/thesis.txt").touch()
    with pytest.raises(SystemExit, match="runs/a exists already and is no run"):
        command(experiment, "with name=a fresh=true")
    assert Path("runs/a/thesis.txt").exists()


def test_a_run_is_never_stored_in_half(tmp_path, monkeypatch):
    folder = Config.RunFolder(tmp_path)
    folder.dir = str(tmp_path)
    folder.save_json({"status": "RUNNING"}, "run.json")

    def full_disk(tree, file, **options):
        file.write("{")
        raise OSError("no space left on device")

    monkeypatch.setattr(json, "dump", full_disk)
    with pytest.raises(OSError):
        folder.save_json({"status": "COMPLETED"}, "run.json")
    assert json.loads((tmp_path / "run.json").read_text()) == {"status": "RUNNING"}


@pytest.mark.parametrize("name", ["../a", "a/b", "-a", ".a", "_sources", " "])
def test_a_run_name_is_a_plain_folder(name):
    with pytest.raises(ValueError, match="'name' must be a plain folder name"):
        Config.resolve(Config.Training, {}, [], {"name": name})


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import Config
from Utils import errors_in_one_line
experiment = Config.register(Config.Experiment("script"), Config.Training)

@experiment.main
def main(_config):
    print(Config.from_dict(Config.Training, _config).training.xla)

if __name__ == "__main__":
    with errors_in_one_line("script.py"):
        experiment.run_commandline()
"""


def test_sacred_records_the_script_and_not_this_module(experiment):
    assert Path(experiment.mainfile.filename) == Path(__file__).resolve()


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["training.xla=false"], 0, "False\n", ""),
        (["training.xle=false"], 1, "", "script.py: error: unknown key 'training.xle'; did you mean 'training.xla'?\n"),
    ],
)
def test_the_process_says_one_line_and_exits_right(tmp_path, words, code, out, err):
    (tmp_path / "script.py").write_text(SCRIPT.format(root=str(ROOT)))
    line = [sys.executable, "script.py", "with", *words]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)
