r"""Reading Yes or No: what a word is an answer to comes before where it stands.

`words` finds every Yes and No that can be an answer and says what each answers (`Role`): the judgement that was asked
for, a question about hallucination, another field or question, or nothing that is named. A supposition ("the judgement
would be No if ..."), a choice ("Yes or No") and a No that belongs to a noun ("no support") are no answers. "No" is read
wherever "Yes" would be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from sftgen_tasks.readers.looks import plain_text, without_struck
from sftgen_tasks.readers.statements import supposed

_MOST = 2000
"""Words at the beginning and at the end of a text that are looked at."""
_BACK = 300
"""Characters before a word that are looked at."""


class Role(IntEnum):
    """What a word answers, the best first."""

    TAGGED = 0  # <answer>Yes</answer>
    ASKED = 1  # "Hallucination: Yes", "Does it contain hallucinated information? Yes"
    JUDGEMENT = 2  # "Judgement: Yes", "my final answer is Yes"
    ALONE = 3  # on its line, or the whole last sentence
    CONCLUSION = 4  # "Conclusion: Yes"
    LEADING = 5  # the first word of the text
    SENTENCE = 6  # the first word of a sentence; "so yes"
    ANSWER = 7  # "the answer is Yes": perhaps the candidate's own
    SUPPORT = 8  # "Supported by the knowledge: Yes" means No


@dataclass(frozen=True)
class Word:
    """One Yes or No.

    Attributes:
        yes: Whether it says yes to what was asked; for `SUPPORT`, and where a field denies ("No hallucination: Yes"),
            already turned round.
        role: What it answers.
        start: Where it begins.
        end: Where it ends.
    """

    yes: bool
    role: Role
    start: int
    end: int


# ------------------------------------------------------------------------------ text without looks

_DASHES = re.compile(r" ?(?:[\u2010-\u2015\u2190-\u21ff\u27f0-\u27ff\u2794-\u27be]|--+>?|[-=]>) ?")
# What the candidate says, right behind its name: The answer "No" is ..., The reply says "No, he is not".
_CITED = re.compile(
    r"(\b(?:answer|response|reply|candidate|summary|statement|claim|says|said|states|stated|replies|claims|reads|writes"
    r"|answers|answered|asks|that)(?: of)?,?) (?:\"[^\"\n]{1,500}\"|\u201c[^\u201d\n]{1,500}\u201d|"
    r"(?<!\w)'[^'\n]{1,500}'(?!\w)"
    r"|(?:yes|no)(?= (?:is|contains?|does|has|was)\b))",
    re.IGNORECASE,
)
# The next field of a JSON object, on a line of its own.
_NEXT_KEY = re.compile(r",\s*(?=[\"'][\w ]{1,60}[\"']\s{0,4}:)")
_BLANKS = re.compile(r"[^\S\n]+")
_QUOTES = re.compile(r"[\"#\u2018\u2019\u201c\u201d\u00ab\u00bb]|(?<!\w)'|'(?!\w)")
_OFFERED = re.compile(r" ?[(\[] ?(?:yes|no) ?(?:/|\||,? ?or\b) ?(?:yes|no) ?[)\]]", re.IGNORECASE)
_MARKS = re.compile(r"^[ \t]{0,8}(?:[-+\u2022\u25aa>]|\(?\d{1,2}[.)]|\(?[a-z]\))[ \t]{1,4}", re.MULTILINE)


def prose(text: str) -> str:
    """A text without looks, quotation marks and the marks of lists; arrows and dashes are ` - `. "(Yes/No)" goes."""
    plain = _CITED.sub(r"\1", _NEXT_KEY.sub("\n", plain_text(without_struck(text))))
    plain = _QUOTES.sub("", plain).replace("_", " ")
    plain = _BLANKS.sub(" ", plain)
    return _MARKS.sub("", _DASHES.sub(" - ", _OFFERED.sub("", plain))).strip()


# ------------------------------------------------------------------------------ words

# What may follow a No that is an answer: no noun, but a sign or one of these.
_GOES_ON = (
    # Conjunctions, pronouns, articles.
    r"(?:(?:and|but|because|since|as|so|hence|thus|therefore|while|although|though|however|when|where|which|who|what"
    r"|whatever|if|unless|once|whereas|until|the|its?|this|that|these|those|there|all|every|everything|each"
    r"|both|an?|i|we"
    r"|you|he|she|they|my|our|your|their|his|her|nothing|none|neither|not|is|are|was|does"
    # Prepositions.
    r"|about|above|according|across|after|against|among|around|at|based|before|behind|below|besides|between|beyond|by"
    r"|concerning|considering|despite|due to|during|except|for|from|given (?:the|that|this|these|all|what|how)|in"
    r"|including|like|of|on|over|per|regarding|thanks to|through|throughout|to|under|unlike|upon|via|with"
    r"|within|without"
    # Adverbs.
    r"|always|already|again|also|even|here|indeed|just|now|only|overall|perhaps|rather|really|see|still"
    r"|then|too|very|yet"
    r"|(?!(?:family|reply|supply|anomaly|assembly|ally|fly|early|likely|daily|july|italy)\b)[a-z]{2,}ly)\b"
    # Participles: "judging by", "supported by".
    r"|[a-z]+ing (?:the|an?|all|it|this|that|to|at|on|in|with|by|from)\b|[a-z]+ed (?:by|with|in|to|on|from)\b"
    r"|consistent with\b|having\b|\d{1,3}(?:\.\d+)? ?%|[01]?\.\d|1\.0"
    # The next field.
    r"|(?:explanation|reason\w*|confidence|justification|rationale|note|analysis|evidence|certainty|score|probability)"
    r" ?[:=(-])"
)
_DENIED = (
    r"(?:\w+ )?(?:hallucinat|non-?factual|contradict|inconsisten|discrepanc|fabricat|false|inaccura"
    r"|incorrect|error|mistake|misinformation|made-up"
    r"|invented|unsupported|untrue)\w*"
)
_OTHER = r"(?: ?(?:/|\||,? ?(?:or|and)\b|vs\.?) ?(?:yes|no)\b| - (?:yes|no)\W{0,4}(?:\Z|\n))"
_WORD = re.compile(
    r"(?<![\w'-])(?<!yes or )(?<!no or )(?<!yes and )(?<!no and )(?<!yes/)(?<!no/)(?<!yes / )(?<!no / )"
    r"(?<!yes \| )(?<!no \| )"
    r"(?!yes no\b\W{0,4}(?:\Z|yes\b))(?!no yes\b\W{0,4}(?:\Z|no\b))"
    rf"(?:(?P<yes>yes)\b|(?P<no>no)(?= ?(?:[^\w\s'?]|\n|\Z)|[ -](?:{_GOES_ON}|{_DENIED})| {{0,2}}(?P<label>"
    r"(?-i:[A-Z])|\w+:)))"
    rf"(?!-(?!(?:the|it|this|that|there|because|as|all|every)\b)\w)(?! ?\?)(?!{_OTHER})",
    re.IGNORECASE,
)
_ANSWERS_ON = re.compile(rf" (?:{_GOES_ON}|{_DENIED})", re.IGNORECASE)
# "No. 1 of the charts", "No. 2"
_NUMBERED = re.compile(
    r"\. ?\d{1,2}\b(?= (?:of|on|in|at|hit|single|song|album|spot|position|ranked|is|was)\b|,|\W{0,3}\Z)", re.IGNORECASE
)
_CHOICE = re.compile(r"[,;: ]{1,2}(?:if|when|in case|otherwise)\b[^.\n]{0,200}?\b(?:yes|no)\b", re.IGNORECASE)

# ------------------------------------------------------------------------------ what a word answers

_LINK = re.compile(
    r"(?:(?P<verb>\b(?:is|are|be|was|remains|stays)\b|[\u662f\u4e3a])|(?P<sign>[:=|\]]|(?:^|(?<=\s))-))"
    r"[\s:=|(\[-]{0,6}(?:(?:therefore|thus|then|hence|clearly|simply|definitely|a|an|now|still|just|indeed"
    r"|probably|likely)\b[ ,:]{0,2}){0,3}\Z",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(?P<tag>[a-z][\w -]{0,40})>[\s\[(]{0,4}\Z", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:judge?ment|verdict|decision)(?: of)? \Z", re.IGNORECASE)
_HYPOTHETICAL = re.compile(r"\b(?:would|could|might)(?: \w+)?\s*\Z", re.IGNORECASE)
_FINAL = re.compile(r"\b(?:final|so|therefore|thus|hence|overall|my|i)\b", re.IGNORECASE)
_ABOUT_IT = re.compile(r"hallucinat", re.IGNORECASE)
_DENIED_FIELD = re.compile(r"\b(?:no|not|non|free|without|absence)\b", re.IGNORECASE)
_PART = re.compile(
    r"\b(?:(?:claim|sentence|part|point|fact|detail|item|statement)s? ?(?:\d|[a-z]\b|one|two)|(?:first"
    r"|second|third) \w+)",
    re.IGNORECASE,
)
_JUDGED = re.compile(
    r"\b(?:judge?ments?|verdict|decision|determination|classification|ruling|urteil|jugement|juicio|veredicto)\b"
    r"|\u5224\u65ad|\u5224\u5b9a|\u7ed3\u8bba"
    r"|\A\W{0,4}(?:correction|edit|revision|update)\s{0,2}\Z"
    r"|\b(?:final|overall|my|our) (?:\w+ )?(?:answer|response|result|output|assessment|evaluation|label"
    r"|reply|choice|call)\b"
    r"|\b(?:assessment|evaluation|prediction|label)\s{0,2}\Z",
    re.IGNORECASE,
)
_CONCLUDED = re.compile(
    r"\b(?:conclusion|result|output|findings?|overall|bottom line|in short|outcome|final)\s{0,2}\Z", re.IGNORECASE
)
_OF_THE_CANDIDATE = re.compile(
    r"\b(?:correct(?:ed)?|right|true|actual|expected|reference|gold|given|provided|candidate(?:'s)?"
    r"|original|suggested|revised|proposed|models?"
    r"|model's|users?|user's|assistant's|real|proper|truth|better|improved|question's|its|their) (?:answer"
    r"|response|reply|summary|statement"
    r"|version)\b",
    re.IGNORECASE,
)
_OTHER_JUDGEMENT = re.compile(
    r"\b(?:expected|reference|gold|human|other|alternative|opposite|previous|earlier|first|initial|original|wrong"
    r"|preliminary|tentative|provisional|former)"
    r" (?:judge?ment|verdict|decision|classification|answer|label)\b",
    re.IGNORECASE,
)
_ANSWERS = re.compile(
    r"(?:\A|\b(?:the|this|so|thus|hence|therefore|an|short|quick|brief|simple)\s|[,:]\s)\W{0,3}(?:answer"
    r"|response|reply|ans|a|respuesta|r\u00e9ponse|antwort|resposta|risposta|\u7b54\u6848)\s{0,2}(?:to (?:the"
    r"|your|this) question\s?)?(?:(?:here|to this|thus|would|should|must"
    r"|will|has to|can|therefore)\b ?){0,3}\Z",
    re.IGNORECASE,
)
_SUPPORTS = re.compile(
    r"\A\W{0,4}(?:(?:is|are|it|answer|response|summary|reply|the|fully|well|everything|all) ){0,4}"
    r"(?:supported|faithful|factual|consistent|grounded|accurate|entailed)\b",
    re.IGNORECASE,
)
_OWN = re.compile(
    r"\b(?:i|my|me|we|our|here|everything|altogether|opinion|view|think|thoughts?|analysis|reasoning"
    r"|checking|comparison|compared|reflection|thought|tl;?dr|dr)\b",
    re.IGNORECASE,
)
_LEADS_IN = re.compile(
    r"\A\W{0,4}(?:(?:so|therefore|thus|hence|consequently|accordingly|overall|ultimately|finally|in "
    r"(?:conclusion|short|summary|total|sum)|to (?:conclude|sum up)|all in all|tl;?dr"
    r"|(?:it|that|this)(?:'s| is)(?: an?)?(?: clear| definite| plain| firm| simple)?"
    r"|i(?:'m| am)? (?:lean|leaning|settle|settling|going)(?: towards?| with| for| on| to)?"
    r"|definitely|clearly|certainly|absolutely|obviously|well|ok(?:ay)?|then|and|also|again|indeed"
    r"|of course|simply|my|the|short|quick|plain"
    r"|i(?: would|'d| will|'ll| must| have to| can)?(?: therefore| thus| then)? (?:say|answer|think"
    r"|conclude|judge|respond|reply|vote|go|decide|choose)"
    r"(?: that| with| it is| it as| on| for)?)\b\W{0,3}){1,4}\Z",
    re.IGNORECASE,
)
_INTRODUCED = re.compile(
    r"\A\W{0,4}(?:given|based on|to answer|considering|in light of|looking at|after|with (?:this|that|all)|as such"
    r"|for (?:these|this|that|the above) reasons?|because of)\b[^.!?\n]{0,250}[,:] \Z",
    re.IGNORECASE,
)
_IN_CLAUSE = re.compile(
    r"(?:[,;] (?:and )?(?:so|then)|\b(?:therefore|thus|hence|consequently))(?: the answer is| i say| i answer)?,? \Z",
    re.IGNORECASE,
)
# "No... wait, actually yes": what was said before is taken back.
_CORRECTED = re.compile(
    r"(?:\b(?:wait|sorry|oops|(?:scratch|strike|make) that|correction|corrected|on (?:second|further) thoughts?|i mean"
    r"|i meant|my mistake|actually)\b[,:.\u2026 -]{0,4}(?:(?:no|actually|i mean|it(?:'s| is)|so|the (?:answer"
    r"|judge?ment) is)\b[,:]? ?){0,2}){1,3}\Z",
    re.IGNORECASE,
)
_SENTENCE_BEFORE = re.compile(r"[.!?;]\s|\n")
_TAGS = {"answer", "final answer", "output", "response", "result"}
_HEADING = 6
"""Most words of a heading without a colon."""
_RESTATES = re.compile(
    r"^\W{0,4}(?:question|q|knowledge|document|dialogue(?: history)?|context)\b[^\n:]{0,20}:(?P<asked>[^\n]{0,2000})",
    re.IGNORECASE | re.MULTILINE,
)

# The first that matches the name of a field says what its Yes or No answers; None for what is no judgement.
_FIELDS: tuple[tuple[re.Pattern[str], Role | None], ...] = (
    (_PART, None),
    (_ABOUT_IT, Role.ASKED),
    (_OF_THE_CANDIDATE, None),
    (_OTHER_JUDGEMENT, None),
    (_JUDGED, Role.JUDGEMENT),
    (_CONCLUDED, Role.CONCLUSION),
    (_ANSWERS, Role.ANSWER),
    (_SUPPORTS, Role.SUPPORT),
    (_OWN, Role.SENTENCE),
)
_Answered = tuple[Role | None, bool]
_NOTHING: _Answered = (None, False)


def words(text: str) -> Iterator[Word]:
    """Every Yes and No of a text (as `prose` gives it) that is an answer, in their order."""
    found = list(_WORD.finditer(text))
    if len(found) > 2 * _MOST:
        found = found[:_MOST] + found[-_MOST:]
    for match in found:
        role, turned = _role(text, match)
        if role is not None:
            yield Word(bool(match["yes"]) != turned, role, match.start(), match.end())


def _role(text: str, match: re.Match[str]) -> _Answered:
    """What a word answers, None if nothing that counts; and whether its sense is turned round."""
    start, end = match.span()
    back = text[max(0, start - _BACK) : start]
    sentence = _SENTENCE_BEFORE.split(back)[-1]
    if supposed(sentence) or _CHOICE.match(text, end) or _supposed_behind(sentence, text[end : end + 200]):
        return _NOTHING
    tag, link = _TAG.search(sentence), _LINK.search(sentence)
    leads_in = _LEADS_IN.match(sentence) or _INTRODUCED.match(sentence)
    named = link and re.search(r"\w", sentence[: link.start()])
    found = _NOTHING
    if tag:
        found = (Role.TAGGED, False) if tag["tag"].lower() in _TAGS else _of_field(tag["tag"], text, start)
    elif _NAMED.search(sentence) or (_CORRECTED.search(back.split("\n")[-1]) and _ends_sentence(text, match)):
        found = Role.JUDGEMENT, False
    elif link and named and not leads_in:
        found = _of_field(sentence[: link.start()], text, start, verb=bool(link["verb"]))
    elif match["no"] and (_NUMBERED.match(text, end) or (match["label"] and not _ANSWERS_ON.match(text, end))):
        pass  # "No. 1", "No Paris": a No that begins a sentence, but no answer
    elif not re.search(r"\w", sentence):
        found = _of_place(text, start, end)
    elif leads_in or _IN_CLAUSE.search(sentence):
        found = (Role.ALONE if _is_last(text, end) else Role.SENTENCE), False
    return found


def _of_field(label: str, text: str, start: int, *, verb: bool = False) -> _Answered:
    """The role of a word behind a label: `Supported: Yes`, or with a verb `the judgement should be Yes`."""
    parts = r"[,;]\s|\b(?:so|because|since)\s" if verb else r"[,;{[|]|:\s"
    name = re.split(parts, label.rstrip(" |,;"))[-1]
    if verb and len(name.split()) < 2:  # the judgement, therefore, is
        name = label
    role = next((role for pattern, role in _FIELDS if pattern.search(name)), None)
    if role is Role.JUDGEMENT and _HYPOTHETICAL.search(label) and not _FINAL.search(label):
        role = Role.ANSWER  # with another year the judgement would be
    if role is Role.ASKED:
        return role, bool(_DENIED_FIELD.search(name))
    if role is Role.ANSWER:
        restated = list(_RESTATES.finditer(text, max(0, start - 5000), start))
        asked = bool(restated and _ABOUT_IT.search(restated[-1]["asked"]))
        return (role if not restated else Role.ASKED if asked else None), False
    return (None if verb and role is Role.SENTENCE else role), role is Role.SUPPORT


def _of_place(text: str, start: int, end: int) -> _Answered:
    """The role of a word that begins a sentence: by the question or the heading before it, else by its place."""
    line_start = text.rfind("\n", 0, start) + 1
    begins_line = not re.search(r"\w", text[line_start:start])
    before = text[max(0, start - _BACK) : start].rstrip(" \t\n-*([<>|")
    if before.endswith("?"):
        question = re.split(r"[.!;\n]\s?", before)[-1]
        asked = Role.ASKED if _ABOUT_IT.search(question) else Role.JUDGEMENT if _JUDGED.search(question) else None
        return asked, asked is Role.ASKED and bool(_DENIED_FIELD.search(question))
    if begins_line and before:
        heading = before.rsplit("\n", 1)[-1]
        short, marked = len(heading.split()) <= _HEADING, heading.endswith(":")
        found = _of_field(heading.rstrip(":"), text, start)
        if marked and (found[0] is not None or short):
            return found
        if short and not heading.endswith((".", "!", ")")) and found[0] in {Role.ASKED, Role.JUDGEMENT, Role.SUPPORT}:
            return found
    stands = re.match(r"[^\w\n]{0,6}(?:\n|\Z)", text[end : end + 8])
    if (begins_line and stands) or _is_last(text, end):
        return Role.ALONE, False
    return (Role.LEADING if not re.search(r"\w", text[:start]) else Role.SENTENCE), False


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Whether a word ends its sentence; a No has to be the last word, because "Wait, no." takes something back."""
    return _is_last(text, match.end()) or (bool(match["yes"]) and bool(re.match(r"[.!\n]", text[match.end() :])))


def _is_last(text: str, end: int) -> bool:
    return len(text) - end <= 8 and not re.search(r"[\w?]", text[end:])


def _supposed_behind(sentence: str, rest: str) -> bool:
    """The judgement would be No if the summary said 1990."""
    clause = re.split(r"[.!?;\n]", rest, maxsplit=1)[0]
    return bool(re.search(r"\b(?:would|could|might)\b", sentence, re.IGNORECASE)) and bool(
        re.search(r"\b(?:if|had|unless|were|provided that|only when)\b", clause, re.IGNORECASE)
    )
