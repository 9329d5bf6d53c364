"""The two layers of a Wave-U-Net that Keras does not have: halving and doubling the sample rate of features."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("vimss")
class Decimate(keras.layers.Layer):
    """Keeps every second sample: (B, T, K) -> (B, ceil(T / 2), K).

    Source: Stoller et al. 2018, section 3.1.
    """

    def call(self, features):
        return features[:, ::2]

    def compute_output_shape(self, shape):
        batch, samples, width = shape
        return batch, None if samples is None else -(-samples // 2), width


@keras.saving.register_keras_serializable("vimss")
class Interpolate(keras.layers.Layer):
    """Puts the mean of each two neighbours between them: (B, T, K) -> (B, 2 T - 1, K).

    Nothing is extrapolated at the borders. Source: Stoller et al. 2018, section 3.2.2.
    """

    def call(self, features):
        between = (features[:, :-1] + features[:, 1:]) / 2
        pairs = ops.stack([features[:, :-1], between], axis=2)
        batch, samples, _, width = ops.shape(pairs)
        return ops.concatenate([ops.reshape(pairs, (batch, 2 * samples, width)), features[:, -1:]], axis=1)

    def compute_output_shape(self, shape):
        batch, samples, width = shape
        return batch, None if samples is None else 2 * samples - 1, width
