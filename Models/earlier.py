"""Layers that checkpoints of earlier versions name. Nothing builds them any more; they are here to be loaded."""

import keras

from .layers import DownConv1D, SkipAndDecimate


@keras.saving.register_keras_serializable("vimss")
class HeardConv1D(DownConv1D):
    """The earlier name of `DownConv1D`: a checkpoint finds weights by the name of their layer's class."""


@keras.saving.register_keras_serializable("vimss")
class Centre(SkipAndDecimate):
    """The first result of `SkipAndDecimate` alone: (B, N, K) -> (B, T' - 2 margin, K)."""

    def call(self, features):
        return super().call(features)[0]

    def compute_output_shape(self, shape):
        return super().compute_output_shape(shape)[0]


@keras.saving.register_keras_serializable("vimss")
class EverySecond(SkipAndDecimate):
    """The second result of `SkipAndDecimate` alone: (B, N, K) -> (B, (T' + 1) / 2, K)."""

    def call(self, features):
        return super().call(features)[1]

    def compute_output_shape(self, shape):
        return super().compute_output_shape(shape)[1]
