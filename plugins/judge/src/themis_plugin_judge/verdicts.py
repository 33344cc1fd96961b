"""Reads verdicts, strictly: only behind the marker, only one of the labels, and only one verdict for each part.

What can't be read has a reason and no value. Nothing here guesses, and nothing returns a worst value.

    judge_refused, judge_truncated, judge_empty   how the judge's reply ended
    no_verdict      nothing stands where the verdict was to be
    two_verdicts    more than one stands there
    unknown_verdict    what stands there is none of the labels: 11 of 10, NaN, a look-alike letter
    no_logprobs     the reply tells no probabilities at the verdict's token
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from themis_core import Generation

__all__ = ["Labels", "Verdict", "json_key", "read_verdicts", "text_tag"]

Labels = Mapping[str, float]
"""Label, in capital letters, to value."""

_TAG: Final = re.compile(
    # Compiled once, so for any marker. What is behind it is only looked at, as another tag may stand in the same line.
    r"VERDICT-(?P<marker>[0-9a-f]{10})(?:-(?P<part>\d{1,4}))?(?:[*_`]*[ \t]*:(?=(?P<label>[^\n]{0,200})))?"
)
_FENCE: Final = re.compile(r"```(?:json)?[ \t]*\n(.*)\n```", re.DOTALL | re.IGNORECASE)
_EMPHASIS: Final = " \t\r*_`\"'.<>[]()"
_MAX_LABEL: Final = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of one part: a value, or the reason why there is none."""

    value: float | None = None
    reason: str | None = None
    label: str | None = None
    """As the judge wrote it, cut to 100 characters."""
    mass: float | None = None
    """Probability of all labels together at the verdict's token, if the value is an expected one."""


NO_VERDICT: Final = Verdict(reason="no_verdict")
TWO_VERDICTS: Final = Verdict(reason="two_verdicts")


def text_tag(marker: str, part: int, parts: int) -> str:
    """What stands before the colon of a verdict in free text; parts are counted from 1."""
    return f"VERDICT-{marker}" if parts == 1 else f"VERDICT-{marker}-{part}"


def json_key(marker: str, part: int, parts: int) -> str:
    """The key of a verdict in JSON."""
    return f"verdict_{marker}" if parts == 1 else f"verdict_{marker}_{part}"


def read_verdicts(
    reply: Generation, marker: str, parts: int, labels: Labels, *, as_json: bool, logprobs: bool
) -> list[Verdict]:
    """One verdict per part, in order."""
    if reply.status != "answered":
        return [Verdict(reason=f"judge_{reply.status}")] * parts
    if as_json:
        return _read_json(reply.text, marker, parts, labels)
    found = _read_text(_spoken(reply.text), marker, parts, labels)
    if not logprobs:
        return found
    return [
        _expected(_alternatives(reply.logprobs or (), marker, part, parts), labels, verdict)
        for part, verdict in enumerate(found, 1)
    ]


def _spoken(text: str) -> str:
    """The reply without the thinking that some servers leave at its beginning."""
    return text.rpartition("</think>")[2] if text.lstrip().startswith("<think>") else text


def _read_text(text: str, marker: str, parts: int, labels: Labels) -> list[Verdict]:
    said: dict[int, list[str | None]] = {}
    for match in _tags(text, marker):
        if parts == 1:
            said.setdefault(1, []).append(None if match["part"] else match["label"])
        elif match["part"]:
            said.setdefault(int(match["part"]), []).append(match["label"])
    return [_one(said.get(part, ()), labels) for part in range(1, parts + 1)]


def _tags(text: str, marker: str) -> Iterator[re.Match[str]]:
    return (match for match in _TAG.finditer(text) if match["marker"] == marker)


def _one(said: Sequence[str | None], labels: Labels) -> Verdict:
    if len(said) > 1:
        return TWO_VERDICTS
    if not said or said[0] is None or not said[0].strip(_EMPHASIS):
        return NO_VERDICT
    return _labelled(said[0].strip(_EMPHASIS), labels)


