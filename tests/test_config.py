import json
from pathlib import Path
from typing import Annotated, Literal

import Config
import Options
from Models.options import NETWORKS, Context, UNetSpectrogram, WaveUNet

import pytest
from pydantic import Field

ROOT = Path(__file__).resolve().parent.parent


Gain = Annotated[float, Field(ge=0, le=4)]


class Net(Options.Options):
    levels: Annotated[int, Field(ge=1)] = 3
    loss: Literal["mse", "log_energy"] = "mse"
    condition: Literal["none", "film"] = "film"
    sources: Options.Names = ("vn", "vc")
    gain: Options.Range[Gain] = (0.5, 1.0)
    rate: float = 0.1
    weights: str | None = "w"


class Tiny(Options.Options):
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
        ({"net": {"gain": [1]}}, "'net.gain' must be a lower and an upper bound, like 1,3; received [1]"),
        (
            {"net": {"gain": [1, 2, 3]}},
            "'net.gain' must be a lower and an upper bound, like 1,3; received [1, 2, 3]",
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
    path.write_text(json.dumps(Options.to_dict(config)))
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
    assert Options.from_dict(Net, {"levels": 2, "seed": 123}) == Net(levels=2)
    assert Options.from_dict(Tiny, {"seed": 123}).seed == 123


# ---------------------------------------------------------------- the project's own schemas


SCHEMAS = [Config.Training, Config.Test, Config.Evaluate]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_key_is_documented_and_every_default_valid(schema):
    groups = [schema, *(f.annotation for f in schema.model_fields.values() if hasattr(f.annotation, "model_fields"))]
    for group in [*groups, *NETWORKS.values()]:
        for name, field in group.model_fields.items():
            assert field.description or hasattr(field.annotation, "model_fields"), name
    assert Options.from_dict(schema, json.loads(json.dumps(Options.to_dict(schema())))) == schema()


@pytest.mark.parametrize("name", Config.PRESETS)
def test_every_preset_is_valid_and_changes_something(name):
    assert Config.resolve(Config.Training, Config.PRESETS, [name], {}) != Config.Training()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"validate_every": 7}, "must have steps that are multiples of validate_every, not 20 and 7"),
        ({"checkpoint_every": 4}, "must have checkpoint_every or validate_every that are multiples of the other"),
        ({"checkpoint_every": 15}, "must have checkpoint_every or validate_every that are multiples of the other"),
        ({"checkpoint_every": 5, "steps_per_execution": 2}, "must have checkpoint_every and validate_every that are"),
        ({"second_round": True, "patience": 0}, "must have patience above 0 with second_round=true"),
        ({"decay": "plateau", "warmup_steps": 2}, "must have warmup_steps=0 with decay=plateau"),
    ],
)
def test_numbers_of_steps_that_do_not_divide_each_other_are_one_line(words, line):
    with pytest.raises(ValueError, match=line):
        Config.resolve(Config.Training, {}, (), {"training": {"steps": 20, "validate_every": 10, **words}})


@pytest.mark.parametrize(("checkpoint_every", "piece"), [(0, 10), (2, 2), (10, 10), (20, 10)])
def test_a_checkpoint_follows_each_validation(checkpoint_every, piece):
    words = {"steps": 20, "validate_every": 10, "checkpoint_every": checkpoint_every}
    assert Config.resolve(Config.Training, {}, (), {"training": words}).training.piece == piece


def test_urmp_is_the_published_vimss():
    """Numbers of the published code and README (Veleslavia/vimss)."""
    urmp = Config.resolve(Config.Training, Config.PRESETS, ["urmp"], {})
    assert (urmp.data.sample_rate_hz, urmp.data.channels, len(urmp.data.sources)) == (22_050, 1, 13)
    assert urmp.augmentation.gain == (1.0, 1.0)
    assert (urmp.model.levels, urmp.model.filters, urmp.model.down_size, urmp.model.up_size) == (12, 24, 15, 5)
    assert (urmp.training.steps, urmp.training.batch_size, urmp.training.learning_rate) == (200_000, 64, 1e-5)
    training = urmp.training
    assert (training.decay, training.decay_rate, training.decay_steps) == ("exponential", 0.96, 2_000)
    assert (urmp.training.loss, urmp.training.precision) == ("sum_squared", "mixed_bfloat16")


