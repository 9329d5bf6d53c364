"""Recurrent layers over a whole excerpt, forwards and backwards in time."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("vimss")
class Recurrent(keras.layers.Layer):
    """Normalisation, LSTMs both ways, and a dense layer back to as many features: (B, T, K) -> the same.

    Args:
        units: of each LSTM.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        policy, width = self.dtype_policy, shape[-1]
        self.norm = keras.layers.RMSNormalization(dtype=policy)
        # Not Bidirectional: it copies its layer by way of serialisation, which while a model is loaded may hand it the
        # copy of another one (an object is known there by its address, and addresses come back).
        self.forwards = keras.layers.LSTM(self.units, return_sequences=True, dtype=policy)
        self.backwards = keras.layers.LSTM(self.units, return_sequences=True, go_backwards=True, dtype=policy)
        self.joined = keras.layers.Dense(width, dtype=policy)
        self.norm.build(shape)
        self.forwards.build((None, None, width))
        self.backwards.build((None, None, width))
        self.joined.build((None, None, 2 * self.units))

    def call(self, features):
        features = self.norm(features)
        both = ops.concatenate([self.forwards(features), ops.flip(self.backwards(features), axis=1)], axis=-1)
        return self.joined(both)

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), "units": self.units}
