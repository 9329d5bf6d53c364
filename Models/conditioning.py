"""How context modulates features: one layer for each method, and where in a network they stand.

A conditioning layer is called with features (B, T, K), or (B, T, N, K) where N bands or bins share a moment, and with
context: (B, D) where it holds for the whole excerpt or (B, F, D) where it moves in time. Then its F frames divide the
mixture evenly, and features are modulated by the context of their own moment. A new layer changes nothing (`concat`
appends zeros), so that at step 0 the conditioned network is the plain one; `outer` alone cannot.
"""

from collections.abc import Callable, Mapping
from typing import get_args

import keras
from keras import ops

from .lengths import Positions
from .options import Context, Method

CONCAT_PACE = 10
"""By what `Concat` multiplies its weights: an optimiser's steps then change the context this much faster.

They begin at zero, so at the pace of other weights the next convolution would receive next to nothing for long.
"""


Shapes = Mapping[str, tuple[int | None, ...]]
"""Of contexts by name: (D,) where it holds for the whole excerpt, (F, D) where it moves in time; F None for any."""


class Conditioning(keras.layers.Layer):
    """What every method shares: where its features stand, and context at their moments.

    Args:
        start, step, end, between: as in `lengths.Positions`.
    """

    def __init__(self, start: float = 0, step: int = 1, end: float = 0, between: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.positions = Positions(start, step, end, between)

    def received(self, context, features):
        """Context (B, D) or (B, F, D) as the features at each moment receive it: (B, 1 or T, [1,] D)."""
        context = at_moments(ops.cast(context, self.compute_dtype), ops.shape(features)[1], self.positions)
        return context if len(features.shape) == 3 else context[:, :, None]

    def compute_output_shape(self, features_shape, context_shape):
        return features_shape

    def get_config(self):
        return {**super().get_config(), **self.positions._asdict()}


def at_moments(context, moments, positions: Positions):
    """Context (B, D) -> (B, 1, D), or (B, F, D) -> (B, T, D) by linear interpolation at the moments of features.

    Frame f stands at the middle of the f-th of F even parts of the mixture; before the first middle and after the last
    the nearest frame holds.

    Args:
        context: (B, D) or (B, F, D).
        moments: T.
        positions: of the features, in their order.
    """
    if len(context.shape) == 2:
        return context[:, None]
    frames = ops.cast(ops.shape(context)[1], "float32")
    steps, moments = ops.cast(ops.arange(moments), "float32"), ops.cast(moments, "float32")
    if positions.between is not None:
        every_second = (moments + positions.between) / 2
        steps = 2 * steps - ops.where(steps < every_second, 0.0, 2 * every_second - positions.between)
        moments = moments + positions.between - 1  # in order of time, with those that are left out
    mixture_samples = positions.start + positions.step * (moments - 1) + 1 + positions.end
    places = (positions.start + positions.step * steps + 0.5) * (frames / mixture_samples) - 0.5
    places = ops.clip(places, 0, frames - 1)
    before = ops.floor(places)
    left = ops.take(context, ops.cast(before, "int32"), axis=1)
    right = ops.take(context, ops.cast(ops.minimum(before + 1, frames - 1), "int32"), axis=1)
    return left + (right - left) * ops.cast(places - before, context.dtype)[None, :, None]


class Linear(Conditioning):
    """Terms linear in the context, each as wide as the features: zero at first, and made once for each frame."""

    terms = 1

    def build(self, features_shape, context_shape):
        shape = (context_shape[-1], self.terms * features_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=shape[1:], initializer="zeros")

    def modulation(self, features, context):
        """The terms (B, 1 or T, [1,] terms * K); made for each frame before they are brought to each moment."""
        return self.received(ops.matmul(ops.cast(context, self.compute_dtype), self.kernel) + self.bias, features)


@keras.saving.register_keras_serializable("vimss")
class Additive(Linear):
    """features + beta, with beta linear in the context. Source: Dumoulin et al. 2018 (Distill), conditional biasing."""

    def call(self, features, context):
        return features + self.modulation(features, context)


@keras.saving.register_keras_serializable("vimss")
class Multiplicative(Linear):
    """(1 + gamma) * features, with gamma linear in the context. Source: Dumoulin et al. 2018, conditional scaling."""

    def call(self, features, context):
        return (1 + self.modulation(features, context)) * features


@keras.saving.register_keras_serializable("vimss")
class FiLM(Linear):
    """Feature-wise linear modulation: (1 + gamma) * features + beta, with gamma and beta linear in the context.

    Source: Perez et al. 2018, equation 1, with the residual gamma of Slizovskaia et al. 2021.
    """

    terms = 2

    def call(self, features, context):
        gamma, beta = ops.split(self.modulation(features, context), 2, axis=-1)
        return (1 + gamma) * features + beta


@keras.saving.register_keras_serializable("vimss")
class Attention(Conditioning):
    """Features attend over the entries of the context, and the values of these are added to them.

    Entry d has a key and a value, each scaled by how much of it there is, c_d: features + sum_d a_d c_d value_d, where
    a is a softmax over the entries of their scores. `multiplicative` score: (W features) . (c_d key_d) / sqrt(width).
    `additive`: v . tanh(W features + c_d key_d). An absent entry, c_d = 0, adds nothing. The values are zero at first.

    Args:
        score: `multiplicative` or `additive`.
        width: of queries and keys.
        others: those of `Conditioning`.

    Source: Luong et al. 2015, equation 8 (dot), scaled as Vaswani et al. 2017; Bahdanau et al. 2015, appendix A.1.2.
    """

    def __init__(self, score: str = "multiplicative", width: int = 16, **others):
        super().__init__(**others)
        self.score, self.width = score, width

    def build(self, features_shape, context_shape):
        features, entries = features_shape[-1], context_shape[-1]
        self.query = self.add_weight(name="query", shape=(features, self.width))
        self.keys = self.add_weight(name="keys", shape=(entries, self.width))
        self.values = self.add_weight(name="values", shape=(entries, features), initializer="zeros")
        if self.score == "additive":
            self.direction = self.add_weight(name="direction", shape=(self.width, 1))

    def call(self, features, context):
        amounts, queries = self.received(context, features), ops.matmul(features, self.query)
        if self.score == "additive":
            keys = amounts[..., None] * self.keys
            scores = ops.squeeze(ops.matmul(ops.tanh(queries[..., None, :] + keys), self.direction), axis=-1)
        else:
            scores = amounts * ops.matmul(queries, ops.transpose(self.keys)) / self.width**0.5
        return features + ops.matmul(ops.softmax(scores, axis=-1) * amounts, self.values)

    def get_config(self):
        return {**super().get_config(), "score": self.score, "width": self.width}


@keras.saving.register_keras_serializable("vimss")
class Outer(Conditioning):
    """The outer product: each feature times each entry, (B, T, K) and (B, D) -> (B, T, K * D). No weights.

    Not the identity: an entry that is zero leaves zeros in its place. Source: the code of VIMSS, where it stands at the
    bottleneck and is called multiplicative.
    """

    def call(self, features, context):
        product = features[..., None] * self.received(context, features)[..., None, :]
        *outer, width, entries = ops.shape(product)
        return ops.reshape(product, (*outer, width * entries))

    def compute_output_shape(self, features_shape, context_shape):
        return *features_shape[:-1], features_shape[-1] * context_shape[-1]


@keras.saving.register_keras_serializable("vimss")
class Concat(Conditioning):
    """The context beside the features: (B, T, K) and (B, D) -> (B, T, K + D), each entry times a weight, zero at first.

    A weight counts `CONCAT_PACE` times, and so grows that much faster. Source: Dumoulin et al. 2018, conditional
    concatenation; Karras et al. 2018, section 4.1, for weights that are scaled at runtime.
    """

    def build(self, features_shape, context_shape):
        self.scale = self.add_weight(name="scale", shape=context_shape[-1:], initializer="zeros")

    def call(self, features, context):
        received = self.received(context, features) * (CONCAT_PACE * self.scale)
        beside = ops.broadcast_to(received, (*ops.shape(features)[:-1], received.shape[-1]))
        return ops.concatenate([features, beside], axis=-1)

    def compute_output_shape(self, features_shape, context_shape):
        return *features_shape[:-1], features_shape[-1] + context_shape[-1]


METHODS: dict[str, Callable[..., Conditioning]] = {
    "concat": Concat,
    "additive": Additive,
    "multiplicative": Multiplicative,
    "film": FiLM,
    "attention": Attention,
    "additive_attention": lambda **kwargs: Attention(score="additive", **kwargs),
    "outer": Outer,
}
"""The layer of each method by its name in a configuration."""
assert {"none", *METHODS} == {*get_args(Method)}


class Conditioner:
    """The contexts of a network, and which method stands where; elsewhere features pass as they are.

    Args:
        contexts: how each is used, by its name; those of the method `none` are not.
        shapes: of each, by its name.

    Attributes:
        inputs: a `keras.Input` for each context that is used, by its name.

    Raises:
        ValueError: if the shape of a context is not given.
    """

    def __init__(self, contexts: Mapping[str, Context], shapes: Shapes):
        self.contexts = {name: context for name, context in contexts.items() if context.method != "none"}
        if missing := self.contexts.keys() - shapes.keys():
            raise ValueError(f"expected the shapes of {', '.join(sorted(missing))}. Received: {dict(shapes)}")
        self.inputs = {name: keras.Input(shapes[name], name=name) for name in self.contexts}

    def at(self, place: str) -> list[str]:
        """The contexts whose method stands at `place`, one of the single ones."""
        return [
            name
            for name, context in self.contexts.items()
            if place in context.places or ("every" in context.places and place not in ("input", "output"))
        ]

    def __call__(self, features, place: str, positions: Positions, name: str):
        """Features as contexts modulate them at `place`, one after the other.

        A layer of the labels is called `name`_method, that of another context `name`_context_method.
        """
        for context in self.at(place):
            method = self.contexts[context].method
            label = name if context == "labels" else f"{name}_{context}"
            layer = METHODS[method](**positions._asdict(), name=f"{label}_{method}")
            features = layer(features, self.inputs[context])
        return features
