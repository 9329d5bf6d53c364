"""Mixture (+ context) -> what is estimated: sources, or which classes play.

Functions that return a functional `keras.Model`, written with `keras.ops` alone so that the same model runs on
TensorFlow and on JAX. Every separator has one signature:

    {"mixture": (B, T_in, C), <context>: (B, ...), ...} -> sources (B, T_out, S, C)

Axis letters, the same everywhere: B batch, T samples, C channels, S sources, K features, D context width,
F context frames. Context is (B, D) where it holds for the whole excerpt (labels) and (B, F, D) where it moves in time.

- `options`: what may be set of them, and the names of all choices; loads no Keras.
- `networks`: all by name.
- `wave_unet`: the Wave-U-Net and its family (Stoller et al. 2018).
- `band_split`: recurrent layers across the bands of the spectrum (Luo and Yu 2023).
- `lstm_unet`: strided convolutions and recurrent layers on the waveform (after Défossez et al. 2019).
- `unet_spectrogram`: a U-Net on magnitudes (Jansson et al. 2017).
- `recogniser`: which classes play, by convolutions on the spectrogram (after Han et al. 2017).
- `each_part`: a network of one source, asked for each part of a track.
- `recurrent`: LSTMs both ways.
- `spectrogram`: the short-time Fourier transform and its inverse.
- `lengths`: which lengths fit and where features stand, a matter of arithmetic.
- `conditioning`: how context modulates features.
- `outputs`: from what a network emits to sources that fit the mixture.
- `losses`: what training minimises.
- `separation`, `recognition`: a track of any length through a network, in constant memory.
- `checkpoints`: a network as a file, which knows what it was made with.
- `earlier`: layers of earlier checkpoints.
"""
