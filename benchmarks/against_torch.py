"""The full-size Wave-U-Net beside a plain PyTorch build of the same graph: `python -m benchmarks.against_torch`.

Needs PyTorch (`pip install '.[torch]'`), which nothing else here does. Prints one JSON line: seconds of a training step
(batches of 4, 147443 -> 16389 samples, 13 sources, Adam) of both; seconds to separate a minute, by long windows here
and by sliding the published window there; and how both compare with the time that their multiplications would take at
the rate of this machine's matrix products (float32, 2048 x 2048), `floor_share`. Both have the same weights and must
give the same sources. All take turns, so that a busy machine slows all of them. Ends with 1 where training is less than
1.4 times, or separation less than 3 times as fast as PyTorch's, or the sources differ. (Long windows do 4 times fewer
multiplications than the published ones.) The shares are told and not judged: how near convolutions come to products of
matrices is the processor's and its libraries' matter, 94 and 78 % on one, 58 and 48 % on another.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import Config
from Actions.task import new_network
from benchmarks.steps import on_arrays
from Models.cost import cost
from Models.lengths import Ladder
from Models.separation import WINDOW_SAMPLES, separate
from Models.wave_unet import wave_unet

import keras
import numpy as np

sys.modules.setdefault("triton", None)  # type: ignore[arg-type]  # beside TensorFlow PyTorch 2.14's ends in a crash
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

SOURCES, BATCH_SIZE = 13, 4
SECONDS, SAMPLE_RATE_HZ = 60, 22_050
ROUNDS = 3
LADDER = Ladder(levels=12, down_size=15, up_size=5)
OUTPUT_SAMPLES = LADDER.output_samples(16_384)
INPUT_SAMPLES = LADDER.input_samples(OUTPUT_SAMPLES)
HOP_SAMPLES = 16_384  # a multiple of the decimation, as the output's 16389 are not
SMALLEST_TRAINING, SMALLEST_SEPARATION, LARGEST_DIFFERENCE = 1.4, 3, 1e-5


class TorchWaveUNet(nn.Module):
    """Mixture (B, 1, T_in) -> sources (B, S, T_out), as the paper's figure, with `difference` output."""

    def __init__(self, levels: int = 12, filters: int = 24):
        super().__init__()
        widths = [filters * level for level in range(1, levels + 2)]
        self.down = nn.ModuleList(nn.Conv1d(i, o, 15) for i, o in zip([1, *widths[:-2]], widths[:-1], strict=True))
        self.bottleneck = nn.Conv1d(widths[-2], widths[-1], 15)
        self.up = nn.ModuleList(nn.Conv1d(o + i, o, 5) for o, i in zip(widths[:-1], widths[1:], strict=True))
        self.sources = nn.Conv1d(1 + filters, SOURCES - 1, 1)
        self.relu = nn.LeakyReLU(0.2)

    def forward(self, mixture: Tensor) -> Tensor:
        """See the class."""
        skips, features = [], mixture
        for convolution in self.down:
            skips.append(self.relu(convolution(features)))
            features = skips[-1][..., ::2]
        features = self.relu(self.bottleneck(features))
        for convolution, skip in zip(reversed(self.up), reversed(skips), strict=True):
            size = 2 * features.shape[-1] - 1
            features = nn.functional.interpolate(features, size, mode="linear", align_corners=True)
            features = self.relu(convolution(torch.cat([centre(skip, size), features], 1)))
        heard = centre(mixture, features.shape[-1])
        estimates = torch.tanh(self.sources(torch.cat([heard, features], 1)))
        return torch.cat([estimates, heard - estimates.sum(1, keepdim=True)], 1)

    def take_weights(self, separator: keras.Model) -> None:
        """Copies the weights of the Keras model, layer by layer."""
        layers = {f"down_{n + 1}": layer for n, layer in enumerate(self.down)}
        layers |= {f"up_{n + 1}": layer for n, layer in enumerate(self.up)}
        for name, layer in {**layers, "bottleneck": self.bottleneck, "sources": self.sources}.items():
            kernel, bias = separator.get_layer(name).get_weights()
            layer.weight.data = torch.from_numpy(kernel.transpose(2, 1, 0).copy())
            layer.bias.data = torch.from_numpy(bias)


def centre(features: Tensor, samples: int) -> Tensor:
    """The middle samples of features (B, K, T)."""
    margin = (features.shape[-1] - samples) // 2
    return features[..., margin : margin + samples]


