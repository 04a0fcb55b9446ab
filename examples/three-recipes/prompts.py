"""The demo's Countdown puzzles as prompts for a teacher: `python prompts.py prompts.jsonl`.

No question of an evaluation with `docs_seed` 0 or 3 is among them.
"""

import json
import sys
from pathlib import Path

from sftgen_train.demo.data import held_out, searched

SEED, SIZE = 1000, 800
rows = [doc for doc, _, _ in searched(SEED, SIZE, excluded=held_out([0, 3]))]
Path(sys.argv[1]).write_text("".join(json.dumps(row) + "\n" for row in rows))
