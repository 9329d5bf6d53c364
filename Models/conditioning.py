"""How context modulates features.

A conditioning layer is called with features (B, T, K) and context, (B, D) where it holds for the whole excerpt or
(B, F, D) where it moves in time: then its F frames divide the mixture evenly, and each sample of the features hears
the context of its own moment. A new layer starts as the identity: at step 0 the conditioned network is the plain one.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("vimss")
class FiLM(keras.layers.Layer):
    """Feature-wise linear modulation: (1 + gamma) * features + beta, with gamma and beta linear in the context.

    Args:
        start_samples: position in the mixture of the features' first sample.
        step_samples: samples of the mixture between two neighbours of the features.

    Source: Perez et al. 2018, equation 1, with the residual gamma of Slizovskaia et al. 2021.
    """

    def __init__(self, start_samples: float = 0, step_samples: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.start_samples = start_samples
        self.step_samples = step_samples

    def build(self, features_shape, context_shape):
        shape = (context_shape[-1], 2 * features_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=shape[1:], initializer="zeros")

    def call(self, features, context):
        modulation = ops.matmul(ops.cast(context, self.compute_dtype), self.kernel) + self.bias
        if len(context.shape) == 3:
            weights = frame_weights(
                ops.shape(features)[1], context.shape[1], self.start_samples, self.step_samples, self.compute_dtype
            )
            modulation = ops.matmul(weights, modulation)
        else:
            modulation = modulation[:, None]
        gamma, beta = ops.split(modulation, 2, axis=-1)
        return (1 + gamma) * features + beta

    def compute_output_shape(self, features_shape, context_shape):
        return features_shape

    def get_config(self):
        return {
            **super().get_config(),
            "start_samples": self.start_samples,
            "step_samples": self.step_samples,
        }


def frame_weights(samples, frames: int, start_samples: float, step_samples: int, dtype: str):
    """Linear interpolation of context frames at the true positions of features, as a matrix (T, F).

    The features sit symmetrically in the mixture (valid padding keeps them so), hence its length is known from
    theirs. Frame f stands at the middle of the f-th of F even parts of the mixture; before the first middle and after
    the last the nearest frame holds.
    """
    steps = ops.cast(ops.arange(samples), "float32")
    mixture_samples = 2 * start_samples + step_samples * (ops.cast(samples, "float32") - 1) + 1
    positions = (start_samples + step_samples * steps + 0.5) * (frames / mixture_samples) - 0.5
    distances = ops.clip(positions, 0, frames - 1)[:, None] - ops.arange(frames, dtype="float32")
    return ops.cast(ops.relu(1 - ops.abs(distances)), dtype)
