"""What a separator costs, by arithmetic on its layers: weights, lengths, multiplications."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import keras

from .band_split import Banded
from .conditioning import Linear
from .lengths import Lengths


@dataclass(frozen=True)
class Cost:
    """Numbers of a separator.

    Args:
        parameters: weights, the untrained ones of normalisation included.
        input_samples: length of the mixture of one excerpt.
        output_samples: length of the sources of one excerpt.
        flops: floating-point operations to separate one excerpt, two for each multiplication with a weight. What is
            done without weights (interpolation, activations, Fourier transforms) is not counted: it is bound by memory.
    """

    parameters: int
    input_samples: int
    output_samples: int
    flops: int


def cost(separator: keras.Model, lengths: Lengths, wanted_samples: int) -> Cost:
    """The cost of a separator for one excerpt of at least `wanted_samples`."""
    output_samples = lengths.output_samples(wanted_samples)
    input_samples = lengths.input_samples(output_samples)
    flops = 2 * sum(multiplications(separator, input_samples))
    return Cost(separator.count_params(), input_samples, output_samples, flops)


def activations(separator: keras.Model, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Values that all layers together give for one example.

    Args:
        separator: the network.
        shapes: of what it receives, by name, without the axis of examples.
    """
    values = 0
    for layer in _of_shapes(separator, shapes).layers:
        if isinstance(layer, keras.Model):  # a network that is asked for each part
            of_one = {name: shapes[name][1:] for name in layer.input if name != "mixture"}
            values += shapes["present"][0] * activations(layer, {"mixture": shapes["mixture"], **of_one})
        else:
            values += sum(math.prod(tensor.shape[1:]) for tensor in keras.tree.flatten(layer.output))
    return values


def multiplications(separator: keras.Model, input_samples: int) -> Iterator[int]:
    """Multiplications of each layer with its weights, for one mixture of so many samples."""
    shapes = {"mixture": (input_samples, separator.input["mixture"].shape[-1])}
    for layer in _of_shapes(separator, shapes).layers:
        for weight in layer.weights:
            if len(weight.shape) > 1 and "bias" not in weight.name:
                yield math.prod(weight.shape) * _positions(layer)


def _of_shapes(separator: keras.Model, shapes: Mapping[str, tuple[int, ...]]) -> keras.Model:
    """The same network, which knows what it receives."""
    inputs = {
        name: keras.Input(shapes.get(name, tensor.shape[1:]), name=name) for name, tensor in separator.input.items()
    }
    return keras.models.clone_model(separator, input_tensors=inputs)


def _positions(layer: keras.layers.Layer) -> int:
    """How often a layer applies its weights: at each position of its output, of its input, or once for each frame."""
    if isinstance(layer, Banded):
        return layer.output.shape[1]  # each band has weights of its own
    if isinstance(layer, Linear):
        return math.prod(layer.input[1].shape[1:-1])
    if isinstance(layer, (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose)):
        return math.prod(layer.input.shape[1:-1])
    return math.prod(layer.output.shape[1:-1])
