r"""Sentences that name the letter of an option: "The answer is (B)", "I choose option B", "B is correct".

A sentence that denies a letter or only supposes it names none: "the answer is not B", "if the answer is B", "B is
wrong", "I first thought the answer is B". Every pattern starts at a word or sign and then repeats only blanks or a few
words, so that all take time linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SEVERAL = ""
"""What is read where several letters are named. It is no answer, and nothing weaker is read instead."""

# ------------------------------------------------------------------------------ a letter

# E. coli is no option E.
SPECIES = (
    r"\. (?:coli|elegans|melanogaster|cerevisiae|aureus|subtilis|sapiens|tuberculosis|difficile|albicans|thaliana)\b"
)
# A letter that is no part of a word, of a hyphenated word or of a formula.
_ALONE = (
    r"(?![A-Za-z0-9_+#\u00aa-\u02af\u0370-\u052f\u2080-\u209c])(?!'[a-z])(?!-[A-Za-z0-9])(?!\.\d|\.[A-Za-z]\.|/[a-z0-9]"
    r"|[\u00b0\u2032^\\])"
    r"(?! {0,2}(?:[=+<>\u00d7\u00b7\u2260\u2248\u2264\u2265\u2208]|-?->|\u2192|\u21cc|\\[a-zA-Z]{1,20}) {0,2}[\w(\\-])"
    r"(?!\([a-z](?:, ?[a-z]){0,3}\))"
    rf"(?!{SPECIES})"
)
# A lower-case i in brackets is a Roman numeral. Other lower-case letters count in brackets or at the end of a line.
_LETTER = (
    r"(?:[(\[]{1,2} {0,2}(?-i:(?P<bracketed>[A-Ja-hj])) {0,2}[)\]]{1,2}(?! ?[=+^_<>])"
    rf"|(?-i:(?P<bare>[A-J])){_ALONE}"
    r"|(?-i:(?P<small>[a-hj]))(?=[.)\"]{0,3}\s{0,3}(?:\n|\Z)))"
)
# If one of these follows, a bare A is no article, an I is not the writer, and a B does not begin a name.
_GOES_ON = re.compile(
    r" {0,3}[^ a-z]| {0,3}\Z| {1,3}(?:because|since|as|due|based|which|where|that|is|was|and|or|but|not|with|for|in|on"
    r"|at|by|from|to|when|if|given|according|here|only|again|then|so|would|will|has|after|rather|instead|over|among"
    r"|except|while|whereas|although|though|however|unlike|unless)\b"
)
# A bare letter that ends its sentence, or after which the reason follows.
_ENDS = re.compile(
    r"[\"')\]]{0,2}(?:[.!,;]?\s{0,3}(?:\n|\Z)|[.!,;](?= )| (?:because|since|due to|as (?:it|this|that|the (?:correct"
    r"|right|best|final|most|answer)))\b)"
)
_ANOTHER = re.compile(
    r"(?:[\"' ]{0,2}[)\]]?(?: {0,2}\(?(?:,|;|/|&|\+|\||\band\b|\bor\b(?: (?:possibly|maybe|perhaps|even))?|\bto\b"
    r"|\bas well as\b|[\u548c\u6216])){1,3} {0,2}"
    r"(?:options? )?| {1,2})[(\[\"']?(?-i:[A-J])(?=[)\]\"']|\s{0,2}(?:[.,;/&]|and\b|or\b|are\b|\n|\Z))",
    re.IGNORECASE,
)
_CLOSED = re.compile(r"(?: {0,2}[)\]]){0,2}")
_NUMERAL = re.compile(
    r"[)\]]?(?: only\b| {0,2}(?:,|&|\band\b|\bor\b|[-\u2013]){1,2} {0,2}(?:and |or )?[(\[]?(?:III?|IV|VI{0,3}|IX)\b)"
)


def several(text: str, end: int) -> bool:
    """Whether another letter follows the one that ends at `end`, as in "A and C"."""
    return bool(_ANOTHER.match(text, end))


def is_numeral(name: str, text: str, end: int) -> bool:
    """Whether the letter that ends at `end` is a Roman numeral, as in "I and III" and "I only"."""
    return name == "I" and bool(_NUMERAL.match(text, end))


# ------------------------------------------------------------------------------ forms of sentences

_ADVERBS = (
    r"(?:therefore|thus|then|hence|indeed|clearly|most|likely|probably|simply|still|now|again|actually|definitely"
    r"|certainly|obviously|just|only|really|also|evidently|best|closely|directly|exactly)"
)
_KINDS = (
    r"(?:correct|right|best|final|chosen|selected|appropriate|suitable|closest|nearest|only|likely|probable|accurate"
    r"|valid|my|our|preferred|true|fitting|reasonable|plausible)"
)
_NOUNS = r"(?:option|choice|letter|one|alternative|selection|pick|match|fit|guess|candidate|conclusion|solution)"
_BE = (
    r"(?:(?:is|was|are|remains|becomes|seems|appears|(?:should|would|must|will|shall|has to|needs to|ought to|seems to"
    rf"|appears to|turns out to|can only)(?: {_ADVERBS}){{0,2}} be)\b|'s\b):?"
)
_SIGNS = r":|={1,2}>?|-{1,2}>?|[\u2013\u2014\u2192\u21d2\u27f9]"
_OPEN = r"[\s:,\"']{0,6}(?:\[[\"'])?"
_SO = r"(?:so|thus|therefore|hence|consequently|accordingly|finally|overall|actually|by (?:process of )?elimination)"
_WILL = (
    r"(?:'d|'ll|'m| would| will| must| should| can| therefore| thus| shall| now| am| are| (?:have|am going|decide) to)?"
)
# "option" before a letter makes clear that the letter is one.
_NAMED = r"(?P<named>(?:answer )?(?:option|choice|answer|letter|alternative)s? ?:? {0,2}[\"']?)?"

_ANSWER = (
    rf"(?<![A-Za-z])(?:answers?|ans|{_KINDS}[ _-]{_NOUNS})"
    r"(?:[ _](?:choice|option|letter|here|(?:to|for|of|among|from) (?:the|this|these|all|your|given)"
    r" (?:\w{1,20} ){0,2}(?:question|problem|options|choices|above|alternatives))"
    rf"|, (?:I (?:think|believe|guess)|{_ADVERBS}|of course|in my opinion|as (?:shown|explained"
    rf"|seen) above),)?[\"']? {{0,2}}"
    rf"(?P<link>{_BE}|{_SIGNS}|(?= [(\[][A-J][)\]][.!]?\s{{0,3}}(?:\n|\Z))| {{0,2}}(?=\n))"
)
_FILLERS = (
    rf"(?:[\s:,]{{1,4}}(?:{_ADVERBS}|closest|nearest|the|correct|right|final|to|option|choice|answer|letter|alternative"
    rf"|item|number|labell?ed|marked|given|by|in|represented|following|response|I (?:think|believe"
    rf"|guess))\b){{0,5}}{_OPEN}"
)
_WHICH = (
    r"\b(?:option|choice|answer|one) (?:that|which)(?: (?!not\b|isn't|doesn't|incorrect|wrong|false)[\w'-]{1,20}){1,8}"
    r" (?:is|would be|must be):?(?: the)? {0,2}(?P<named>(?:option|choice|answer|letter) {0,2})?"
)
_HEADING = (
    r"(?:\A|\n) {0,3}(?:(?:final|selected|my|the|correct|chosen|best) ){0,2}(?:A(?= ?[:-])|correct|solution"
    r"|result|conclusion"
    r"|choice"
    r"|option|letter|selection|final|verdict|key|decision)\"? {0,2}(?::|=|->|=>|[\u2192\u21d2])\s{0,3}"
    r"(?P<named>(?:option|choice) {0,2})?"
)
_THINGS = (
    rf"\b{_KINDS} (?:statement|explanation|description|expression|formula|equation|value|interpretation|mechanism"
    r"|structure|product|reason|order|sequence|graph|definition|example|term|diagnosis|treatment|result|approach) "
    rf"{_BE}(?: (?:{_ADVERBS}|the|in|given by)){{0,3}}(?=[\s:]{{0,3}}(?:[(\[]|(?:option|choice|answer)\b)){_OPEN}"
)
_MAKES = (
    rf"\b(?:makes|making) {_NAMED}{_LETTER} (?:the|our)(?: (?:only|most|best|correct|right|likely|appropriate)){{0,2}}"
    r" (?:answer|option|choice|one)\b"
)
_CHINESE = (
    "(?:(?:\u4e0d[,. ]{0,2}(?<=[,. ])|\u800c)\u662f|(?:\u7b54\u6848|\u9009\u9879|\u9078\u9805|\u7b54\u3048"
    "|\u6b63\u89e3|\u89e3\u7b54|\uc815\ub2f5|\ub2f5)"
    "(?:\u5e94\u8be5|\u61c9\u8a72|\u5e94|\u61c9)?(?P<link>\u662f|\u9009|\u9078|\u4e3a|\u70ba|\\]|:|\u306f|\uc740|\ub294|[\u2013\u2014-])"
    "|(?:\\A|[\n,.\u6545\u5e94\u61c9\u6211\u6b64\u9898\u984c])(?:\u9009|\u9078)(?:\u62e9|\u64c7)?)"
    "[\\s:]{0,3}(?:\u9009\u9879|\u9078\u9805|\u9009|\u9078)?[\\s:\"']{0,3}"
)
_CHINESE_CORRECT = (
    rf"(?:\u9009\u9879|\u9078\u9805|(?<!\w)) ?{_LETTER}"
    " ?(?:\u9879|\u9805)?(?:\u662f|\u4e3a)?(?:\u6b63\u786e|\u6b63\u78ba|\u5bf9)"
)
_EUROPEAN = (
    r"(?<![A-Za-z])(?:respuesta|opci\u00f3n|op\u00e7\u00e3o|opzione|alternativa|r[e\u00e9]ponse|antwort|l\u00f6sung|risposta|resposta|\u043e\u0442\u0432\u0435\u0442"
    r"|odpowied\u017a|cevap|svar|antwoord|jawaban|\u0111\u00e1p \u00e1n"
    r"|\u0627\u0644\u0625?\u062c\u0627\u0628\u0629|\u0625\u062c\u0627\u0628\u0629|\u0627\u0644\u062c\u0648\u0627\u0628)"
    r"(?: (?:finale?|final|correcta?|correcte|corretta|correta|benar|\u0111\u00fang|yang benar"
    r"|\u0627\u0644\u0635\u062d\u064a\u062d\u0629?|\u0627\u0644\u0646\u0647\u0627\u0626\u064a\u0629))? {0,2}"
    rf"(?P<link>(?:es|est|ist|\u00e8|\u00e9|is|\u00e4r|er|adalah|l\u00e0|lautet|to|\u0647[\u064a\u0648])\b|{_SIGNS})"
    r"(?:[\s:,]{1,4}(?:a|la|le|die|der|das|opci\u00f3n|option|opzione|op\u00e7\u00e3o|r\u00e9ponse|lettre|letra|lettera"
    rf"|alternativa|alternative|antwort|\u0432\u0430\u0440\u0438\u0430\u043d\u0442|buchstabe)\b){{0,3}}{_OPEN}"
)
_NOT_THIS = (
    r" ?not {0,2}(?:option )?[(\[]?[A-J][)\]]?,? (?:but|it is|it's|rather|instead)(?: (?:rather|instead|it is))?"
    rf"(?: the)? {{0,2}}{_NAMED}"
)
_FIELD = r"[\"'](?:\w{1,20}[ _])?(?:choice|option|letter|selection|selected)[\"'] {0,2}: {0,2}[\"']"
_CHOOSE = (
    rf"(?:\b(?:I|we){_WILL}|\blet(?:'s| us| me)|\b(?:{_SO}|should|must),?|\A|[.!:;,\n]) {{0,2}}"
    r"\b(?:choose|chose|select|pick|answer|go(?:ing)? (?:with|for)|opt(?:ing)? for|settle (?:on|for)|conclude)"
    rf"(?: that)?(?: it is)?(?: the)?(?: (?:correct|right|best|closest))? {{0,2}}{_NAMED}"
)
_SAY = (
    rf"\bI(?:'d| would) (?:say|guess)(?: that)?(?: it(?: is|'s))?(?: the)? {{0,2}}{_NAMED}{_LETTER}"
    r"(?=[\"')\]]{0,2}(?:[.!]?\s{0,3}(?:\n|\Z)|[.!;,] ))"
)
_CHANGED = (
    r"\b(?:chang|switch|revis|updat|correct)(?:e|ed|ing)? (?:my|the|our) (?:answer|choice|selection) to(?: the)?"
    rf" {{0,2}}{_NAMED}"
)
_MUST = (
    rf"\b(?:it|this|that|which) (?:must|has to|should|can only)(?: {_ADVERBS})? be(?: the)?(?: (?:correct|right|best))?"
    rf" {{0,2}}{_NAMED}"
)
_SO_IT_IS = rf"\b{_SO},? (?:it|this|that)(?:'s| is)(?: the)? {{0,2}}{_NAMED}"
_SO_LETTER = rf"\b{_SO},? {{0,2}}{_NAMED}{_LETTER}(?=[\"')\]]{{0,2}}(?:[.!](?:\s|\Z)|\s{{0,3}}\n))"
# "B. No wait, C": the letter ends its sentence, unlike those of a list ("A no, B no").
_CORRECTED = (
    r"\b(?:(?<!\? )no|wait|(?:scratch|strike|make) that|correction|corrected|edit|sorry|oops|I mean|I meant|my mistake"
    r"|on (?:second|further) thoughts?)\b[,:;.!\u2013\u2014-]{0,3}"
    r"(?: (?:no|wait|actually|sorry|rather|I mean|(?:it|that|the answer)(?: is|'s| should be| must be)|should be"
    rf"|make (?:it|that))[,:]?){{0,3}} {_NAMED}{_LETTER}"
    r"(?=[\"')\]]{0,2}(?:[.!]?\s{0,3}(?:\n|\Z)|[.!;] | (?:because|since)\b))"
)
_IS_ANSWER = (
    rf"(?:\A|[.!?:;,\n]\s{{0,2}}|\b(?:option|choice|answer|letter|{_SO}|only|that) )[\"']?{_LETTER}[\"']?"
    rf" (?:is|must be|would be|remains)(?: {_ADVERBS}){{0,2}} (?:the|our|my)(?: (?:only|single|most|closest"
    rf"|one)){{0,2}}"
    r"(?: (?:correct|right|best|likely|appropriate|final|true))? (?:answer|option|choice)\b(?! (?:to (?!th)|if|when))"
)
_SO_IS_CORRECT = (
    rf"\b(?:{_SO},?|but|only)(?: only)?(?: the)? (?:option|choice|answer|letter)? ?{_LETTER},? (?:is|must be)"
    rf"(?: {_ADVERBS}){{0,2}} (?:correct|right)\b"
)
# These say less. They count only where no sentence above names a letter, and where they all name the same one.
_IS_OPTION = (
    r"\b(?:it|this|that|which|these|value|result)(?: (?:most|best|only))?(?:'s| is| means| equals| supports| fits"
    r"| gives)"
    rf"(?: (?:{_ADVERBS}|the|in|equal to|closest to|given by)){{0,3}} {{0,2}}{_NAMED}"
)
_MATCHES = (
    r"\b(?:correspond(?:s|ing)? (?:to|with)|match(?:es|ing)?(?: with)?|consistent with|leaving(?: us with)?(?: only)?"
    rf"|left with(?: only)?|agrees with|leaves(?: us with)?(?: only)?|closest to|points? to"
    rf"|leads? to)(?: the)? {{0,2}}{_NAMED}"
)
_IS_CORRECT = (
    rf"(?:\A|[.!?:;,\n]\s{{0,2}}|(?:option|choice|answer|letter|only|that|while|but|and) )[\"']?{_LETTER}[\"']?,?"
    rf" (?:(?:is|must be|seems|looks|remains|appears)(?: to be)?(?: (?:{_ADVERBS}|the)){{0,3}}"
    r" (?:correct|right|best|(?<=most )(?:accurate|appropriate|plausible|suitable|likely))(?: one)?|fits|works|it is)"
    r"(?=[\"')\]]{0,2}(?:[.!;,:)\n]|\s{0,2}\Z)| (?:because|since|as|and|here)\b)"
)
_ONLY = (
    rf"\bonly {_NAMED}{_LETTER} (?:satisfies|fits|works|matches|meets|remains|agrees|holds|is (?:correct|right"
    rf"|consistent"
    r"|possible|valid|left))\b"
)


@dataclass(frozen=True)
class _Form:
    """How a sentence names a letter.

    Attributes:
        pattern: Matches from the first word up to the letter, or further.
        strong: Whether the last of several such sentences counts. Others count only if they agree.
        ends: Whether a bare letter without "option" has to end its sentence.
    """

    pattern: re.Pattern[str]
    strong: bool = True
    ends: bool = True


def _form(pattern: str, strong: bool = True, ends: bool = True) -> _Form:
    return _Form(re.compile(pattern, re.IGNORECASE), strong, ends)


_FORMS = (
    _form(_ANSWER + _FILLERS + _LETTER, ends=False),
    _form(_ANSWER + _NOT_THIS + _LETTER, ends=False),
    _form(_FIELD + _LETTER, ends=False),
    _form(_WHICH + _LETTER),
    _form(_HEADING + _LETTER),
    _form(_THINGS + _NAMED + _LETTER),
    _form(_MAKES, ends=False),
    _form(_CHINESE + _LETTER, ends=False),
    _form(_EUROPEAN + _LETTER, ends=False),
    _form(_CHOOSE + _LETTER),
    _form(_SAY, ends=False),
    _form(_CHANGED + _LETTER, ends=False),
    _form(_MUST + _LETTER),
    _form(_SO_IT_IS + _LETTER),
    _form(_SO_LETTER, ends=False),
    _form(_CORRECTED, ends=False),
    _form(_IS_ANSWER, ends=False),
    _form(_SO_IS_CORRECT, ends=False),
    _form(_IS_OPTION + _LETTER, strong=False),
    _form(_MATCHES + _LETTER, strong=False),
    _form(_IS_CORRECT, strong=False, ends=False),
    _form(_CHINESE_CORRECT, strong=False, ends=False),
    _form(_ONLY, strong=False, ends=False),
)
_OWN = re.compile(rf"[.!?:;,\n]|(?:and|but|while|{_SO})\b", re.IGNORECASE)
_LIST = re.compile(r"(?<![A-Za-z])[A-J][)\]]? ?\Z")
_LINK = re.compile(_ANSWER + _FILLERS, re.IGNORECASE)

# ------------------------------------------------------------------------------ what denies or supposes a sentence

_REACH = 90
"""How many characters before a sentence are looked at."""
_GLUE = (
    r"(?:[\s\"']+(?:that|if|it|so|to|is|was|be|the|a|an|my|your|our|this|correct|right|best|final|true|answer)\b){0,5}"
)
_BEFORE = re.compile(
    r"(?:\b(?:if|whether|suppos\w+|assum\w+|unless|imagin\w+|why|would mean|were to say"
    r"|(?:might|may|could|would|can|tempt\w+ to|wrong to|(?:mistake|error|trap)(?: is| would be)? to) (?:think|say"
    r"|guess|argue|believe"
    r"|conclude|claim)"
    r"|(?:wrong|false|incorrect|untrue|mistaken\w*|unlikely|improbable|doubtful) (?:that|to|whether|if)"
    r"|doubt\w*|claim\w*|thought|thinking|believed"
    r"|guessed|assumed|suspected|wrote|said|considered"
    r"|(?:not|never|\w+n't)(?: (?:necessarily|mean|think|believe|say|imply|follow|conclude|true|clear|the case|certain"
    r"|sure|claim|suggest|prove|agree|possible|always|simply|just)){0,2})"
    rf"{_GLUE}"
    r"|\b(?:wrong|incorrect|false|initial|original|earlier|previous|preliminary|tentative|other|another|common"
    r"|tempting|worst|distractor|trap|unlikely|(?:least|second)(?:[- ](?:likely|best|plausible|probable))?"
    r"|student'?s?|user'?s?|their|his|her)"
    r"|\b(?:check|test|try|consider|examine|evaluate|verify|look at|discuss|compare)(?:ing)?(?: the| if| whether){0,2}"
    r"|\b(?:at first(?: glance| sight)?|initially|originally)(?: (?:I|we) (?:thought|believed|guessed|assumed))?,?"
    r"(?: (?:I|we|the|my|it)){0,2}"
    r"|\u5982\u679c|\u5047\u8bbe|\u82e5|\u4e0d|\u522b|\u5e76\u975e|\u932f\u8aa4|\u9519\u8bef"
    r")[\s\"']*\Z",
    re.IGNORECASE,
)
_WRONG = (
    r"(?:(?:is|was|are|would be|seems|looks|appears(?: to be)?|must be|has to be|has been|can be|could be)"
    r"(?: (?:also|clearly|obviously|therefore|thus|definitely|just|simply|then|certainly)){0,2}"
    r" (?:wrong|incorrect|false|impossible|invalid|excluded|eliminated|ruled out|out\b|untrue|inconsistent|a trap"
    r"|a distractor|a mistake|the wrong|unlikely|not\b)"
    r"|(?:is|was|are|can|could|does|do|did|has|would|should|ca|wo|must)(?:n't| not)\b|cannot\b"
    r"|(?:fails|contradicts|violates)\b|(?:\u662f|\u4e3a)?(?:\u9519|\u4e0d|\u8bef|\u932f))"
)
_REFUTED = (
    rf"(?:(?:is|was|must be|would be|seems)(?: {_ADVERBS})? (?:wrong|incorrect|not (?:the )?(?:correct|right|best"
    rf"|answer))"
    r"|(?:cannot|can't) be (?:correct|right|the)|(?:isn't|wasn't) (?:the )?(?:correct|right|best|answer))\b"
)
# In lower case: "B) Is not allowed" is an option and not a denial.
_AFTER = re.compile(
    rf"[)\]\"']{{0,2}}(?:\s?\u5417?\?| {{0,2}}{_WRONG}|(?: ?,)? {{0,2}}(?:which|that|(?:and|but) (?:it|this"
    rf"|that)) {_REFUTED})",
)
_HYPOTHESIS = re.compile(r"[^.!?\n]{0,80}\b(?:if|were|had|unless)\b", re.IGNORECASE)


def denied(text: str, start: int, end: int) -> bool:
    """Whether a letter that is named from `start` to `end` is denied or only supposed there.

    If `start` is `end`, only what follows is looked at.
    """
    return bool(_AFTER.match(text, end)) or (start < end and _supposed(text, start))


def _supposed(text: str, start: int) -> bool:
    """Whether what stands before a sentence denies or supposes it."""
    return bool(_BEFORE.search(text[max(0, start - _REACH) : start]))


def _first_of_parts(text: str, start: int, end: int) -> bool:
    """Whether a letter in brackets labels a part of a longer text: "(a) 5 V, (b) 7 V"."""
    following = chr(ord(text[start]) + 1)
    part = re.compile(rf"[(\[]{following}[)\]] (?!(?:is|are|was|has|does|would|can|because|since|and|or)\b)[\w$-]")
    line = text[end : end + 400].partition("\n")[0]
    return text[end : end + 1] == " " and bool(part.search(line))


@dataclass(frozen=True)
class Statement:
    """A sentence that names a letter: where it stands, and the letter, or `SEVERAL`."""

    start: int
    end: int
    name: str


def statements(text: str, strong: bool) -> list[Statement]:
    """The sentences of a plain text that name a letter and neither deny nor suppose it, in order.

    Args:
        text: Without LaTeX and Markdown.
        strong: Whether to look for sentences that say what the answer is; else for those that only suggest it.
    """
    found = [said for form in _FORMS if form.strong == strong for said in _said(form, text)]
    return sorted(found, key=lambda said: said.end)


def links(text: str) -> Iterator[tuple[int, int]]:
    """Where "The answer is" ends, and where "The answer is clearly the" does, if neither denied nor supposed."""
    for found in _LINK.finditer(text):
        if not _supposed(text, found.start()):
            yield found.end("link"), found.end()


def _said(form: _Form, text: str) -> Iterator[Statement]:
    for found in form.pattern.finditer(text):
        kind = next(name for name in ("bracketed", "bare", "small") if found[name])
        name, end = found[kind].upper(), found.end(kind)
        closed = _CLOSED.match(text, end)
        end = closed.end() if closed else end
        groups = found.groupdict()
        start = found.start()
        if _OWN.match(found.group()):  # the sentence before does not deny it, but may be the rest of a list of letters
            if found.group().lower().startswith((",", "and ")) and _LIST.search(text[max(0, start - 4) : start]):
                continue
            start = end
        if is_numeral(name, text, end) or denied(text, start, end):
            continue
        if kind == "bracketed" and _first_of_parts(text, found.start(kind), end):
            continue
        link, named = groups.get("link"), groups.get("named")
        if kind == "small" and name == "A" and not named and (link is None or link[-1:].isalpha()):
            continue  # an article of a text that was cut
        if kind == "bare" and not named:
            if form.ends and not _ENDS.match(text, end):
                continue
            if link is not None and (link[-1:].isalpha() or name in "AI") and not _GOES_ON.match(text, end):
                continue
            if link and "would" in link.lower() and _HYPOTHESIS.match(text, end):
                continue
        yield Statement(found.start(), end, SEVERAL if several(text, end) else name)


def taken_back(text: str, said: Statement) -> bool:
    """Whether a later sentence denies the letter of a statement: "Answer: C. ... But C is wrong"."""
    denial = re.compile(
        rf"(?:(?:[.!?;,:\n]\s{{0,2}}(?:but |so )?|\b(?:option|choice|answer|letter|but|so|wait|actually|however|no),? )"
        rf"[(\[]?(?-i:{said.name})(?![A-Za-z0-9_])[)\]]? {_REFUTED}"
        rf"|\b(?:answer|option|choice|it) (?:is|can)(?:n't| not)(?: be)? [(\[]?(?-i:{said.name})\b)",
        re.IGNORECASE,
    )
    return any(not _supposed(text, found.start()) for found in denial.finditer(text, said.end))
