"""Files on disk -> batches.

THE element, the same for training and for whole tracks, for every data set and every model:

    ({"mixture": (T_in, C), "labels": (S,)}, sources (T_out, S, C))

all float32. `mixture` and `sources` are linear amplitudes, full scale 1.0; the sources sum to the middle T_out of the
T_in samples of mixture, the rest is context on both sides, zero where the track has ended. `labels` is 1.0 where the
source has a part in the track (be it at rest in this excerpt), else 0.0. More context (scores, video) becomes more
keys beside `labels`.

A data set becomes a prepared one,

- `readers`: URMP, MUSDB18, solos, anybody's stems -> tracks and their parts.
- `synthetic`: the embedded data set, rendered from recorded notes and real scores in URMP's layout.
- `instruments`: the thirteen of URMP.
- `audio`: any audio file as blocks at a wanted rate; `media`: those that need FFmpeg; `extents`: where the sound ends.
- `preparation`: tracks and parts -> a prepared data set, resumable; `track_preparation`: one of them; `remarks`.
- `prepared`: a manifest, and each stem once as a wav that can be sliced; `storage`: here, or on object storage.
- `doctor`: is it fit to train on?

and that becomes batches:

- `examples`: an example as a pure function of (seed, number); windows that cover a track once.
- `augmentation`: what training changes at random, in integers.
- `pipeline`: two straight lists of tf.data steps; needs TensorFlow.
- `device`: the same examples inside the compiled step; needs Keras.
- `stems`: a track's sources as a folder of wavs, which is what separation leaves.
- `pretraining`: the features of AudioSet and YouTube-8M.
"""
