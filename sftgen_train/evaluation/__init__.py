"""One model is evaluated now: in a trainer's process, or from a folder."""
