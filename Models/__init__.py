"""Mixture (+ context) -> sources.

Functions that return a functional `keras.Model`, written with `keras.ops` alone so that the same model runs on
TensorFlow and on JAX. Every separator has one signature:

    {"mixture": (B, T_in, C), "labels": (B, S)} -> sources (B, T_out, S, C)

Axis letters, the same everywhere: B batch, T samples, C channels, S sources, K features, D context width,
F context frames. Context is (B, D) where it holds for the whole excerpt (labels) and (B, F, D) where it moves in time.

- `wave_unet`: the separator (Stoller et al. 2018), with conditioning by context.
- `Ladder`: the lengths of its layers, a matter of arithmetic.
- `conditioning`: how context modulates features.
- `losses`: what training minimises.
- `separation`: a track of any length through a separator, in constant memory.

Importing this folder registers its layers and losses with Keras, so that `keras.saving.load_model` finds them.
"""

from . import conditioning, layers, losses

__all__ = ["conditioning", "layers", "losses"]