def _labelled(said: str, labels: Labels) -> Verdict:
    # ASCII first: upper() turns letters of other alphabets into Latin ones.
    label = said.upper() if said.isascii() and len(said) <= _MAX_LABEL else ""
    if label not in labels:
        return Verdict(reason="unknown_verdict", label=said[:_MAX_LABEL])
    return Verdict(labels[label], label=label)


class _Twice(ValueError):
    pass


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]:
        raise _Twice(twice[0])
    return dict(pairs)


def _read_json(text: str, marker: str, parts: int, labels: Labels) -> list[Verdict]:
    text = _spoken(text).strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1]
    try:
        data = json.loads(text, object_pairs_hook=_members)
    except _Twice:
        return [TWO_VERDICTS] * parts
    except (ValueError, RecursionError):
        # Not one object, as was asked for. Two of them are told apart for the sake of who reads the reasons.
        again = text.count(f'"{json_key(marker, 1, parts)}"') > 1
        return [TWO_VERDICTS if again else NO_VERDICT] * parts
    if not isinstance(data, dict):
        return [NO_VERDICT] * parts
    return [_member(data, json_key(marker, part, parts), labels) for part in range(1, parts + 1)]


def _member(data: Mapping[str, Any], key: str, labels: Labels) -> Verdict:
    if key not in data or data[key] is None:
        return NO_VERDICT
    value = data[key]
    if isinstance(value, str) or type(value) is int:
        return _labelled(str(value).strip(), labels)
    return Verdict(reason="unknown_verdict", label=repr(value)[:_MAX_LABEL])


def _expected(alternatives: Mapping[str, float], labels: Labels, verdict: Verdict) -> Verdict:
    """The mean of the labels' values, weighted with their probabilities at the token where the verdict begins.

    Source: Liu et al. 2023, "G-Eval", section 2.3; a token stands for the label that it is the beginning of.
    """
    if verdict.value is None:
        return verdict
    weights = dict.fromkeys(labels, 0.0)
    for token, logprob in alternatives.items():
        begun = token.strip(_EMPHASIS + "\n").upper() if token.isascii() else ""
        fits = [label for label in labels if label.startswith(begun)] if begun else []
        if len(fits) == 1:
            weights[fits[0]] += math.exp(min(logprob, 0.0))
    mass = sum(weights.values())
    if not verdict.label or weights.get(verdict.label, 0.0) <= 0.0:
        return replace(verdict, value=None, reason="no_logprobs")
    value = sum(labels[label] * weight for label, weight in weights.items()) / mass
    low, high = min(labels.values()), max(labels.values())
    return replace(verdict, value=min(max(value, low), high), mass=min(mass, 1.0))


def _alternatives(tokens: Sequence[Mapping[str, Any]], marker: str, part: int, parts: int) -> dict[str, float]:
    """Token to log-probability where the verdict's label begins: the sampled token and those listed beside it."""
    text = "".join(str(each.get("token", "")) for each in tokens)
    found = [
        match for match in _tags(text, marker) if match["label"] and (parts == 1 or int(match["part"] or 0) == part)
    ]
    if not found:
        return {}
    # The last one: thoughts before it may have the tag too.
    begins = found[-1].end() + len(found[-1]["label"]) - len(found[-1]["label"].lstrip(_EMPHASIS))
    at = 0
    for each in tokens:
        start, at = at, at + len(str(each.get("token", "")))
        if at > begins:
            before = text[start:begins]  # a token may begin with what stands before the label
            listed = [each, *(each.get("top_logprobs") or ())]
            return {
                str(one["token"]).removeprefix(before): float(one["logprob"])
                for one in listed
                if isinstance(one.get("logprob"), int | float) and math.isfinite(one["logprob"])
            }
    return {}
