"""Learning: a network + batches -> a trained network, which survives being stopped at any moment.

- `options`: what may be set; loads no Keras.
- `objective`: from a batch to the loss that is minimised.
- `recipe`: how the weights are changed: optimizer, learning rate, averages.
- `finder`: what a good learning rate is.
- `state`: all that a run needs to go on, in one file.
- `loop`: what happens between two steps: checkpoints, validations, the end.
- `watchers`, `board`: what is shown and logged: in the terminal, the log, TensorBoard.
- `devices`: accelerators and processes that share a batch; what fits into their memory.

Words: a *step* is one batch; a *leg* is what one process trains without a change of batch size; a *round* ends when
validation no longer gets better.
"""
