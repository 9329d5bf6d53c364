"""Rows of scores written by hand, for the tests of the summary and of the pictures."""

import numpy as np
import pandas as pd

FRAMEWISE = {"SDR", "ISR", "SIR", "SAR", "PES"}


def rows_of(scores):
    """{(track, source, method, metric): values} to rows; several values are frames."""
    tables = [
        pd.DataFrame({"time": np.arange(len(numbers)) if metric in FRAMEWISE else np.nan, "value": numbers}).assign(
            run="", track=track, source=source, method=method, metric=metric
        )
        for (track, source, method, metric), numbers in scores.items()
    ]
    return pd.concat(tables, ignore_index=True).astype({"value": float})
