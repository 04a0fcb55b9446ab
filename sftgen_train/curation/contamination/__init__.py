"""Which training rows hold questions of a benchmark."""
