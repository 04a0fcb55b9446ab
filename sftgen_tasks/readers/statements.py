"""Reading from whole sentences whether a text says that something is hallucinated, or supported.

`statements` finds sentences about hallucination itself ("The answer contains no hallucinated information"), `support`
those about support ("It is supported by the knowledge"). Questions, suppositions, instructions and definitions say
neither. Every pattern repeats a bounded number of characters, so the time is linear in the length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LONGEST = 600
"""Characters of a sentence that are looked at."""
_SENTENCE = re.compile(r"[^.!?;\n]{1,5000}(?:[.!?;]{1,20}|\n)?")
_THING = r"hallucinat\w*"

# ------------------------------------------------------------------------------ what says nothing

_SUPPOSED = re.compile(
    r"\b(?:if(?! (?:i|we|you|one|forced|pressed|asked|necessary|required|anything)\b)|unless|otherwise"
    r"|suppos(?:e|ing)|assuming"
    r"|hypothetically|in that case)\b|(?:\A|[,;:.]\s{0,3})\W{0,3}(?:had|were)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\([^()\n]{0,80}\)")
_NOT_SAID = re.compile(
    r"\b(?:whether|(?:might|may|could|(?<!i )would) (?:\w+ )?(?:be|contain|have|include|introduce|count"
    r"|call|say)|argu(?:e|es|able|ably)"
    r"|defin(?:e|ed|ition)\w*|hallucinat\w* (?:information )?(?:means?|refers? to)|question asks|task is"
    r"|(?:wrong|false|incorrect|mistaken) to|at first (?:sight|glance)|what counts|example of"
    r"|(?:check|look|search|scan|test|examin|watch)\w* (?:\w+ )?for)\b"
    r"|\A\W{0,8}(?:\d{1,2}[.)] )?(?:answer|say|reply|respond|decide|determine|identify|task|the task"
    r"|my task|we need|i need|i have to"
    r"|let me|let's|let us|to (?:decide|determine|check|judge|find|see|answer))\b",
    re.IGNORECASE,
)
# Something other than the candidate is said to contain it.
_OF_ANOTHER = re.compile(
    r"\b(?:knowledge|document|passage|article|source|question|context|dialogue|history|conversation)(?: itself)?"
    rf" (?:also )?(?:contain|ha[sd]|include|is|are|was|do|introduce)(?:s|es|n't|esn't)?\b[^,;]{{0,40}}\b{_THING}",
    re.IGNORECASE,
)
_A_PART = re.compile(
    r"(?<!none of )(?<!all of )(?<!any of )(?<!each of )(?<!all )\b(?:the|this|that|first|second|third|last"
    r"|next|other|one) (?:\w+ )?(?:claim|sentence|part|detail|date|name|point|bullet|line|phrase"
    r"|fact|mention|half|number|year)s?\b[^,;]{0,60}\b(?:is|are|was|were|does|do|isn't|aren't|doesn't|contains?)\b",
    re.IGNORECASE,
)

_OF_ALL = re.compile(r"\b(?:neither|none|no|nothing)\b", re.IGNORECASE)

# In "No the answer is hallucinated" the No denies nothing of what follows.
_BARE_NO = re.compile(r"\bno (?=(?:the|it|its|this|that|there|because|since|as|i|we|according|based)\b)", re.IGNORECASE)
# "Is hallucinated: No" is a field, whatever its name says.
_NAMES_A_FIELD = re.compile(
    rf"\b{_THING}[^\n.:=|]{{0,40}}[:=|][^\w\n]{{0,6}}(?:yes|no|none|not|true|false|absent|present|detected"
    r"|found|[01])\b",
    re.IGNORECASE,
)

# ------------------------------------------------------------------------------ hallucination itself

# "not supported and hallucinated" does not deny the hallucination; nor does what a new clause has begun.
_ELSE_DENIED = (
    r"(?!(?: \w+ly)? (?:supported|found|mentioned|in|stated|given|true|correct|accurate|consistent|factual"
    r"|match\w*|what|from|based"
    r"|present|there|provided|answer\w*|address\w*|align\w*|correspond\w*|agree\w*|reflect\w*|follow\w*"
    r"|exist\w*|entail\w*|verif\w*"
    r"|grounded|only|just|merely|simply|say|said|mention|state|support|know)\b)"
)
_SAME_CLAUSE = (
    r"(?:(?!\b(?:so|but|because|since|thus|therefore|hence|which|making|meaning|instead|yet|however"
    r"|and (?:is|are|contains?|it|the|this|thus|so|therefore|hence|includes?|has))\b|, (?:it|the|this|that"
    r"|i|a)\b|[:!?])[^\n]){0,80}?"
)
_NO_VERB = (
    r"(?:(?!\b(?:so|but|because|since|thus|therefore|hence|which|is|are|was|were|and (?:contains?|it|the"
    r"|this|includes?|has))\b|[:!?])[^\n]){0,80}?"
)
_DENIES = re.compile(
    r"\b(?:no|zero|without|never|neither|nor|nothing|none of|free (?:of|from)|absence of|lacks?|devoid of"
    r"|rather than|instead of"
    rf"|as opposed to|fails? to find|hardly any)\b(?! only\b){_SAME_CLAUSE}\b{_THING}"
    rf"|(?:\bnot|n't|\bcannot)\b{_ELSE_DENIED}(?: (?:think|believe|find|see|feel|consider|judge|agree"
    rf"|the case)\b{_SAME_CLAUSE}"
    rf"|{_NO_VERB})\b{_THING}"
    rf"|\b{_THING}(?: \w+){{0,3}}? (?:(?:is|are|was|were|has been|have been|could be|can be|were) )?(?:not"
    r"|never|nowhere)"
    r" (?:to be )?(?:present|found|detected|identified|there|contained|in|seen|made)\b(?! (?:\w+ ){0,2}"
    r"(?:knowledge|document|passage|article|source"
    r"|context|dialogue|text)\b)"
    rf"|\b{_THING}[ -](?:free|is absent|are absent)\b|\bnon-{_THING}|\bun{_THING}",
    re.IGNORECASE,
)
_NOT_DENIED = re.compile(
    r"(?:\b(?:not|hardly|far from)|n't) (?:\w+ )?(?:free|without|devoid|non-)"
    rf"|\b{_THING}[^\n]{{0,60}}\b(?:except|other than|apart from|besides|aside from)\b|\bno(?:thing)? "
    r"(?:other|but|else)\b",
    re.IGNORECASE,
)
_AFFIRMS = re.compile(
    r"\b(?:contain|includ|ha[sd]|hav|introduc|add|present|constitut|consider|judg|classif|label|deem|amount"
    r"|show|exhibit|involv|mak"
    r"|giv|found|find|detect|identif|spot|see|featur|consist|commit)\w*\b[^\n]{0,80}\b"
    rf"{_THING}|(?:\b(?:is|are|was|were|be|been|being|seems?|appears?|remains|with|of|a)|'s)\b[^\n]{{0,60}}\b{_THING}"
    rf"|\A\W{{0,8}}(?:\w+ ){{0,2}}{_THING}(?: information| content| details?| claims?)?\W{{0,6}}\Z"
    rf"|\b{_THING}(?: \w+){{0,3}}? (?:is|are|was|were) (?:\w+ )?(?:present|found|detected|identified|there"
    r"|contained|in|seen)\b"
    rf"|\b(?:so|hence|thus|therefore|thereby) (?:it is )?{_THING}"
    rf"|\b{_THING} (?:detected|found|present|confirmed)\b|\bthe hallucinated \w+ (?:is|are|was|were|in|here)\b"
    r"|\b(?:it|answer|response|reply|summary|model|author|this|that|which|and|candidate)(?: \w+ly"
    r"| also)? hallucinat(?:es|ed)\b",
    re.IGNORECASE,
)


def statements(text: str) -> Iterator[tuple[int, bool]]:
    """Where sentences end that say whether the candidate is hallucinated, and what each says."""
    for match in _SENTENCE.finditer(text):
        sentence = _BARE_NO.sub("", match.group()[-_LONGEST:])
        if "hallucinat" not in sentence.lower() or not _says_something(sentence) or _OF_ANOTHER.search(sentence):
            continue
        if _NAMES_A_FIELD.search(text, match.start(), min(match.end() + 20, len(text))):
            continue
        if _DENIES.search(sentence):
            if _NOT_DENIED.search(sentence):
                yield match.end(), True
            elif _OF_ALL.search(sentence) or not _A_PART.search(
                sentence
            ):  # one part that is not hallucinated decides nothing
                yield match.end(), False
        elif _AFFIRMS.search(sentence):
            yield match.end(), True


def supposed(sentence: str) -> bool:
    """Whether a sentence is a supposition: what it leads to is not said of the candidate."""
    return _SUPPOSED.search(_ASIDE.sub("", sentence)) is not None


def _says_something(sentence: str) -> bool:
    return not (sentence.rstrip().endswith("?") or supposed(sentence) or _NOT_SAID.search(sentence))


# A field that says it in other words than Yes or No.
_FIELD = re.compile(
    rf"\b(?:(?P<about>(?:\w+ )?{_THING}(?: information)?(?: detected| found| present)?)|(?:\w+ )?"
    r"(?:judge?ment|verdict|decision|classification|label"
    r"|assessment|final answer|determination|ruling))[ \t]?(?:[:=|-]|\bis\b)[\s:=|-]{0,4}"
    rf"(?:(?P<denied>(?:not|non|no|isn't)[ -]?(?:a )?{_THING}|faithful|factual\b|supported|consistent"
    r"|accurate\b|grounded|correct\b"
    rf"|no (?:issues?|errors?|contradictions?))|(?P<said>(?:(?:is|contains|a) )?{_THING}|(?:not|in|un)[ -]?"
    r"(?:supported|faithful|consistent|accurate|correct"
    r"|grounded|factual)|non-?factual|fabricated|made[ -]up|contradict\w*|false information)"
    r"|(?P<absent>none|not (?:present|found|detected)|absent|false|0)|(?P<present>present|detected|found"
    r"|true|1|confirmed)|(?P<letter>[yn](?![/.]\w)))"
    r"\b(?![^\n]{0,3}\?)(?!\.?\d)",
    re.IGNORECASE,
)


def fields(text: str) -> Iterator[tuple[int, bool]]:
    """Where fields such as `Verdict: Hallucinated` and `hallucination: false` begin, and what each says."""
    for match in _FIELD.finditer(text):
        about = match["about"]
        value = bool(match["said"] or match["present"] or (match["letter"] or "").lower() == "y")
        if (match["absent"] or match["present"]) and not about:
            continue  # "Verdict: true" does not say of what
        if about and (match["denied"] or match["said"]) and "hallucinat" not in match.group()[len(about) :].lower():
            continue
        yield match.start(), value != bool(about and re.match(r"(?:no|not|non|free|without)\b", about, re.IGNORECASE))


# ------------------------------------------------------------------------------ support

_CANDIDATE = (
    r"(?:\b(?:answer|response|reply|summary|candidate|it|everything|all|every|each|information|claims?"
    r"|statements?|details?|facts?)\b)"
)
_SOURCE = (
    r"(?:the |this |what the )?(?:given |provided |background |source )?(?:knowledge|document|passage"
    r"|article|source|context|dialogue|text|facts?|evidence)"
)
_HOW = (
    r"(?:(?:fully|entirely|well|completely|directly|clearly|indeed|all|also|factually|perfectly|therefore|thus) ){0,2}"
)
_SUPPORTED = (
    r"(?:supported by|consistent with|faithful to|grounded in|entailed by|in line with|backed (?:up )?by"
    r"|confirmed by|found in"
    rf"|stated in|based on|true to|accurate to) {_SOURCE}|(?:factually )?(?:accurate|correct|supported"
    r"|faithful|grounded|factual)\b"
)
_FALSE = (
    r"(?:false|incorrect|unsupported|inaccurate|fabricated|made[ -]up|invented|non-?factual|misleading"
    r"|untrue|wrong|contradictory)"
    r"(?:,? (?:or|and) \w+)? (?:information|details?|claims?|statements?|facts?|content|data)"
)
_NOTHING_FALSE = (
    rf"(?:\b(?:no|not|n't|without|any|free (?:of|from)|nothing)\b[^.;\n]{{0,40}}\b{_FALSE}|\b(?:nothing|no"
    r"(?:thing)? (?:is )?|not) (?:is )?(?:wrong|false|made up)\b"
    r"|\bno (?:contradictions?|inconsistenc(?:y|ies)|discrepanc(?:y|ies)|errors?|mistakes?|inaccurac(?:y|ies))\b)"
)
_UPHOLDS = re.compile(
    rf"{_CANDIDATE}[^.,;\n]{{0,40}}?\b(?:is|are|was|were) {_HOW}(?:{_SUPPORTED})"
    rf"|{_CANDIDATE}[^.,;\n]{{0,30}}?\b(?:matches|agrees with|follows from|reflects) {_SOURCE}"
    rf"|\b{_SOURCE} (?:{_HOW})(?:supports?|confirms?|backs(?: up)?) (?:the |this |every |all |each )"
    r"(?:answer|response|reply|summary|claims?|statements?)",
    re.IGNORECASE,
)
_REJECTS = re.compile(
    rf"{_CANDIDATE}[^.,;\n]{{0,40}}?(?:\b(?:is|are|was|were) {_HOW}not|\b(?:is|are|was|were)n't) {_HOW}(?:{_SUPPORTED})"
    rf"|{_CANDIDATE}[^.,;\n]{{0,40}}?\b(?:is|are|was|were) {_HOW}(?:unsupported|fabricated|a fabrication|made[ -]up"
    r"|invented|inaccurate|incorrect|unfaithful"
    rf"|wrong|false|inconsistent with|contradicted by|not in {_SOURCE})\b"
    rf"|{_CANDIDATE}[^.,;\n]{{0,40}}?\b(?:contradicts? {_SOURCE}|(?:contain|include|add|introduce|make|give"
    rf"|present)s? [^.,;\n]{{0,30}}?{_FALSE})"
    rf"|{_CANDIDATE}[^.,;\n]{{0,30}}?\b(?:contain|include|add|introduce|mention)s? (?:\w+ ){{0,3}}?(?:that "
    rf"(?:is|are) )?not (?:found |mentioned |stated |given |supported )?(?:in|by) {_SOURCE}"
    rf"|\b{_SOURCE} (?:does not|doesn't|do not|contradicts?) ?(?:support|confirm|back(?: up)?)? ?(?:the "
    r"|this |every |all |each )"
    r"(?:answer|response|reply|summary|claims?|statements?)",
    re.IGNORECASE,
)


# "No evidence supports the claim", "None of the claims is supported"
_NONE = re.compile(
    r"(?:\A|[,;:] )\W{0,4}(?:no(?! (?:doubt|question|problem|issue|need|wonder)s?\b)|none|neither|nothing"
    r"|not (?:one|a single)|hardly any)\b[^,;:]{0,60}\Z",
    re.IGNORECASE,
)


def support(text: str) -> bool | None:
    """Whether a text says that the candidate is supported, where all its sentences about that agree; else None."""
    said = set()
    for match in _SENTENCE.finditer(text):
        sentence = match.group()[-_LONGEST:]
        if not _says_something(sentence):
            continue
        if re.search(_NOTHING_FALSE, sentence, re.IGNORECASE):
            said.add(True)
        elif _REJECTS.search(sentence):
            said.add(False)
        elif upholds := _UPHOLDS.search(sentence):
            said.add(not _NONE.search(sentence[: upholds.start()]))
    return said.pop() if len(said) == 1 else None
