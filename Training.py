"""A prepared data set + a configuration -> a run.

    python Training.py with demo data.prepared=PREPARED name=demo
    python Training.py print_config with urmp
    python Training.py list_models
    python Training.py find_learning_rate with demo data.prepared=PREPARED

The run's folder, runs/<name>, then holds the configuration (config.json), the weights of the best validation
(best.keras), the losses (log.jsonl, curve.png), what TensorBoard reads (tensorboard/), and all that it takes to go on
(state.npz): the same command goes on where the run was stopped or killed, and ends as if it had not been.
"""

import math
from typing import Any

import Config
import Options
import Runs
import Utils
from Experiment import Experiment, RunFolder, folder_of, process_index, register
from Files import Output


def check(config: Config.Training) -> None:
    """Raises FileNotFoundError or ValueError where a configuration names what is not there."""
    from Actions.data import require_trainable_here

    require_trainable_here(config)


experiment = register(Experiment("training"), Config.Training, Config.PRESETS, check)
experiment.observers.append(RunFolder(Runs.RUNS))


@experiment.command(unobserved=True)
def list_models() -> None:
    """Prints what each preset builds: weights, lengths of an excerpt, and the work of separating a second of audio."""
    from Actions.training import model_table

    print(model_table())


@experiment.command(unobserved=True)
def find_learning_rate(_config: Options.Tree) -> None:
    """Trains 100 steps while the rate rises from 1e-6 to 1; suggests one; draws the losses: runs/learning_rate.png."""
    config = Options.from_dict(Config.Training, _config)
    check(config)
    output = Output(Runs.RUNS)
    output.require_free(["learning_rate.png"])
    from Actions import training

    with output.file("learning_rate.png") as png:
        suggested = training.find_learning_rate(config, png)
    print(f"{suggested}; {output.root / 'learning_rate.png'}")


@experiment.main
def main(_config: Options.Tree, _run: Any) -> float:
    """Trains; the result that Sacred keeps is the best validation loss."""
    from Actions.training import stop_signals, train

    config = Options.from_dict(Config.Training, _config)
    run_dir = folder_of(_run)
    with stop_signals() as asked_to_stop:
        course = train(config, run_dir, _run.log_scalar, asked_to_stop)
    if config.training.processes > 1 and process_index():
        return course.best or math.nan  # the first process speaks for all
    print(f"best validation loss {course.best:.5g} at step {course.best_step} of {course.step}")
    print(f"{run_dir}: score it with  python Test.py with run={run_dir} && python Evaluate.py with run={run_dir}")
    return course.best or math.nan


if __name__ == "__main__":
    with Utils.errors_in_one_line("Training.py"):
        experiment.run_commandline()
