"""A small grammar of what is said about choices: which are stated, which refuted, which only mentioned.

`Choice` brings a text into words with single spaces, one sentence a line, in which each label is one private character.
The tables of forms are read upon that. In them `@` is a label or a list of them, `~` words that may stand before one,
and names in braces are the `_PARTS`. A label that is refuted, or is only supposed, is none for the forms that follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from themis_patterns import Pattern, compile_pattern

__all__ = ["FIRST", "ITEM", "MARKED", "Said", "count_labels", "grammar", "said"]

FIRST: Final = 0xE000
"""The character of the first label, if it stands bare."""
MARKED: Final = 0x100
"""What is added to it where marks say that it is a label: `(B)`, `B)`, `**B**`."""
ITEM: Final = "\ue200"
"""Follows a label that begins an item: `B. Paris`."""
_GONE: Final = "§"
_SECONDS: Final = 1.0
_LABEL: Final = re.compile("[\ue000-\ue1ff]")

_PARTS: Final = {
    "label": "[\ue000-\ue1ff]",
    "marked": "[\ue100-\ue1ff]",
    "join": r" ?(?:, (?:and|or)(?: also| maybe| perhaps)?|,|(?:and|or|nor)(?: also| maybe| perhaps|"
    r" possibly)?|/|&|\+|) ?"
    r"(?:(?:the |both )?(?:option|choice|answer|statement|letter) )?",
    "be": r"(?:(?:is|are|was|were|be|being|seems?|looks?|appears?|sounds?|remains|would|should|must|will|"
    r"has|have|to|can|"
    r"could|might|may|also|all|both|each|alone|itself|does|do|did|here|however|therefore|thus|indeed|"
    r"\w+ly|just) ){1,6}",
    "end": r"(?= ?(?:$|[,:]|(?:because|since|as|for|due|given|rather|instead|over)\b|§))",
    "wrong": r"(?:not|never|no|hardly|barely|far from|less|neither|nor|wrong|incorrect|false|invalid|"
    r"untrue|impossible|unlikely|"
    r"unsupported|irrelevant|"
    r"inaccurate|inconsistent|implausible|tempting|misleading|plausible|attractive|close|out|too|excluded|eliminated|"
    r"rejected|ruled|discarded|dismissed|contradicted|refuted|distractors?|an? (?:\w+ )?(?:distractor|"
    r"trap|mistake|lure))\b",
    "right": r"(?:correct|right|true|valid|accurate|(?:the )?best|(?:the )?most \w+|better|a better \w+|"
    r"the (?:better|only|right|correct|true)(?: \w+)?)\b",
    "evidence": r"(?:evidence|data|facts?|reasoning|analysis|passage|text|context|logic|calculations?|findings?|"
    r"results?|observations?|everything|arguments?|signs?|clues?)",
    "favor": r"(?:favou?rs?|favou?red|favou?ring|supports?|supported|supporting|backs?|prefers?)",
    "noun": r"(?:answers?|solutions?|choices?|options?|picks?|guess|selections?|responses?|one|statements?|letters?)",
    "answer": r"(?:answers?|solution|the letter|(?:correct|right|best|final|true|only|my|our|valid|"
    r"matching|appropriate|likely|accurate|"
    r"suitable) (?:\w+ )?(?:choices?|options?|picks?|guess|selections?|responses?|one|statements?|letters?))",
}
_LIST: Final = "(?P<labels>{label}(?:{join}{label}){0,25}+)(?: ?\ue200)?+"
_BEFORE: Final = (
    r"(?:(?:the|options?|choices?|answers?|letters?|statements?|number|both|either|most|simply|just|therefore|thus|"
    r"indeed|still|be|is|it|that|with|to|us|\w+ly|,|:|-) ){0,5}+"
)

_SUPPOSED: Final = (
    (
        r"\b(?:doubt\w*|unlikely|disagree|no way|not (?:think|believe|convinced|clear|sure|true|the case)|"
        r"(?:people|many|some|others|students?|someone|you|they|one|learners?|readers?) (?:\w+ ){0,3}"
        r"(?:thinks?|believes?|say|says|chooses?|picks?|selects?|assumes?|guess|answers?|claims?|argues?))\b"
        r"[^,\n{label}]{0,60}@"
    ),
    r"^[^\n]*@(?=[^\n]*\?$)",
    (
        r"\b(?:if|had|suppose|supposing|assume|assuming|were|whether|unless|why|when|although|though|"
        r"while) [^,\n{label}]{0,60}@"
    ),
    r"@ [^\n,{label}]{0,30}\b(?:if|unless|only when)\b",
    r"^ ?(?:at first|initially|superficially|on the surface)\b[^\n{label}]{0,80}{favor} ~@",
    # "Between A and D, D is better": the two are named, and something is said of one of them.
    r"\b(?:between|among|of) ~(?P<labels>{label} ?,? (?:and|or|versus|vs) ~{label}) ?, ?(?=~{label} \w)",
)
_REFUTED: Final = (
    (
        r"\b(?:not|never|neither|nor|except|except for|exclud(?:es?|ed|ing)|eliminat(?:es?|ed|ing)|"
        r"rul(?:es?|ed|ing) out|"
        r"discard(?:s|ed|ing)?|reject(?:s|ed|ing)?|dismiss(?:es|ed)?|cross(?:es|ed|ing)? out|instead of|"
        r"rather than|unlike|over|"
        r"than|other than|besides|all but|against|wrong|incorrect|refut(?:es?|ed|ing)|disprov(?:es?|ed|ing)|"
        r"tempt\w+ to \w+|"
        r"mistake to \w+|none of) ~@"
    ),
    r"(?:^|, ?)[✗❌✘] ?~@",
    r"@ ?[✗❌✘](?= ?(?:$|,))",
    (
        r"\b(?:wrong|incorrect|false|distract\w+|misleading|other|remaining|tempting) {noun} "
        r"(?:{be}|: |, |like |such as |include )~@"
    ),
    r"@ {be}(?:an? )?{wrong}",
    (
        r"@ (?:(?:does|do|can|could|would|did|is|are|was|will|has|need) not|fails?|violates?|contradicts?|"
        r"ignores?|overlooks?|"
        r"confuses?|misses|lacks?|conflicts?|mixes|neglects?|forgets?|misstates?|overstates?|misreads?|"
        r"omits?|goes against|"
        r"falls|comes? close|makes? no)\b"
    ),
    r"@ ?[:–—-] (?:{wrong}|[✗❌✘]|(?:does|is|can) not)",
    r"^ ?(?:[-•] )?~@ [^\n§{label}]{1,120} (?:is|are|was|:|-) (?:\w+ly )?{wrong}",
    (
        r"\b(?:not|never|no longer|hardly|barely|neither|nor|no|none|nothing|little|few|without|against|weak|poor) "
        r"(?:[^\n,:§{label}]{0,40} )?{favor} ~@"
    ),
)
_STATED: Final = (
    (3, r"\bboxed ~@"),
    (3, r"\b{answer} (?:[^\n§:?{label}]{0,60} )?(?:is|are|was|be|:|=|→|->) ~@"),
    (3, r"^ ?(?:option|choice|pick|guess|selection|selected|correct)s? (?:is|:) ~@"),
    (3, r"(?:答案|选择|选项|选|答)[是为应该项择： :]{0,6}@"),
    (
        3,
        (
            r"\b(?:answer|answered|choose|choosing|chose|pick|picking|select|selecting|go with|going with|"
            r"opt for|settle on|"
            r"vote for) ~@"
        ),
    ),
    (3, r"@ {be}(?:the|my|our|your) (?:\w+ ){0,3}{noun}\b"),
    (3, r"^ ?(?:[-•] )?~@ [^\n§{label}]{1,120} (?:is|would be) (?:the|my) (?:\w+ ){0,3}{noun}$"),
    (
        2,
        (
            r"(?:\b(?:so|thus|hence|therefore|consequently|ergo|leaves|leaving|conclude|must be|has to be|"
            r"only be|should be|"
            r"points? to|leads? to|corresponds? to|matches|it is|that is|this is|left|but|but rather|"
            r"rather|instead|say)|"
            r"∴|→|⇒|=>) ~(?:only )?@{end}"
        ),
    ),
    (2, r"\b(?:so|thus|hence|therefore|∴) ~(?P<labels>{marked})"),
    (2, r"\bonly ~@(?= (?:is|are|holds?|fits?|remains?|works?|satisf\w+|meets?|matches|follows|can be|left)\b)"),
    (1, r"@ {be}{right}"),
    (
        1,
        # Whose reasoning it is matters: "'s" has become " is".
        (
            r"(?<!\b(?:is|your|his|her|their|my (?:first|initial)|initial|early|preliminary|flawed|wrong|old) )"
            r"\b(?:{evidence}|i) (?:(?:\w+ly|here|overall|most|still|all|seems? to|appears? to|tends? to) ){0,3}"
            r"{favor} ~@{end}"
        ),
    ),
    (1, r"@ (?:fits?|holds?|works?|matches|satisfies|applies|remains|follows|wins|stands)\b"),
    (
        1,
        (
            r"\b(?:think|believe|guess|suspect|feel|lean|leaning|towards?|probably|likely|perhaps|maybe|"
            r"definitely|clearly|"
            r"obviously|certainly|surely|yes|ok|okay|either|between) ~@{end}"
        ),
    ),
    (1, r"^ ?(?:[-•] )?~@ [^\n§{label}]{1,120} (?:is|are|:|-) (?:\w+ly )?(?:correct|right|true)$"),
    (1, r"@ ?[:–—-] (?:correct\b|right\b|true\b|[✓✔✅])"),
    (1, r"(?:^|, ?)[✓✔✅] ?~@"),
    (1, r"@ ?[✓✔✅](?= ?(?:$|,))"),
    (0, r"^ ?(?:[-•] )?(?:option |choice |, )?@(?:{end}| [-–—] )"),
    (0, "^ ?(?:[-•] )?(?P<labels>{marked})"),
    (0, "(?P<labels>{marked}) ?$"),
    (0, "(?P<labels>{label})(?: ?\ue200)"),
    (0, ", (?P<labels>{label}) ?$"),
)
_CORRECTION: Final = (
    r"^ ?(?:wait|actually|no|correction|hmm+|sorry|oops|scratch|on second|let me re\w+|"
    r"(?:but )?(?:that|this|it) is (?:not|wrong|incorrect|a mistake)[^\n{label}]*$)\b"
)


def _compiled(form: str) -> Pattern:
    form = form.replace("@", _LIST).replace("~", _BEFORE)
    form = re.sub(r"\[\^([^]]*)\{label\}\]", lambda match: f"[^{match[1]}\ue000-\ue1ff]", form)
    while (expanded := re.sub(r"\{([a-z]+)\}", lambda match: _PARTS[match[1]], form)) != form:
        form = expanded
    return compile_pattern(form, ("multiline",))


class _Grammar(NamedTuple):
    supposing: tuple[Pattern, ...]
    refuting: tuple[Pattern, ...]
    stating: tuple[tuple[int, Pattern], ...]
    correcting: Pattern


@cache
def grammar() -> _Grammar:
    """The forms, compiled. That takes a quarter of a second: it is not for the import, nor for the first answer."""
    return _Grammar(
        tuple(map(_compiled, _SUPPOSED)),
        tuple(map(_compiled, _REFUTED)),
        tuple((level, _compiled(form)) for level, form in _STATED),
        _compiled(_CORRECTION),
    )


class Said(NamedTuple):
    """What a sentence says about choices; in the order of the text."""

    at: int
    level: int
    """3 the answer is, 2 a conclusion, 1 a verdict ("B is correct"), 0 a mark only, -1 refuted."""
    labels: frozenset[int]
    """Positions among the choices."""
    alternatives: bool
    """Whether they are joined by "or"."""
    corrections: int
    """How many sentences such as "Wait, no" came before."""


def said(text: str) -> list[Said]:
    """All that a plain text says about choices. Raises TimeoutError or MemoryError."""
    forms = grammar()
    starts = [match.start() for match in forms.correcting.every(text, seconds=_SECONDS)]
    found: list[tuple[int, int, str]] = []
    for pattern in forms.supposing:
        text, _ = _taken(pattern, text)
    for pattern in forms.refuting:
        text, refuted = _taken(pattern, text)
        found += [(at, -1, labels) for at, labels in refuted]
    for level, pattern in forms.stating:
        found += [(at, level, labels) for at, labels in _matches(pattern, text)]
    return [
        Said(at, level, frozenset(_labels(labels)), "or" in labels, sum(start <= at for start in starts[:1000]))
        for at, level, labels in sorted(found)
    ]


def _matches(pattern: Pattern, text: str) -> Iterator[tuple[int, str]]:
    for match in pattern.every(text, seconds=_SECONDS):
        yield match.start("labels"), match["labels"]


def _taken(pattern: Pattern, text: str) -> tuple[str, list[tuple[int, str]]]:
    """The text in which the labels that a form finds are none any more, and those labels."""
    found = list(_matches(pattern, text))
    pieces, position = [], 0
    for at, labels in found:
        pieces += [text[position:at], _LABEL.sub(_GONE, labels)]
        position = at + len(labels)
    return "".join([*pieces, text[position:]]), found


def count_labels(text: str) -> int:
    """How many labels a text has."""
    return len(_LABEL.findall(text))


def _labels(text: str) -> Iterator[int]:
    return ((ord(char) - FIRST) % MARKED for char in _LABEL.findall(text))
