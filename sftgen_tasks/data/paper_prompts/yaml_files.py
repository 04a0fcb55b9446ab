"""Prompts in a stranger's task file for lm_eval: YAML and Jinja are parsed, no function is looked up or called."""

from __future__ import annotations

from typing import Any

import yaml
from jinja2 import Environment, TemplateError, nodes

from sftgen_tasks.data.paper_prompts.python_files import Parts, Place, TextError


class _Loader(yaml.SafeLoader):
    """Passes over lm_eval's `!function`; any other tag is refused."""


_Loader.add_constructor("!function", lambda _loader, _node: None)


def prompt_of(text: str) -> Parts:
    """The `doc_to_text` of a task file.

    Raises:
        TextError: It is not YAML, has none, or its template does more than to add texts and fields.
    """
    try:
        config: Any = yaml.load(text, _Loader)
        template = config["doc_to_text"]
        is_text = isinstance(template, str)
        parsed = Environment(keep_trailing_newline=True, autoescape=False).parse(template if is_text else "")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise TextError(f"not YAML{f', line {mark.line + 1}' if mark else ''}") from None
    except TemplateError:
        raise TextError("doc_to_text is no template") from None
    except (KeyError, TypeError):
        raise TextError("no doc_to_text") from None
    except (RecursionError, ValueError):
        raise TextError("nested too deeply, or not YAML") from None
    if not is_text:
        raise TextError("doc_to_text is no text")
    found: Parts = ()
    for statement in parsed.body:
        if not isinstance(statement, nodes.Output):
            raise TextError("doc_to_text: a template that is not read")
        for node in statement.nodes:
            found += _parts(node)
    return found


def _parts(node: nodes.Node) -> Parts:
    if isinstance(node, nodes.TemplateData):
        return (node.data,)
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        return (node.value,)
    if isinstance(node, nodes.Name):
        return (Place(node.name),)
    if isinstance(node, nodes.Add):
        return _parts(node.left) + _parts(node.right)
    raise TextError("doc_to_text: a template that is not read")
