"""VIMSS from Python: load a run and separate, train, test, evaluate.

    from vimss import Run, configuration, evaluate, test, train

What lies at the top of the repository (`Config`, `Utils`, `Models`, ...) is imported under these names; in a wheel it
is the folder `home` beside this file. `docs/python.md` shows all of it at work.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

HOME = Path(__file__).parent / "home"
if not HOME.is_dir():  # a checkout
    HOME = Path(__file__).resolve().parents[1]
NAMES = (
    "Actions",
    "Claims",
    "Config",
    "Experiment",
    "Files",
    "Input",
    "Learning",
    "Metrics",
    "Models",
    "Options",
    "Runs",
    "Utils",
)
for _name in NAMES:
    _file = getattr(sys.modules.get(_name), "__file__", None)
    if _file and not Path(_file).resolve().is_relative_to(HOME.resolve()):
        raise ImportError(f"vimss has a module called {_name}, and {_file} is loaded under this name; rename that one")
if str(HOME) not in sys.path:
    sys.path.insert(0, str(HOME))

import Utils  # noqa: E402, F401  # before Keras is loaded, which it makes quiet

if TYPE_CHECKING:
    from Actions.run import Run
    from Config import Training

    import pandas

__all__ = ["HOME", "Run", "configuration", "evaluate", "test", "train"]


def __getattr__(name: str) -> Any:
    if name == "Run":  # not before it is wanted: it loads Keras
        from Actions.run import Run

        return Run
    raise AttributeError(f"module 'vimss' has no attribute {name!r}")


def configuration(*presets: str, **settings: object) -> "Training":
    """The configuration of a training.

    Args:
        presets: of `Config.PRESETS`, or paths of stored configurations (runs/x/config.json), applied in order.
        settings: values by key, which win over the presets; `__` stands for the dot: `training__steps=600`.

    Raises:
        ValueError: one line about the first mistake.
    """
    import Config
    import Options

    updates = Options.nested({key.replace("__", "."): value for key, value in settings.items()})
    return Config.resolve(Config.Training, Config.PRESETS, presets, updates)


def train(config: "Training", run_dir: str | Path) -> float:
    """Trains into a run's folder, or goes on where an earlier call was stopped; returns the best validation loss.

    Args:
        config: as `configuration` makes it.
        run_dir: a new folder, or that of a run with the same configuration. Test, Separate and the scripts accept it.

    Raises:
        FileNotFoundError, ValueError: if the data set does not fit, the folder is no run's or of another configuration,
            another process trains it, or a loss is no number.
    """
    import Options
    from Actions.data import require_trainable_here
    from Claims import run_folder

    if config.training.processes > 1:
        raise ValueError("expected training.processes=1; several processes train by Training.py")
    require_trainable_here(config)
    with run_folder(Path(run_dir), Options.to_dict(config)):
        from Actions import training

        return training.train(config, Path(run_dir)).best or float("nan")


def test(run: str | Path, split: str | Sequence[str] = "test", **settings: object) -> dict[str, float]:
    """Separates splits of a prepared data set with a run's best weights, as Test.py does.

    Args:
        run: the run's folder, where the estimates go.
        split: which split, or several.
        settings: what else `Config.Test` may be given, such as prepared=... or probes=("no_labels",).

    Returns:
        The mean loss of each split (and probe).

    Raises:
        FileNotFoundError, ValueError: as Test.py says in one line.
    """
    import Config
    import Options
    from Actions.problems import problem_of

    config = Options.from_dict(Config.Test, {"run": str(run), "split": split, **settings})
    return {what: loss for what, loss, _ in problem_of(config.run).test(config)}


def evaluate(**settings: object) -> Mapping[str, "pandas.DataFrame"]:
    """Scores estimates, of a run or of anybody, as Evaluate.py does.

    Args:
        settings: of `Config.Evaluate`: run=..., or estimates=..., references=... (or prepared=...) and out=...

    Returns:
        The scores of each split (and probe): a row a track, source, method, metric and moment; of a run that recognises
        a row a track, window and source, with the probability and whether it plays.

    Raises:
        FileNotFoundError, ValueError: as Evaluate.py says in one line.
    """
    import Config
    import Options
    from Actions.problems import problem_of

    config = Options.from_dict(Config.Evaluate, settings)
    problem = problem_of(config.run)
    return {what: problem.read(out) for what, out, _ in problem.evaluate(config) if not what.endswith(", probes")}
