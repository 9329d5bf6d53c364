"""A network of one source, asked for each part by its context: its weights do not depend on the number of parts."""

from collections.abc import Callable, Collection

import keras
from keras import ops

from .lengths import Positions
from .outputs import Completion


@keras.saving.register_keras_serializable("vimss")
class EachPart(keras.layers.Layer):
    """The mixture (B, ...) and a context of each part (B, S, ...) -> one example a part, (B S, ...) each."""

    def call(self, mixture, context):
        parts = ops.shape(context)[1]
        return ops.repeat(mixture, parts, axis=0), ops.reshape(context, (-1, *context.shape[2:]))

    def compute_output_shape(self, mixture_shape, context_shape):
        return (None, *mixture_shape[1:]), (None, *context_shape[2:])


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
    classes: int,
    channels: int,
    margin_samples: int,
    *,
    output: str,
    places: Collection[str],
    **options: object,
) -> keras.Model:
    """A separator of parts, any number of them, made of a network that emits a single source.

    Parts of equal labels get equal estimates: nothing tells them apart.

    Args:
        builder: of the network.
        classes: K of the labels.
        channels: C of the mixture and of each source.
        margin_samples: of mixture on each side that the sources lose.
        output: `direct`, or `consistent`: what the parts that are present leave of the mixture is shared by them.
        places: where the labels stand in the network; of `output` there is no need, for what is absent is silent.
        options: of the network.

    Returns:
        A functional model {"mixture": (B, T_in, C), "labels": (B, S, K), "present": (B, S)} -> (B, T_out, S, C).
    """
    inputs = {
        "mixture": keras.Input((None, channels), name="mixture"),
        "labels": keras.Input((None, classes), name="labels"),
        "present": keras.Input((None,), name="present"),
    }
    within = tuple(place for place in places if place != "output")
    network = builder(1, channels, classes=classes, output="direct", places=within, **options)
    mixture, labels = EachPart(dtype="float32", name="each_part")(inputs["mixture"], inputs["labels"])
    of_each = network({"mixture": mixture, "labels": labels})
    estimates = Together(dtype="float32", name="together")(of_each, inputs["present"])
    crop = keras.layers.Cropping1D(margin_samples, dtype="float32", name="middle")
    middle = crop(inputs["mixture"]) if margin_samples else inputs["mixture"]
    stage = Completion(output, Positions(margin_samples, 1, margin_samples), dtype="float32", name="completion")
    sources = stage(estimates, middle, inputs["present"])
    return keras.Model(inputs, sources, name=f"{network.name}_of_each_part")
