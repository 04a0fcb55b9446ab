"""Whether a training's prompts hold the questions that it is evaluated on: said before its first step, before torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftgen_judges.records.schema import printable
from sftgen_train.curation.contamination.benchmarks import Item, load_items
from sftgen_train.curation.contamination.search import search
from sftgen_train.evaluation.schedule import parse_mapping
from sftgen_train.training.config import HarnessConfig, TrainingConfigError, json_list
from sftgen_train.training.rows import Row, Turn, read_prompt, read_rows


@dataclass(frozen=True)
class Seen:
    """Evaluation questions in training prompts.

    Attributes:
        rows: How many training rows there are.
        hit: How many of them hold a question.
        questions: How many questions each benchmark asks.
        found: How many of them stand in a training prompt, by benchmark.
        left_out: Why a benchmark was not looked for.
    """

    rows: int
    hit: int
    questions: Mapping[str, int]
    found: Mapping[str, int]
    left_out: Mapping[str, str]

    def shares(self) -> dict[str, float]:
        """The share of each benchmark's questions that stand in a training prompt."""
        return {name: self.found.get(name, 0) / count for name, count in self.questions.items()}

    def lines(self) -> Iterator[str]:
        """What a person is told."""
        if self.questions:
            asked, found = sum(self.questions.values()), sum(self.found.values())
            told = ", ".join(f"{_short(name)} {self.found[name]:,} of {self.questions[name]:,}" for name in self.found)
            yield (
                f"Evaluation questions in the training prompts: {found:,} of {asked:,} ({found / asked:.1%}), in "
                f"{self.hit:,} of {self.rows:,} rows" + (f" ({told})" if told else "")
            )
        for why in self.left_out.values():  # it begins with the name of the task
            yield f"Not looked for in the training prompts: {why}"


def require_unseen(fields: Mapping[str, Any], *, tell: bool = True) -> Seen | None:
    """Look for the evaluation's questions in the training prompts; say how many there are.

    Args:
        fields: The fields of a training, as they are written.
        tell: Whether it is printed.

    Returns:
        What was found; None where nothing is evaluated, or everything is allowed.

    Raises:
        TrainingConfigError: More of a benchmark's questions are there than `harness_max_seen` allows.
        DataError: The rows cannot be read, or one cannot be trained on.
        UnknownTaskError: A task that does not exist.
    """
    most = float(fields.get("harness_max_seen", HarnessConfig.harness_max_seen))
    tiers = json_list("harness_tiers", fields.get("harness_tiers"))
    asked = [(_listed(fields.get("harness_tasks")), fields.get("harness_limit"))]
    asked += [(_listed(tier.get("tasks")), tier.get("limit")) for tier in tiers]
    asked = [(names, limit) for names, limit in asked if names]
    if not asked or most >= 1:
        return None
    seen = _look(fields, asked)
    if tell:
        for line in seen.lines():
            print(printable(line), flush=True)
    over = {name: share for name, share in seen.shares().items() if share > most}
    if over:
        told = ", ".join(f"{share:.0%} of {_short(name)}" for name, share in over.items())
        raise TrainingConfigError(
            f"the training prompts hold questions of the evaluation: {told}. Expected at most {most:.0%} "
            f"(harness_max_seen), since a score on questions seen in training measures memory too. Take the rows out "
            f"with `sftgen data contamination {fields['train_data']} --tasks {','.join(over)} --drop FOLDER`, or allow "
            "them with harness_max_seen: 1"
        )
    return seen


def _look(fields: Mapping[str, Any], asked: Sequence[tuple[list[str], Any]]) -> Seen:
    given = fields.get("harness_metadata")
    metadata = given if isinstance(given, Mapping) else parse_mapping("harness_metadata", str(given or ""))
    items: dict[tuple[str, str], Item] = {}
    left_out: dict[str, str] = {}
    for names, limit in asked:
        found, missing = load_items(names, metadata, int(limit) if limit else None)
        items |= {(item.task, item.doc_hash): item for item in found}
        left_out |= {name: why.partition(". ")[0] for name, why in missing.items()}
    questions = Counter(item.benchmark for item in items.values())
    limit = fields.get("train_rows")
    name = str(fields["train_data"])
    rows = read_rows(name, str(fields.get("train_split") or "train"), int(limit) if limit else None)
    column = str(fields.get("dataset_text_field") or "text")
    texts = fields.get("completion_only_loss") is False and column in rows[0]
    read = (_row(row, f"{name}, row {number}", column if texts else "") for number, row in enumerate(rows, 1))
    matches = [hit for hit in search(read, list(items.values()), ("overlap",)).matches if hit.in_prompt]
    found_items = {(hit.benchmark, hit.task, hit.doc_hash) for hit in matches}
    return Seen(
        rows=len(rows),
        hit=len({hit.row for hit in matches}),
        questions=dict(questions),
        found=dict(Counter(benchmark for benchmark, _, _ in found_items)),
        left_out=left_out,
    )


def _row(row: Mapping[str, Any], where: str, column: str) -> tuple[str, Row]:
    """A row without its id; one text counts as a prompt."""
    return "", Row(str(row[column]), Turn("assistant", "")) if column else read_prompt(row, where)


def _listed(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else [str(name) for name in given or ()]


def _short(name: str) -> str:
    return name.removeprefix("sftgen_")
