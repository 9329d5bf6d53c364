"""The features of AudioSet and YouTube-8M -> videos in which our instruments are heard.

- `classes`: which class is which of our instruments, the segments, whether record files are whole.
- `pipeline`: the tf.data steps; needs TensorFlow.
"""
