"""A run + a split -> estimates (wav) and the loss.

    python Test.py with run=runs/demo
    python Test.py with run=runs/demo split=test,test_unseen_bank
    python Test.py with run=runs/demo probes=no_labels,all_labels,shuffled_labels,wrong_label

Writes RUN/estimates/<split>/<track>/<source>.wav, 32-bit float at the run's rate, and RUN/estimates/<split>/test.json,
which holds the loss, what was separated and the checksum of the weights. A source that the separator left exactly
silent has no file. Clips of the best, median and worst track are kept in RUN/listening/<split>. A probe tells a
conditioned separator something else than the truth; its estimates lie in RUN/probes/<probe>/estimates.
"""

import Config
import Options
import Runs
import Utils
from Experiment import Experiment, register


def check(config: Config.Test) -> None:
    """Raises FileNotFoundError or ValueError where a configuration names what is not there."""
    from Actions.data import configuration_of, opened

    run = configuration_of(config.run)
    Runs.checkpoint(config.run)
    prepared = opened(config.prepared or run.data.prepared, config.run)
    for split in config.split:
        prepared.split(split, config.parts or run.data.parts)


experiment = register(Experiment("test"), Config.Test, check=check)


@experiment.main
def main(_config: Options.Tree) -> dict[str, float]:
    """Separates each split; the result is the mean loss of each."""
    from Actions.problems import problem_of

    config = Options.from_dict(Config.Test, _config)
    losses = {}
    for what, loss, out in problem_of(config.run).test(config):
        losses[what] = loss
        print(f"loss {loss:.5g} on {what}: {out}")
    probes = f" probes={','.join(config.probes)}" if config.probes else ""
    print(f"score them with  python Evaluate.py with run={config.run} split={','.join(config.split)}{probes}")
    return losses


if __name__ == "__main__":
    with Utils.errors_in_one_line("Test.py"):
        experiment.run_commandline()