def test_waveunet_is_the_papers_first_round():
    """Numbers of arXiv 1806.03185, sections 4.2 and 5.1."""
    paper = Config.resolve(Config.Training, Config.PRESETS, ["waveunet"], {})
    assert paper.data.sources == ("accompaniment", "vocals")
    assert paper.augmentation.gain == (0.7, 1.0)
    assert (paper.training.loss, paper.training.learning_rate, paper.training.batch_size) == ("mse", 1e-4, 16)
    assert (paper.training.validate_every, paper.training.patience) == (2_000, 20)
    assert (paper.training.decay, paper.model.received) == ("constant", ())


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
    assert isinstance(model, WaveUNet)
    found = (model.padding, model.output, model.resampling, data.channels, len(data.sources), data.sample_rate_hz)
    assert found == STOLLER[name]
    assert (model.levels, model.down_size, model.up_size, model.slope) == (12, 15, 5, 0.2)
    assert data.sources[-1] == "vocals"  # the original's order, whose last source is the difference


@pytest.mark.parametrize("name", Config.PRESETS)
def test_every_preset_tells_its_origin_and_how_to_train_it_to_what_score(name):
    assert Config.ORIGINS[name]
    remarks = [line for line in (ROOT / "Presets" / f"{name}.toml").read_text().splitlines() if line.startswith("#")]
    assert f"#     python Training.py with {name} data.prepared=" in "\n".join(remarks)
    assert any(line.startswith("# Expected: ") for line in remarks)


def test_a_preset_that_is_based_on_another_changes_no_more_than_it_says():
    urmp, wide = (Config.resolve(Config.Training, Config.PRESETS, [name], {}) for name in ("urmp", "urmp_wide"))
    changes = Options.changes(*(dict(Options.flat(Options.to_dict(config))) for config in (urmp, wide)))
    assert changes == ["data.output_samples was 16384 and is 147461", "training.batch_size was 64 and is 33"]


def trained(*names: str, **model: object) -> Config.Training:
    return Config.resolve(Config.Training, Config.PRESETS, names, {"model": model})


def test_another_network_keeps_what_all_networks_have_and_forgets_the_rest():
    model = trained("demo", network="unet_spectrogram").model
    assert isinstance(model, UNetSpectrogram)
    assert model.contexts == {"labels": Context(method="film", places=("every", "output"))}
    assert model.output == "consistent"
    assert model.levels == UNetSpectrogram().levels  # not the demo's
    assert trained("demo", network="wave_unet").model == trained("demo").model


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (
            {"network": "unet"},
            "'model.network' must be one of wave_unet, unet_spectrogram, band_split, lstm_unet, recogniser; received",
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


@pytest.mark.parametrize("name", ["../a", "a/b", "-a", ".a", "_sources", " "])
def test_a_run_name_is_a_plain_folder(name):
    with pytest.raises(ValueError, match="'name' must be a plain folder name"):
        Config.resolve(Config.Training, {}, [], {"name": name})


# ---------------------------------------------------------------- contexts


@pytest.mark.parametrize(
    "first, then, expected",
    [
        ({"conditioning": "film"}, {"places": "every"}, ("film", ("every",))),
        ({"contexts": {"labels": {"method": "film"}}}, {"conditioning": "concat"}, ("concat", ("bottleneck",))),
        ({"conditioning": "film"}, {"contexts": {"labels": {"method": "concat"}}}, ("concat", ("bottleneck",))),
        ({"conditioning": "film", "places": ["input"]}, {"conditioning": "none"}, ("none", ("input",))),
    ],
)
def test_what_is_said_later_of_the_labels_wins_in_its_short_form_or_the_long_one(first, then, expected):
    config = Config.resolve(Config.Training, {"first": {"model": first}}, ["first"], {"model": then})
    labels = config.model.contexts["labels"]
    assert (labels.method, labels.places) == expected
    assert config.model.received == (() if labels.method == "none" else ("labels",))
    assert Options.from_dict(Config.Training, Options.to_dict(config)) == config


@pytest.mark.parametrize(
    "updates, message",
    [
        (
            {"model": {"contexts": {"colour": {"method": "film"}}}},
            "must name in model.contexts some of labels, not colour",
        ),
        ({"augmentation": {"drop": {"colour": 0.1}}}, "must name in augmentation.drop some of labels, not colour"),
        ({"model": {"contexts": {"labels": {"methd": "film"}}}}, "did you mean 'model.contexts.labels.method'?"),
        ({"model": {"contexts": {"labels": "film"}, "places": "every"}}, "'model.contexts.labels' is a group of keys"),
        ({"model": {"contexts": 5, "places": "every"}}, "'model.contexts' must be a valid dictionary; received 5"),
        ({"model": {"conditioning": "flim"}}, "'model.contexts.labels.method' must be .*; did you mean 'film'?"),
        (
            {"augmentation": {"drop": {"labels": 0.1}}, "model": {"conditioning": "film", "places": "output"}},
            "withheld",
        ),
    ],
)
def test_a_context_that_cannot_be_is_one_line(updates, message):
    with pytest.raises(ValueError, match=message) as mistake:
        Config.resolve(Config.Training, {}, [], updates)
    assert "\n" not in str(mistake.value)
