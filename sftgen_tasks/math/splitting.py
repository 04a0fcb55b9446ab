r"""Parting a formula at signs on its highest level: what stands in brackets stays together."""

from __future__ import annotations

import re

from sftgen_tasks.math.words import connects

_THOUSANDS = re.compile(
    r"(?<![\d.,_^])(?<!\d )\d{1,3}(?:(?:(?:,|\{,\}|\{ ?\}|'| ?\\, ?)\d{3})+|(?: \d{3})+|(?:,\d{2})+,\d{3})(?!\d)(?!,\d)"
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s?\{(?:aligned|align\*?|gathered|cases|array)\}(?:\{[lcr| ]{0,20}\})?")
_STEP = re.compile(
    r"\\text\{(?P<words>[^{}]*)\}|(?P<open>\\\{|\\langle(?![a-zA-Z])|[({\[]|\\begin(?=\s?\{))"
    r"|(?P<close>\\\}|\\rangle(?![a-zA-Z])|[)}\]]|\\end(?=\s?\{))|(?P<logic>\\(?:land|lor|wedge|vee)(?![a-zA-Z]))"
    r"|\\[a-zA-Z]+|\\.|[,;]",
    re.DOTALL,
)


def members(text: str) -> tuple[list[str], bool]:
    """What commas, semicolons, line ends and words part on the highest level, and whether there is an "or"."""
    text = _ENVIRONMENT.sub(" ", text).strip() if _ENVIRONMENT.search(text) else text
    lines = "\\begin" not in text
    found_members: list[str] = []
    start = depth = place = 0
    connected = False
    while place < len(text):
        found = _STEP.match(text, place)
        if found is None:
            place += 1
            continue
        one, place = found.group(), found.end()
        if found["words"] is not None:
            if depth == 0 and connects(found["words"]) and text[: found.start()].strip() and text[place:].strip():
                connected = connected or found["words"].lower().strip(" ,").endswith("or")
                unit_words = found["words"].strip().rsplit(" ", 1)[0] if len(found["words"].split()) > 1 else ""
                found_members.append(text[start : found.start()] + (f"\\text{{{unit_words}}}" if unit_words else ""))
                start = place
        elif found["open"]:
            depth += 1
        elif found["close"]:
            depth -= 1
        elif depth == 0 and (one in ",;" or (lines and one == "\\\\") or found["logic"]):
            connected = connected or one == "\\lor"
            found_members.append(text[start : found.start()])
            start = place
    found_members.append(text[start:])
    kept = [member.replace("&", " ") if lines else member for member in found_members if member.strip(" .&")]
    return kept or [text], connected


def parted(text: str, signs: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """A text parted by signs on its highest level, and the signs."""
    sides: list[str] = []
    found_signs: list[str] = []
    start = depth = place = 0
    while place < len(text):
        sign = signs.match(text, place) if depth == 0 else None
        if sign:
            sides.append(text[start:place])
            found_signs.append(sign.group())
            start = place = sign.end()
            continue
        found = _STEP.match(text, place)
        if found is None:
            place += 1
            continue
        place = found.end()
        depth += bool(found["open"]) - bool(found["close"])
    return [*sides, text[start:]], found_signs


def closes(text: str, start: int) -> int:
    """Where the bracket that begins at `start` has closed, or -1."""
    depth, place = 0, start
    while place < len(text):
        found = _STEP.match(text, place)
        if found is None:
            place += 1
            continue
        place = found.end()
        depth += bool(found["open"]) - bool(found["close"])
        if depth == 0:
            return place
    return -1


def unwrapped(text: str) -> str:
    """A text without braces that hold all of it, and without needless ones in it."""
    text = text.strip()
    for _ in range(5):
        if not (text.startswith("{") and closes(text, 0) == len(text)):
            break
        text = text[1:-1].strip()
    return re.sub(r"(?<![\w\\}\]^_]){(\w{1,20})}", r"\1", text)


def without_separators(text: str) -> str:
    r"""A text without separators of thousands: `20,000\pi`, `1 000`. `(100,200)` stays."""
    if not re.search(r"\d[,' {\\]", text):
        return text

    def joined(found: re.Match[str]) -> str:
        before, after = text[: found.start()].rstrip(), text[found.end() :].lstrip()
        # `(100,200)`, `[100,200]` and `\{100,200\}` have two members, `\frac{20,000}{3}` has one.
        alone = before.endswith(("(", "[", "\\{")) and after.startswith((")", "]", "\\}"))
        return found.group() if alone else re.sub(r"[^\d]", "", found.group())

    return _THOUSANDS.sub(joined, text)
