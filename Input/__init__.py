"""Files on disk -> batches of examples.

THE example, the same for training and for whole tracks, for every data set and every network, is one dict of float32
arrays:

    mixture (T_in, C)      linear amplitude, full scale 1.0
    sources (T_out, S, C)  what the middle T_out samples of the mixture are the sum of; the rest of it, a margin on
                           both sides, is zero where the track has ended
    present (S,)           1.0 where the source has a part in the example (be it at rest in this excerpt), else 0.0
    weight ()              how much the example counts
    labels, ...            what a network is given beside the mixture, as many of these contexts as it takes

Sources are classes (S of them, always the same) or the parts of a track one by one (padded): `sources`.

A data set becomes a prepared one,

- `readers`: URMP, MUSDB18, solos, anybody's stems -> tracks and their parts.
- `instruments`: the thirteen of URMP.
- `audio`: any audio file as blocks at a wanted rate; `media`: those that need FFmpeg; `extents`: where the sound ends.
- `preparation`: tracks and parts -> a prepared data set, resumable; `track_preparation`: one of them; `remarks`.
- `prepared`: a manifest, and each stream once in a file that can be sliced; `storage`: here, or on object storage.

and that becomes batches:

- `sources`: what the axis S is; `streams`: what a network can be given beside the mixture, a file a kind.
- `examples`: an example as a pure function of (seed, number); windows that cover a track once.
- `augmentation`: what training changes at random, in integers.
- `pipeline`: two straight lists of tf.data steps; needs TensorFlow.
- `device`: the same examples inside the compiled step; needs Keras.
- `stems`: a track's sources as a folder of wavs, which is what separation leaves.
- `pretraining`: the features of AudioSet and YouTube-8M.
"""
