"""The tokens of the training batches, as the model in training predicts them: read from its own forward passes."""
