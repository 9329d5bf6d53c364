"""Variants of the demo, trained alike and compared: `python -m benchmarks.variants PREPARED --seconds 300 VARIANT...`.

A variant is the keys in which it differs from the preset `demo`, such as `model.network=band_split` or
`training.precision=mixed_bfloat16,training.learning_rate=2e-3`, or `demo` itself. Each trains on the training split of
the prepared data set for the same number of `--steps`, or for the same `--seconds` of processor time (over all cores,
compilation left out), while its learning rate falls along a cosine; then it separates the test split.

Prints one JSON line a variant: steps, processor seconds, weights, medians of SDR and SI-SDR improvement over the
sources of all test tracks in dB, and the training loss averaged over every 20 steps (`losses`); and from the second
variant on the largest difference of those from the first one's, relative to it (`loss_difference`), and the difference
in SDR.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import Config
import Metrics
import Utils
from Actions.task import new_network, sources_of, training_examples
from Actions.testing import separate_track
from benchmarks.steps import on_arrays
from Input.examples import Excerpt
from Input.pipeline import training_batches
from Input.prepared import Prepared
from Input.references import PreparedReferences
from Input.sources import Sources
from Models import networks
from Models.lengths import Lengths

import keras
import numpy as np
import pandas as pd
from sacred.utils import convert_to_nested_dict

SMOOTHED_STEPS = 20


def main() -> None:
    """Trains, tests and prints variant after variant."""
    options = _parser().parse_args()
    first: dict[str, Any] = {}
    for words in options.variants:
        updates = dict(pair.split("=", 1) for pair in words.split(",") if words != "demo")
        updates |= {"data.prepared": str(options.prepared), "training.decay": "constant"}
        config = Config.resolve(Config.Training, Config.PRESETS, ["demo"], convert_to_nested_dict(updates))
        result = {"benchmark": "variants", "variant": words, **measured(config, options.steps, options.seconds)}
        first = first or result
        if result is not first:
            pairs = zip(first["losses"], result["losses"], strict=False)
            result["loss_difference"] = round(max(abs(mine - its) / its for its, mine in pairs), 4)
            result["sdr_difference_db"] = round(result["sdr_db"] - first["sdr_db"], 3)
        print(json.dumps(result), flush=True)


def measured(config: Config.Training, steps: int, seconds: float) -> dict[str, Any]:
    """Trains one variant from fresh weights and tests it."""
    prepared = Prepared(config.data.prepared)
    separator = new_network(config)
    lengths = networks.lengths(config.data.output_samples, **config.model.model_dump())
    output_samples = lengths.output_samples(config.data.output_samples)
    excerpt = Excerpt(lengths.input_samples(output_samples), output_samples)
    examples = training_examples(config, prepared, excerpt)
    batches = iter(training_batches(examples, config.training.batch_size))
    model = on_arrays(config, separator, examples.batch(range(config.training.batch_size)))
    variables = [*separator.variables, *model.optimizer.variables]
    fresh = [keras.ops.convert_to_numpy(variable) for variable in variables]
    model.train_on_batch(next(batches))  # compiles
    for variable, value in zip(variables, fresh, strict=True):
        variable.assign(value)
    losses: list[float] = []
    used, begin = 0.0, time.process_time()
    while (done := used / seconds if seconds else len(losses) / steps) < 1:
        model.optimizer.learning_rate.assign(config.training.learning_rate * (1 + math.cos(math.pi * done)) / 2)
        losses.append(float(model.train_on_batch(next(batches))))
        used = time.process_time() - begin
    means = [np.mean(losses[n : n + SMOOTHED_STEPS]) for n in range(0, len(losses), SMOOTHED_STEPS)]
    return {
        "weights": separator.count_params(),
        "steps": len(losses),
        "processor_seconds": round(used, 1),
        **_scores(separator, lengths, prepared, sources_of(config.data)),
        "losses": [float(f"{mean:.5g}") for mean in means],
    }


def _scores(separator: keras.Model, lengths: Lengths, prepared: Prepared, wanted: Sources) -> dict[str, float]:
    separator.compile(jit_compile=True)
    rows = []
    truth = PreparedReferences(prepared, prepared.split("test"))
    for track in Utils.progress(truth.tracks, unit="track", label="testing"):
        mixture, references, _ = truth.read(track, wanted, "sum")
        known = truth.contexts(track, wanted, ["labels"])
        estimates = separate_track(separator, lengths, mixture, known)
        rows.append(
            Metrics.score_track(track.name, references, estimates, mixture, wanted.names, prepared.sample_rate_hz)
        )
    summary = Metrics.summarise(pd.concat(rows, ignore_index=True))
    ours = summary[(summary["source"] == "all") & (summary["method"] == "estimate")].set_index(
        ["metric", "aggregation"]
    )
    keys = {"sdr_db": ("SDR", "frames"), "si_sdr_improvement_db": ("SI-SDRi", "tracks")}
    return {name: round(ours["median"][key], 3) for name, key in keys.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, metavar="PREPARED", help="a prepared data set, like demo/prepared")
    parser.add_argument("variants", nargs="+", metavar="VARIANT", help="demo, or key=value,key=value")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, default=0, help="batches to train on")
    length.add_argument("--seconds", type=float, default=0, help="processor time to train for")
    return parser


if __name__ == "__main__":
    main()