def main() -> None:
    """Measures and prints."""
    changes = {"training": {"precision": "float32", "loss": "mse"}, "model": {"conditioning": "none"}}
    config = Config.resolve(Config.Training, Config.PRESETS, ["urmp"], changes)
    separator = new_network(config)
    theirs = TorchWaveUNet()
    theirs.take_weights(separator)
    random = np.random.default_rng(0)
    mixture = random.normal(0, 0.1, (BATCH_SIZE, INPUT_SAMPLES, 1)).astype(np.float32)
    sources = random.normal(0, 0.1, (BATCH_SIZE, OUTPUT_SAMPLES, SOURCES, 1)).astype(np.float32)
    batch = {"mixture": mixture, "sources": sources, "weight": np.ones(BATCH_SIZE, np.float32)}
    model = on_arrays(config, separator, batch)
    track = random.normal(0, 0.1, (SECONDS * SAMPLE_RATE_HZ, 1)).astype(np.float32)

    sliding = sliding_windows(theirs, track)
    inference = wave_unet(SOURCES)  # of its own, for training changes the weights of the other
    inference.set_weights(separator.get_weights())
    inference.compile(jit_compile=True)
    matrix = keras.ops.convert_to_tensor(random.normal(size=(2048, 2048)).astype(np.float32))
    seconds, results = taking_turns(
        {
            "matrix_product": lambda: keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)),
            "separation": lambda: np.concatenate(list(separate(inference, LADDER, [track])))[..., 0],
            "torch_separation": sliding,
            "training_step": lambda: model.train_on_batch(batch),
            "torch_training_step": torch_step(theirs, mixture, sources),
        }
    )
    compared = slice(0, len(results["torch_separation"]))
    difference = float(np.abs(results["separation"][compared] - results["torch_separation"]).max())
    seconds["torch_separation"] *= len(track) / len(results["torch_separation"])
    flops_per_second = 2 * 2048**3 / seconds["matrix_product"]
    step_flops = 3 * BATCH_SIZE * cost(separator, LADDER, OUTPUT_SAMPLES).flops
    window = cost(separator, LADDER, WINDOW_SAMPLES)
    separation_flops = window.flops * len(track) / window.output_samples
    measured: dict[str, Any] = {
        "benchmark": "against_torch",
        **{f"{name}_seconds": round(value, 3) for name, value in seconds.items()},
        "training_ratio": round(seconds["torch_training_step"] / seconds["training_step"], 2),
        "separation_ratio": round(seconds["torch_separation"] / seconds["separation"], 2),
        "matrix_product_gflops": round(flops_per_second / 1e9, 1),
        "training_floor_share": round(step_flops / flops_per_second / seconds["training_step"], 2),
        "separation_floor_share": round(separation_flops / flops_per_second / seconds["separation"], 2),
        "largest_difference": difference,
    }
    print(json.dumps(measured))
    fast = measured["training_ratio"] >= SMALLEST_TRAINING and measured["separation_ratio"] >= SMALLEST_SEPARATION
    sys.exit(not fast or difference > LARGEST_DIFFERENCE)


def sliding_windows(model: TorchWaveUNet, track: np.ndarray, windows: int = 6) -> Callable[[], np.ndarray]:
    """Separates the first windows of a track (T, 1), one window of the published length after the other."""
    margin = LADDER.margin_samples
    padded = torch.from_numpy(np.pad(track[:, 0], (margin, margin)))

    def separated() -> np.ndarray:
        starts = range(0, windows * HOP_SAMPLES, HOP_SAMPLES)
        with torch.inference_mode():
            pieces = [model(padded[None, None, start : start + INPUT_SAMPLES])[0].T.numpy() for start in starts]
        return np.concatenate([piece[:HOP_SAMPLES] for piece in pieces])

    return separated


def torch_step(model: TorchWaveUNet, mixture: np.ndarray, sources: np.ndarray) -> Callable[[], None]:
    """One step of Adam on the mean squared error, of a copy of the model."""
    trained = TorchWaveUNet()
    trained.load_state_dict(model.state_dict())
    optimizer = torch.optim.Adam(trained.parameters(), 1e-5)
    heard, wanted = torch.from_numpy(mixture[..., 0])[:, None], torch.from_numpy(sources[..., 0].transpose(0, 2, 1))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.mse_loss(trained(heard), wanted).backward()
        optimizer.step()

    return step


def taking_turns(actions: dict[str, Callable]) -> tuple[dict[str, float], dict]:
    """Median seconds of each action over several rounds after one that compiles, and what each last returned."""
    results = {name: action() for name, action in actions.items()}
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(ROUNDS):
        for name, action in actions.items():
            begin = time.perf_counter()
            results[name] = action()
            seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}, results


if __name__ == "__main__":
    main()
