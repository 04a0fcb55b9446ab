"""The rows of a set as they are written: in the form of the published sets, or in one of TRL's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges.plugins.contracts import Candidate
from sftgen_judges.plugins.contracts.curating import Form
from sftgen_judges.records.journal import to_json
from sftgen_judges.records.schema import Response, well_formed
from sftgen_train.curation.configuration import Prompts
from sftgen_train.curation.pool.prompts import asked
from sftgen_train.curation.selecting.recipes import THINKING

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]


def written(response: Response, thinking: str = THINKING) -> str:
    """A response as a model is trained on it, whatever marks the teacher's thinking.

    Args:
        response: The response.
        thinking: How thinking and answer stand in it. Of thinking that never ends, only what stands before it.
    """
    if response.think == "none":
        return well_formed(response.answer)
    before, _, after = thinking.partition("{thinking}")
    closed = "" if response.think == "unclosed" else after.replace("{answer}", response.answer)
    return well_formed(f"{before}{response.thinking}{closed}")


def row_of(candidate: Candidate, form: Form, prompts: Prompts, thinking: str = THINKING) -> Row:
    """A candidate as a row.

    Args:
        candidate: The candidate.
        form: Which columns.
        prompts: Where its question comes from, and which columns of the documents are written too.
        thinking: How a response with thinking is written.
    """
    doc = candidate.doc
    user = {"role": "user", "content": asked(prompts, doc["question"])}
    text = written(candidate.response, thinking)
    known = {"id": doc["id"], "sample": candidate.repeat, **{name: _plain(doc.get(name)) for name in prompts.keep}}
    if form == "published":
        return {
            "data_source": str(doc.get("data_source") or Path(prompts.source).name),
            "question": doc["question"],
            "answer": doc["answer"],
            "message": [user],
            "response": text,
            "response_length": candidate.response.tokens,
            "advantage": 1.0,
            **known,
        }
    assistant = {"role": "assistant", "content": text}
    if form == "messages":
        return {"messages": [user, assistant], "answer": doc["answer"], **known}
    return {"prompt": [user], "completion": [assistant], "answer": doc["answer"], **known}


def schema_of(form: Form, kinds: Mapping[str, str]) -> pa.Schema:
    """The columns of a form with their types: the same in all shards, whatever is absent in one.

    Args:
        form: Which columns.
        kinds: What the columns of the documents hold, as `Documents.kinds`.
    """
    import pyarrow as pa

    text, turns = pa.string(), pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
    forms = {
        "published": {
            "data_source": text, "question": text, "answer": text, "message": turns, "response": text,
            "response_length": pa.int64(), "advantage": pa.float64(),
        },
        "messages": {"messages": turns, "answer": text},
        "prompt-completion": {"prompt": turns, "completion": turns, "answer": text},
    }  # fmt: skip
    types = {"text": text, "a whole number": pa.int64(), "a number": pa.float64(), "a truth value": pa.bool_()}
    types |= {f"a list of {name}": pa.list_(of) for name, of in types.items()}
    kept = {name: types.get(kind, text) for name, kind in kinds.items()}
    return pa.schema({**forms[form], "id": text, "sample": pa.int64(), **kept})


def _plain(value: Any) -> Any:
    """A value of a document as a column holds it: objects as JSON."""
    return to_json(value) if isinstance(value, dict) or (isinstance(value, list) and _nested(value)) else value


def _nested(values: list[Any]) -> bool:
    return any(isinstance(value, dict | list) for value in values)
