"""Estimates + references -> scores, tables, plots.

    python Evaluate.py with run=runs/demo
    python Evaluate.py with run=runs/demo split=test,test_unseen_bank metrics=all oracles=IBM,IRM,MWF
    python Evaluate.py with run=runs/demo probes=no_labels,all_labels,shuffled_labels,wrong_label
    python Evaluate.py with estimates=DIR references=DIR out=SCORES
    python Evaluate.py with estimates=DIR prepared=PREPARED out=SCORES

Estimates are DIR/<track>/<source>.wav, anybody's; a run's own lie where Test.py wrote them. References are a prepared
data set, or lie as URMP, MUSDB18 or <track>/<source>.wav do. OUT/<split> (by default RUN/scores/<split>) then holds
scores.csv (every number), summary.csv, summary.md, boxplot.png, the spectrograms of the track in the middle of the
ranking, and for every track a csv and a json in museval's form. Tracks that were scored before are not scored again.
"""

import Config
import Options
import Utils
from Experiment import Experiment, register


def check(config: Config.Evaluate) -> None:
    """Raises FileNotFoundError or ValueError where a configuration names what is not there, or not enough."""
    from Actions.data import require_scorable

    require_scorable(config)


experiment = register(Experiment("evaluate"), Config.Evaluate, check=check)


@experiment.main
def main(_config: Options.Tree) -> None:
    """Scores each split and prints its table."""
    from Actions.problems import problem_of

    config = Options.from_dict(Config.Evaluate, _config)
    for what, out, text in problem_of(config.run).evaluate(config):
        print(f"\n{what}\n{text}\n\n{out}: {Utils.listing(out)}")


if __name__ == "__main__":
    with Utils.errors_in_one_line("Evaluate.py"):
        experiment.run_commandline()
