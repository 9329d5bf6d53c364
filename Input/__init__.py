"""Files on disk -> batches.

THE element, the same for training and for whole tracks, for every data set and every model:

    ({"mixture": (T_in, C), "labels": (S,)}, sources (T_out, S, C))

all float32. `mixture` and `sources` are linear amplitudes, full scale 1.0; the sources sum to the middle T_out of the
T_in samples of mixture, the rest is context on both sides, zero where the track has ended. `labels` is 1.0 where the
source has a part in the track (be it at rest in this excerpt), else 0.0. More context (scores, video) becomes more
keys beside `labels`.

- `audio`: any audio file as blocks at a wanted rate; every way in which it can be broken is one line.
- `synthetic`: the embedded data set, rendered from recorded notes and real scores.
- `urmp`: a folder in URMP's layout -> its tracks and parts.
- `preparation`: tracks and parts -> a prepared data set, resumable.
- `prepared`: the prepared data set: a manifest, and each stem once as a wav that can be sliced.
- `examples`: an excerpt as a pure function of (seed, example number); windows that cover a track once.
- `pipeline`: the two straight lists of tf.data steps, the one room that needs TensorFlow.
"""
