"""A training step of a configuration on a batch that lies in memory."""

import Config
from Actions.task import fitted, new_optimizer

import keras
import numpy as np


def on_arrays(config: Config.Training, separator: keras.Model, batch: dict[str, np.ndarray]) -> keras.Model:
    """What `fit` trains on batches shaped like this one."""
    inputs = {name: keras.Input(array.shape[1:], name=name) for name, array in batch.items()}
    return fitted(config, separator, new_optimizer(config, separator), inputs, inputs)
