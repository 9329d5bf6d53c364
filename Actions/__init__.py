"""What the scripts do, one module each, to be called from Python too: here the floors meet.

- `rendering`: the embedded data set, from recorded notes and real scores, in URMP's layout.
- `preparing`: a folder in a known layout -> a prepared data set.   `doctor`: is it fit to train on?
- `data`: the prepared data set that a configuration names.
- `task`: a configuration -> network and examples, and how they reach it.
- `training`: a task -> a run.   `run`: a run's folder -> its network, whose parts belong together.
- `problems`: what a run is for: to separate (`testing`: a run and a split -> estimates; `evaluation`: estimates and
  references -> scores), or to recognise (`recognition`: both).
- `order`, `separation`: a run and anybody's audio -> stems.   `comparison`: runs -> a report.
- `sweeping`: a grid of settings -> runs.

Keras and TensorFlow take ten seconds to load; a script imports what loads them when the command line has been checked.
"""
