"""The lengths of a Wave-U-Net without padding, by arithmetic.

Every convolution is 'valid', so each layer is a little shorter than the one below it and only some lengths of the
mixture fit. All of them follow from the length of the bottleneck. Source: Stoller et al. 2018, section 3.2.2.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ladder:
    """The shape of a Wave-U-Net: how many levels, and how wide its filters reach.

    Args:
        levels: down-sampling blocks, and as many up-sampling blocks.
        down_size: taps of the filters of the way down and of the bottleneck, in samples of their level; odd.
        up_size: taps of the filters of the way up; odd.
    """

    levels: int
    down_size: int
    up_size: int

    def __post_init__(self) -> None:
        if min(self.levels, self.down_size, self.up_size) < 1 or self.down_size % 2 == 0 or self.up_size % 2 == 0:
            raise ValueError(f"expected at least one level and odd filter sizes. Received: {self}")

    @property
    def stride_samples(self) -> int:
        """The decimation of the encoder: a mixture shifted by a multiple of it gives sources shifted as much."""
        return 2**self.levels

    @property
    def context_samples(self) -> int:
        """Samples of mixture on each side of the sources that the separator hears and does not separate."""
        output_samples = self.output_samples(1)
        return (self.input_samples(output_samples) - output_samples) // 2

    def output_samples(self, wanted_samples: int) -> int:
        """The shortest length of the sources that fits and is not below `wanted_samples`."""
        bottleneck = 1
        while (shortest := self.decoder(bottleneck)[-1]) < 1:
            bottleneck += 1
        steps = max(0, -(-(wanted_samples - shortest) // self.stride_samples))
        return shortest + steps * self.stride_samples

    def input_samples(self, output_samples: int) -> int:
        """The length of the mixture that gives sources of `output_samples`.

        Raises:
            ValueError: if no mixture gives exactly that length.
        """
        if output_samples != self.output_samples(output_samples):
            raise ValueError(
                f"expected a length of the sources that fits {self}, such as {self.output_samples(output_samples)}. "
                f"Received: {output_samples}"
            )
        return self.encoder(self.bottleneck_samples(output_samples))[0]

    def bottleneck_samples(self, output_samples: int) -> int:
        """The length of the bottleneck under sources of `output_samples`."""
        length = output_samples
        for _ in range(self.levels):
            length = (length + (self.up_size - 1) + 1) // 2
        return length

    def encoder(self, bottleneck_samples: int) -> list[int]:
        """Lengths on the way down: the mixture, then each down block's features before decimation."""
        lengths = [bottleneck_samples + (self.down_size - 1)]
        for _ in range(self.levels):
            before_decimation = 2 * lengths[-1] - 1
            lengths[-1:] = [before_decimation, before_decimation + (self.down_size - 1)]
        return lengths[::-1]

    def decoder(self, bottleneck_samples: int) -> list[int]:
        """Lengths on the way up: each up block's features, the sources last."""
        lengths = [bottleneck_samples]
        for _ in range(self.levels):
            lengths.append((2 * lengths[-1] - 1) - (self.up_size - 1))
        return lengths[1:]

    def skip_margins(self) -> list[int]:
        """Samples cropped from each side of the mixture and of each down block to meet its up block, top first."""
        bottleneck = self.bottleneck_samples(self.output_samples(1))
        up = self.decoder(bottleneck)[::-1]
        meeting = [up[0], *(length + (self.up_size - 1) for length in up)]
        return [(down - length) // 2 for down, length in zip(self.encoder(bottleneck), meeting, strict=True)]
