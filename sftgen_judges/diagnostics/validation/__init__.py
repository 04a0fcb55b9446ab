"""How good diagnostics are: labelled sets, and precision, recall and F1 on them."""
