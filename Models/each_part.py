"""A network of one source, asked for each part by its context: its weights do not depend on the number of parts."""

from collections.abc import Callable, Mapping

from Options import Tree

import keras
from keras import ops

from .conditioning import Shapes
from .lengths import Positions
from .outputs import Completion


@keras.saving.register_keras_serializable("vimss")
class ForParts(keras.layers.Layer):
    """The mixture (B, ...) once for each part that may be present (B, S): (B S, ...)."""

    def call(self, mixture, present):
        return ops.repeat(mixture, ops.shape(present)[1], axis=0)

    def compute_output_shape(self, mixture_shape, present_shape):
        return None, *mixture_shape[1:]


@keras.saving.register_keras_serializable("vimss")
class OfParts(keras.layers.Layer):
    """A context of each part (B, S, ...) as one example a part: (B S, ...)."""

    def call(self, context):
        return ops.reshape(context, (-1, *context.shape[2:]))

    def compute_output_shape(self, shape):
        return None, *shape[2:]


@keras.saving.register_keras_serializable("vimss")
class Together(keras.layers.Layer):
    """Estimates of one part each (B S, T, 1, C), and which are present (B, S) -> sources (B, T, S, C)."""

    def call(self, estimates, present):
        _, samples, _, channels = ops.shape(estimates)
        estimates = ops.reshape(estimates, (-1, ops.shape(present)[1], samples, channels))
        return ops.transpose(estimates, (0, 2, 1, 3))

    def compute_output_shape(self, estimates_shape, present_shape):
        _, samples, _, channels = estimates_shape
        return present_shape[0], samples, present_shape[1], channels


def each_part(
    builder: Callable[..., keras.Model],
    shapes: Shapes,
    channels: int,
    margin_samples: int,
    *,
    output: str,
    contexts: Mapping[str, Tree],
    **options: object,
) -> keras.Model:
    """A separator of parts, any number of them, made of a network that emits a single source.

    Parts of equal contexts get equal estimates: nothing tells them apart.

    Args:
        builder: of the network.
        shapes: of the contexts of one part, by name, such as {"labels": (K,)} for K classes.
        channels: C of the mixture and of each source.
        margin_samples: of mixture on each side that the sources lose.
        output: `direct`, or `consistent`: what the parts that are present leave of the mixture is shared by them.
        contexts: how each is used; of the place `output` there is no need, for what is absent is silent.
        options: of the network.

    Returns:
        A functional model {"mixture": (B, T_in, C), "present": (B, S), <context>: (B, S, ...), ...} ->
        (B, T_out, S, C).
    """
    within = {
        name: {**context, "places": [place for place in context["places"] if place != "output"] or ["bottleneck"]}
        for name, context in contexts.items()
    }
    network = builder(1, channels, shapes, output="direct", contexts=within, **options)
    mixture, present = keras.Input((None, channels), name="mixture"), keras.Input((None,), name="present")
    known = {
        name: keras.Input((None, *tensor.shape[1:]), name=name)
        for name, tensor in network.input.items()
        if name != "mixture"
    }
    of_parts = {name: OfParts(dtype="float32", name=f"{name}_of_parts")(context) for name, context in known.items()}
    repeated = ForParts(dtype="float32", name="mixture_for_parts")(mixture, present)
    estimates = Together(dtype="float32", name="together")(network({"mixture": repeated, **of_parts}), present)
    crop = keras.layers.Cropping1D(margin_samples, dtype="float32", name="middle")
    middle = crop(mixture) if margin_samples else mixture
    stage = Completion(output, Positions(margin_samples, 1, margin_samples), dtype="float32", name="completion")
    inputs = {"mixture": mixture, **known, "present": present}
    return keras.Model(inputs, stage(estimates, middle, present), name=f"{network.name}_of_each_part")
