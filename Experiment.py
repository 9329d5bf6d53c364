"""Sacred's experiments, with a checked command line, each of whose runs keeps its folder.

Sacred parses the command line and keeps the run; Config decides what the words mean, because Sacred lets a nested typo
pass with a warning, keeps `flag=false` as a truthy string and turns a list into a dict at `list.0=5`.
"""

import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import Claims
import Config
import Options
import Runs
from Files import Output, whole_file

pandas = sys.modules.get("pandas")
with warnings.catch_warnings():  # sacred 0.8.7 imports pkg_resources, which warns of its own end
    warnings.simplefilter("ignore")
    if pandas is None:
        sys.modules["pandas"] = None  # type: ignore[assignment]  # half a second, for data frames in configurations
    import sacred
    from sacred.observers import FileStorageObserver
    from sacred.utils import apply_backspaces_and_linefeeds, convert_to_nested_dict
if pandas is None:
    del sys.modules["pandas"]

sacred.SETTINGS.CAPTURE_MODE = "sys"  # the default, "fd", hides the terminal from progress bars


class CheckedExperiment(sacred.Experiment):
    """Sacred's experiment, whose command line is checked against a schema before Sacred merges anything.

    A config hook cannot do this: what it returns is overwritten by the words of the command line as Sacred parsed them.
    """

    schema: type[Options.Options]
    presets: Mapping[str, Options.Tree]
    check: Callable[[Any], None]
    typed: Mapping[str, Options.Word] = {}

    def run_commandline(self, argv: str | Sequence[str] | None = None) -> sacred.run.Run | None:
        """Runs what a command line says, as `sacred.Experiment.run_commandline` does, with our own help.

        Raises:
            ValueError: if a word is no command, and is a setting before which `with` is missing.
        """
        argv = shlex.split(argv) if isinstance(argv, str) else list(sys.argv if argv is None else argv)
        command = next((word for word in argv[1:] if not word.startswith("-")), "")
        if {"-h", "--help"} & set(argv[1:]) or (command == "help" and len(argv) == 2):
            print(self.help(Path(argv[0]).name))
            return None
        if command != "with" and command not in self.commands and (command in self.presets or "=" in command):
            raise ValueError(f"expected `with` before settings:  python {argv[0]} with {' '.join(argv[1:])}")
        settings = argv[argv.index("with") + 1 :] if "with" in argv else []
        pairs = [word.partition("=") for word in settings if "=" in word and not word.startswith("-")]
        self.typed = {key: Options.Word(text) for key, _, text in pairs}
        if {"-D", "--pdb"} & set(argv[1:]) and importlib.util.find_spec("ipdb"):
            sys.modules["pdb"] = importlib.import_module("ipdb")  # which Sacred opens where a run fails
        return super().run_commandline(argv)

    def help(self, script: str) -> str:
        """What the script does, its commands, its settings with their defaults, and Sacred's options."""
        document = str(sys.modules["__main__"].__doc__ or "")
        usage = self.get_usage(script)[1]
        options = usage[usage.index("Options:") :].partition("Arguments:")[0]
        presets = f"Presets: {', '.join(self.presets)}\n\n" if self.presets else ""
        lines = [
            f"python {script} [COMMAND] [with {'[PRESET ...] ' if self.presets else ''}[KEY=VALUE ...]] [OPTIONS]",
            "",
            document.strip(),
            "",
            "Commands:",
            *(
                f"  {name:24}{(command.__doc__ or '').strip().splitlines()[0]}"
                for name, command in self.gather_commands()
                if command.__doc__
            ),
            "",
            f"{presets}Settings, each with its default:",
            *(Options.explained(self.schema())),
            "",
            f"Sacred's {options.strip()}",
        ]
        return "\n".join(lines)

    def run(
        self,
        command_name: str | None = None,
        config_updates: dict[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        info: dict[str, Any] | None = None,
        meta_info: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> sacred.run.Run:
        """Runs a command as `sacred.Experiment.run` does; a mistake in the configuration raises ValueError."""
        if options and not options["--pdb"]:
            options["--debug"] = True  # lets exceptions reach the script, whose errors_in_one_line prints them
        if options and options["--id"]:
            self.typed = {"name": Options.Word(options["--id"]), **self.typed}
        typed, self.typed = self.typed, {}  # for this call alone
        updates = Options.nested(typed) if typed else convert_to_nested_dict(config_updates or {})
        config = Config.resolve(self.schema, self.presets, named_configs, updates)
        if command_name == self.default_command:
            self.check(config)
        said = {"config_updates": config_updates or {}, "named_configs": list(named_configs), **(meta_info or {})}
        self.configurations = [
            sacred.config.ConfigDict(Options.to_dict(config))
        ]  # not merged: each network has its own keys
        return super().run(command_name, {}, (), info, said, options)


class RunFolder(FileStorageObserver):
    """Keeps a run in `<folder>/<name>` (its `dir`), or in the next free number where the configuration has no name.

    A run that is there already goes on, if the configuration is the same; so does the last unfinished one of the same
    configuration where there is no name.
    """

    follows = False

    def started_event(self, *, config: Options.Tree, _id: str | None, **event: Any) -> str:
        """Called by Sacred when a run starts; returns the folder's name, which becomes the run's id.

        Raises:
            ValueError: if the folder is no run, another configuration's, or another process trains it.
        """
        self.dir: str | None = None
        name = config["name"] or self._unfinished(config)  # and not a database's _id, which counts runs of its own
        self.follows = config.get("training", {}).get("processes", 1) > 1 and process_index() > 0
        if self.follows:  # the first process keeps the run of them all
            self.dir, self.config = os.path.join(self.basedir, config["name"]), config
            self.run_entry: dict[str, Any] = {"resources": []}
            return config["name"]
        if name:
            Claims.make_room(Path(self.basedir, name), config)
        return super().started_event(config=config, _id=name, **event)

    def save_json(self, obj: Any, filename: str) -> None:
        """Called by Sacred every ten seconds; a run that is killed meanwhile keeps the whole file of before."""
        if self.follows or self.dir is None:
            return
        with whole_file(Path(self.dir, filename).absolute()) as partial:
            super().save_json(obj, str(partial))

    def save_cout(self) -> None:
        """Called by Sacred with what the script printed."""
        if not self.follows:
            super().save_cout()

    def completed_event(self, stop_time: Any, result: Any) -> None:
        """Called by Sacred when the run ends well."""
        super().completed_event(stop_time, result)
        self._unlock()

    def interrupted_event(self, interrupt_time: Any, status: str) -> None:
        """Called by Sacred when the run is stopped."""
        super().interrupted_event(interrupt_time, status)
        self._unlock()

    def failed_event(self, fail_time: Any, fail_trace: Any) -> None:
        """Called by Sacred when the run fails, also where it could not start: then there is nothing to keep."""
        if self.dir is not None:
            super().failed_event(fail_time, fail_trace)
            self._unlock()

    def _unlock(self) -> None:
        if not self.follows:
            self._lock.close()

    def _make_run_dir(self, _id: str | None) -> None:
        if _id is None:
            super()._make_run_dir(_id)
            self._lock = Claims.locked(Path(str(self.dir)))  # until this process ends, however it ends
            Output(str(self.dir)).adopt()
            return
        folder = Path(self.basedir, _id)
        self._lock = Claims.begun(folder)
        (folder / "metrics.json").unlink(missing_ok=True)  # a run that goes on tells its numbers from the first
        self.dir = str(folder)

    def _unfinished(self, config: Options.Tree) -> str | None:
        numbered = [path for path in Path(self.basedir).glob("*/config.json") if path.parent.name.isdigit()]
        for path in sorted(numbered, key=lambda path: -int(path.parent.name)):
            folder = path.parent
            with contextlib.suppress(ValueError), Claims.locked(folder):
                named = Runs.stored_config(folder).get("name")
                if named or config["fresh"] or Claims.differences(folder, config) or Runs.status(folder) == "COMPLETED":
                    continue
                print(f"going on with {folder}, which was stopped; fresh=true starts another one")
                return folder.name
        return None


def folder_of(run: sacred.run.Run) -> Path:
    """Where a run is kept, beside what other observers keep of it.

    Raises:
        ValueError: if it is unobserved.
    """
    for observer in run.observers:
        if isinstance(observer, RunFolder):
            return Path(str(observer.dir))
    raise ValueError("expected a run that has a folder. Received: -u, --unobserved; leave it out")


def process_index() -> int:
    """This process's place among those that train together, as the launcher of each told it; 0 for one alone."""
    told = ("JAX_PROCESS_ID", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "TPU_WORKER_ID")
    return next((int(os.environ[name]) for name in told if os.environ.get(name, "").isdigit()), 0)


def _git_answers() -> bool:
    """Whether git can describe this folder; Sacred stops where it is missing, distrusts the folder or has no commit."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "--verify", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


# A partial and no constructor: Sacred records the script, and what it imports, by looking one frame up.
Experiment = functools.partial(CheckedExperiment, save_git_info=_git_answers())


def register(
    experiment: CheckedExperiment,
    schema: type[Options.Options],
    presets: Mapping[str, Options.Tree] | None = None,
    check: Callable[[Any], None] = lambda config: None,
) -> CheckedExperiment:
    """Prepares an `Experiment`; returns it.

    Args:
        experiment: as Sacred makes it.
        schema: what may be set.
        presets: differences from the schema's defaults by name.
        check: raises ValueError or FileNotFoundError for a configuration that cannot run, before an earlier run has to
            make room for this one.
    """
    experiment.schema, experiment.presets, experiment.check = schema, presets or {}, check
    for name, tree in experiment.presets.items():
        experiment.add_named_config(name, dict(tree))

    def print_config(_config: Options.Tree) -> None:
        """Prints every setting with its value, what else it may be, and what it is."""
        print(*Options.explained(Options.from_dict(schema, _config)), sep="\n")

    experiment.command(print_config, unobserved=True)  # in place of Sacred's, which knows no documentation
    experiment.captured_out_filter = apply_backspaces_and_linefeeds  # or progress bars fill cout.txt
    experiment.logger = logging.getLogger("sacred")
    experiment.logger.handlers = [logging.StreamHandler()]
    experiment.logger.setLevel(logging.CRITICAL)  # `-l INFO` brings Sacred's own messages back
    return experiment
