"""Spectrograms and their U-Net once more, by scipy and by loops, in float64."""

import numpy as np
import scipy.signal


def spectra(signal: np.ndarray, frame: int, hop: int, fft: int | None = None) -> np.ndarray:
    """The complex spectrum (frames, bins) of a signal (T,): each frame has a hop of its own in its middle."""
    frames = -(-len(signal) // hop)
    before = (frame - hop) // 2
    padded = np.zeros((frames - 1) * hop + frame)
    padded[before : before + len(signal)] = signal[: len(padded) - before]
    window = scipy.signal.get_window("hann", frame)
    _, _, scaled = scipy.signal.stft(
        padded, window=window, nperseg=frame, noverlap=frame - hop, nfft=fft, boundary=None, padded=False
    )
    return scaled.T * window.sum()


def unet_spectrogram_by_hand(model, mixture: np.ndarray, *, levels: int, sources: int, frame: int, hop: int):
    """Sources (T, S, C) of one mixture (T, C), by a model's weights: a U-Net for each source, plain, `direct`."""
    weights = {layer.name: [np.asarray(w, np.float64) for w in layer.get_weights()] for layer in model.layers}
    spectrum = np.stack([spectra(channel, frame, hop) for channel in mixture.T.astype(np.float64)], axis=-1)
    heard = np.log1p(np.abs(spectrum))[:, : frame // 2]
    estimates = []
    for n in range(1, sources + 1):
        mask = _masks(weights, f"_of_{n}", heard, levels)
        mask = np.concatenate([mask, mask[:, -1:]], axis=1)
        masked = spectrum * mask
        estimates.append(np.stack([_inverse(masked[..., c], frame, hop) for c in range(mixture.shape[1])], axis=-1))
    return np.stack(estimates, axis=1)


def _masks(weights, suffix, features, levels):
    skips = []
    for level in range(1, levels + 1):
        name = "bottleneck" if level == levels else f"down_{level}"
        features = _levelled(weights, name + suffix, _halved(features, weights[name + suffix][0]))
        features = np.where(features < 0, 0.2 * features, features)
        skips.append(features)
    for level in range(levels, 1, -1):
        features = _levelled(weights, f"up_{level}{suffix}", _doubled(features, weights[f"up_{level}{suffix}"][0]))
        features = np.concatenate([skips[level - 2], np.maximum(features, 0)], axis=-1)
    kernel, bias = weights[f"masks{suffix}"]
    return 1 / (1 + np.exp(-_doubled(features, kernel) - bias))


def _levelled(weights, name, features):
    scale, shift, mean, variance = weights[f"{name}_norm"]
    return (features - mean) / np.sqrt(variance + 1e-3) * scale + shift


def _halved(features, kernel):
    """Every second position of a convolution; the filter's middle stands on the odd ones."""
    reach = kernel.shape[0] // 2
    height, width, _ = features.shape
    halved = np.zeros((height // 2, width // 2, kernel.shape[3]))
    for row in range(height // 2):
        for column in range(width // 2):
            for i in range(-reach, reach + 1):
                for j in range(-reach, reach + 1):
                    y, x = 2 * row + 1 + i, 2 * column + 1 + j
                    if 0 <= y < height and 0 <= x < width:
                        halved[row, column] += features[y, x] @ kernel[i + reach, j + reach]
    return halved


def _doubled(features, kernel):
    """What a transposed convolution spreads from each position, its middle on the odd ones."""
    reach = kernel.shape[0] // 2
    height, width, _ = features.shape
    doubled = np.zeros((2 * height, 2 * width, kernel.shape[2]))
    for row in range(height):
        for column in range(width):
            for i in range(-reach, reach + 1):
                for j in range(-reach, reach + 1):
                    y, x = 2 * row + 1 + i, 2 * column + 1 + j
                    if 0 <= y < 2 * height and 0 <= x < 2 * width:
                        doubled[y, x] += kernel[i + reach, j + reach] @ features[row, column]
    return doubled


def _inverse(spectrum, frame, hop):
    """The signal (frames * hop,) whose spectrum is nearest to the one that is given."""
    window = scipy.signal.get_window("hann", frame)
    summed, weights = (np.zeros((len(spectrum) - 1) * hop + frame) for _ in range(2))
    for n, part in enumerate(np.fft.irfft(spectrum, frame)):
        summed[n * hop : n * hop + frame] += window * part
        weights[n * hop : n * hop + frame] += window**2
    mine = slice((frame - hop) // 2, (frame - hop) // 2 + len(spectrum) * hop)
    return summed[mine] / weights[mine]
