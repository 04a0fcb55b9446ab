"""Prompts that are messages to a chat server."""

from __future__ import annotations

import json
from typing import Any


def messages(prompt: str) -> list[tuple[str, str]]:
    """The role and text of each message; none if the prompt is plain text."""
    if not prompt.startswith("[{"):
        return []
    try:
        found = json.loads(prompt)
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, list) or not all(isinstance(message, dict) for message in found):
        return []
    return [(str(message.get("role", "?")), _text(message.get("content"))) for message in found]


def last_words(prompt: str) -> str:
    """The text of the last message, or the prompt itself."""
    found = messages(prompt)
    return found[-1][1] if found else prompt


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", part)) if isinstance(part, dict) else str(part) for part in content)
    return str(content if content is not None else "")
