"""What texts there are, the places in them, and how places are filled.

A place is the name of a document's field in braces. All other braces are text: nothing else is looked up in a
stranger's text, and no language of templates is run.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.schema import content_hash

REPOSITORY = "https://github.com/Nebularaid2000/rethink_sft_generalization"


class PaperPromptError(SftgenError, ValueError):
    """The paper's prompts are asked for and are missing; the message names the next step."""


Texts = Mapping[str, str]

_OPTIONS = {"prompt": {"question", "options"}, "option": {"letter", "option"}, "between": set[str]()}
PLACES: Mapping[str, Mapping[str, set[str]]] = {
    "ifeval": {"prompt": {"prompt"}},
    "truthfulqa": {"prompt": {"question"}},
    "gpqa_diamond": _OPTIONS,
    "mmlu_pro": _OPTIONS,
    "halueval": {
        "qa": {"knowledge", "question", "answer"},
        "dialogue": {"knowledge", "dialogue_history", "response"},
        "summarization": {"document", "summary"},
    },
    "lcb_v2": {"stdin": {"question_content"}, "function": {"question_content"}},
    "hex_phi": {"judge": {"question", "response"}},
}
"""By name: the texts, and the places that each has. `{options}` stands for `option` of every option, with `between`."""

KNOWN: Mapping[str, frozenset[str]] = {
    # Of the commits 3378e2b (first release) and 4a20109 (paths cleaned up): the texts are the same in both.
    "ifeval": frozenset({"75ff35ecbae5bd77ee2b831267fe05a93ff5cabdbbbc9047381e522dc960a3ca"}),
    "truthfulqa": frozenset({"846cd31f3c1e2e6fcd482ec29fd6da3a4e05f9c42ceb150e06c5094c236b4519"}),
    "gpqa_diamond": frozenset({"19ce2926dba384ba4d7496f61d7d0dc35a07e70b382f05209034046096171b80"}),
    "mmlu_pro": frozenset({"70163d87313b485a7a76c78de98c1b96f01fd57d8914fc58f75b78396853dbb7"}),
    "halueval": frozenset({"a0a40deade767b89520c46674c313c6a59102be4a41b367d9c8f46a38a0a0cba"}),
    "lcb_v2": frozenset({"ff248332fa4764d01247fe5440a9aba9f76b7f25c98ddd2e2bcbafcec54142be"}),
    "hex_phi": frozenset({"dd94b32b24f6aa18e455df7a39f6f81aaf7dd8b73aa93507767be8aa75267a30"}),
}
"""By name: `hash_of` the published texts."""


def hash_of(texts: Texts) -> str:
    """SHA-256 of texts, whatever file they stood in."""
    return content_hash(dict(texts))


@dataclass(frozen=True)
class Template:
    """The texts of one name, as they were read.

    Attributes:
        name: One of `PLACES`.
        texts: Each with the places of `PLACES`.
        source: The file of the published repository that held them.
    """

    name: str
    texts: Texts
    source: str

    def __post_init__(self) -> None:
        """Check that the texts are those of the name, with their places.

        Raises:
            PaperPromptError: They are not.
        """
        expected = PLACES.get(self.name)
        if expected is None or set(self.texts) != set(expected):
            raise PaperPromptError(f"{self.name}: expected the texts {', '.join(expected or PLACES)}")
        for text, wanted in expected.items():
            found = set(re.findall(r"\{(\w+)\}", self.texts[text])) & _names(expected.values())
            if found != wanted:
                raise PaperPromptError(
                    f"{self.name}, text {text}: expected the places {_listed(wanted)}, found {_listed(found)}"
                )

    @property
    def sha256(self) -> str:
        """What the texts are known by."""
        return hash_of(self.texts)

    @property
    def known(self) -> bool:
        """Whether they are the published ones."""
        return self.sha256 in KNOWN.get(self.name, ())

    def render(self, text: str, fields: Mapping[str, object]) -> str:
        """One of the texts with the fields of a document."""
        values = {name: fields[name] for name in PLACES[self.name][text] - {"options"}}
        if "options" in PLACES[self.name][text]:
            options = fields["options"]
            assert isinstance(options, list)
            lines = [
                fill(self.texts["option"], {"letter": letter, "option": option})
                for letter, option in zip(string.ascii_uppercase, options, strict=False)
            ]
            values["options"] = self.texts["between"].join(lines)
        return fill(self.texts[text], values)


def fill(text: str, values: Mapping[str, object]) -> str:
    """A text with its places filled at once, so that a value is never looked into."""
    return re.sub(r"\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), text)


def _names(places: Iterable[set[str]]) -> set[str]:
    return {name for names in places for name in names}


def _listed(names: set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names)) or "none"
