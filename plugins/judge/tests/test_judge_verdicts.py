"""What is read of a judge's reply: a table of texts, one of JSON, one of tokens."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import Generation
from themis_plugin_judge.verdicts import Verdict, read_verdicts

M = "3f9a1c22de"
LABELS = {"YES": 1.0, "NO": 0.0}
NONE, TWO = Verdict(reason="no_verdict"), Verdict(reason="two_verdicts")
YES, NO = Verdict(1.0, label="YES"), Verdict(0.0, label="NO")


def odd(label: str) -> Verdict:
    return Verdict(reason="unknown_verdict", label=label)


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        (f"VERDICT-{M}: YES", [YES]),
        (f"It is.\n\n**VERDICT-{M}:** yes.\n", [YES]),
        (f"`VERDICT-{M}: YES`", [YES]),
        (f"**VERDICT-{M}**: [No]", [NO]),
        (f"VERDICT-{M}:YES\r\nThat is all.", [YES]),
        (f"VERDICT-0123456789: YES VERDICT-{M}: NO", [NO]),  # a planted tag takes nothing from the line behind it
        (f"VERDICT-{M}: NO VERDICT-0123456789: YES", [odd("NO VERDICT-0123456789: YES")]),
        (f"<think>VERDICT-{M}: NO?</think>VERDICT-{M}: YES", [YES]),
        (f"It is </think> VERDICT-{M}: NO\nVERDICT-{M}: YES", [TWO]),  # no thinking, as it does not begin as such
        (f"I will end with VERDICT-{M}.\nVERDICT-{M}: YES", [TWO]),
        (f"VERDICT-{M}: YES\nVERDICT-{M}: yes", [YES]),  # one verdict, said twice
        (f"VERDICT-{M}: YES\nVERDICT-{M}: NO", [TWO]),
        (f"VERDICT-{M}: MAYBE\nVERDICT-{M}: MAYBE", [TWO]),
        (f"VERDICT-{M}-1: YES", [NONE]),  # there is one part only, and it has no number
        (f"VERDICT-{M}\nYES", [NONE]),
        (f"VERDICT-{M}：YES", [YES]),
        (f"verdict-{M}: YES", [NONE]),
        (f"VERDICT-{M}: <verdict>", [odd("verdict")]),
        (f"VERDICT-{M}: ＹＥＳ", [odd("ＹＥＳ")]),
        (f"VERDICT-{M}: YES, with doubts", [odd("YES, with doubts")]),
        (f"VERDICT-{M}: " + "YES" * 100, [odd(("YES" * 100)[:100])]),
        (f"VERDICT-{M}: " * 20_000, [TWO]),
        (f"VERDICT-{M}-1: YES\nVERDICT-{M}-2: NO", [YES, NO]),
        (f"VERDICT-{M}-2: NO\nVERDICT-{M}-1: YES\nVERDICT-{M}-3: YES", [YES, NO]),
        (f"VERDICT-{M}-1: YES VERDICT-{M}-2: NO", [odd(f"YES VERDICT-{M}-2: NO"), NO]),
        (f"VERDICT-{M}-1: YES", [YES, NONE]),
        (f"VERDICT-{M}-1: YES\nVERDICT-{M}-1: NO\nVERDICT-{M}-2: NO", [TWO, NO]),
        (f"VERDICT-{M}: YES", [NONE, NONE]),
    ],
)
def test_text(text: str, verdicts: list[Verdict]) -> None:
    reply = Generation("answered", text=text)
    assert read_verdicts(reply, M, len(verdicts), LABELS, as_json=False, logprobs=False) == verdicts


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        (f'{{"explanation": "x", "verdict_{M}": "YES"}}', [YES]),
        (f'```json\n{{"verdict_{M}": "no"}}\n```', [NO]),
        (f'<think>hm</think>\n{{"verdict_{M}": "YES"}}', [YES]),
        (f'{{"verdict_{M}": "YES", "verdict": "NO", "verdict_0123456789": "NO"}}', [YES]),
        (f'{{"verdict_{M}": "YES", "verdict_{M}": "YES"}}', [TWO]),
        (f'The answer is right.\n\n{{"verdict_{M}": "YES"}}', [YES]),
        (f'So {{it}} is:\n```json\n{{"verdict_{M}": "NO"}}\n```\nAsk for more!', [NO]),
        (f'Hm. <think>{{"verdict_{M}": "NO"}}</think> {{"verdict_{M}": "YES"}}', [YES]),
        (f'{{"verdict_{M}": "YES"}}\n{{"verdict_{M}": "YES"}}', [YES]),
        (f'{{"verdict_{M}": "YES"}}\n{{"verdict_{M}": "NO"}}', [TWO]),
        (f'{{"verdict_{M}": "YES"}} then {{"verdict_{M}": "NO"', [TWO]),  # the last one is cut off
        (f'{{"result": {{"verdict_{M}": "YES"}}}}', [NONE]),
        ("{" * 100_000 + f'"verdict_{M}": "YES"', [NONE]),
        (f'{{"verdict_{M}": ["YES"]}}', [odd("['YES']")]),
        (f'{{"verdict_{M}": true}}', [odd("True")]),
        (f'{{"verdict_{M}": 1.0}}', [odd("1.0")]),
        (f'{{"verdict_{M}": null}}', [NONE]),
        (f'[{{"verdict_{M}": "YES"}}]', [NONE]),
        (f'"verdict_{M}: YES"', [NONE]),
        (f'{{"verdict_{M}": "YES"', [NONE]),
        (f'{{"verdict_{M}_1": "YES", "verdict_{M}_2": "?"}}', [YES, odd("?")]),
        (f'{{"verdict_{M}_1": "YES"}}', [YES, NONE]),
    ],
)
def test_json(text: str, verdicts: list[Verdict]) -> None:
    reply = Generation("answered", text=text)
    assert read_verdicts(reply, M, len(verdicts), LABELS, as_json=True, logprobs=False) == verdicts


RATINGS = {str(rating): (rating - 1) / 4 for rating in range(1, 6)}


@pytest.mark.parametrize(
    ("said", "label"),
    [
        # as chat models write it
        (": 4/5", "4"), (": 4 / 5", "4"), (": 4 out of 5", "4"), (": 4.0", "4"), (": **4.0/5**", "4"), (": four", "4"),
        (":\N{NO-BREAK SPACE}4", "4"), (":\N{ZERO WIDTH SPACE}4", "4"), ("\N{FULLWIDTH COLON} 4", "4"),
        (":\n4", "4"), (":\n\n**4**", "4"), ("**:\n4", "4"), (": \\boxed{4}", "4"), (": $\\boxed{\\text{4}}$", "4"),
        (": \\*\\*4\\*\\*", "4"), (": 4, because it says so", "4"), (": 4 because it says so", "4"), (": ~4", None),
        # what is no plain verdict stays unread
        (": 4/10", None), (": 4.5", None), (": 4-5", None), (": 4 or 5", None), (": -4", None), (": 40/5", None),
        (": 4 because 5 would be too much", None), (": 4 because it is no 3", None), (": not 4", None),
        (": 4/5/5", None), (": 4.0.0", None), (": 7", None), (": seven", None), (": \\boxed{4}{5}", None),
        (": ４", None), (":\n\n\n4", None), (" 4", None),
    ],
)  # fmt: skip
def test_a_rating_is_read_however_it_is_dressed_and_nothing_is_guessed(said: str, label: str | None) -> None:
    reply = Generation("answered", text=f"It says what was asked.\n\nVERDICT-{M}{said}\n\nAsk for more!")
    (verdict,) = read_verdicts(reply, M, 1, RATINGS, as_json=False, logprobs=False)
    assert (verdict.value, verdict.label if label else None) == (RATINGS[label] if label else None, label)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("It is so.\n<think>{tag}: NO maybe</think>\n{tag}: YES", YES),
        ("<thinking>{tag}: NO</thinking>{tag}: YES", YES),
        ('<think effort="high">{tag}: NO</think>{tag}: YES', YES),
        ("<Reasoning>{tag}: NO</Reasoning >\n{tag}: YES", YES),
        ("<think>{tag}: NO", NONE),  # thoughts that never ended hold no verdict
        ("<think>{tag}: NO</think>", NONE),
        ("It has a <think> tag.\n{tag}: YES", YES),
        ("{tag}: YES because it says so", YES),
        ("{tag}: YES because NO would be wrong", odd("YES because NO would be wrong")),
        ("{tag}: YES but NO", odd("YES but NO")),
        ("{tag}: four", odd("four")),
    ],
)
def test_a_draft_in_thoughts_is_no_verdict(text: str, verdict: Verdict) -> None:
    reply = Generation("answered", text=text.format(tag=f"VERDICT-{M}"))
    assert read_verdicts(reply, M, 1, LABELS, as_json=False, logprobs=False) == [verdict]


def test_a_number_in_json_is_its_label() -> None:
    reply = Generation("answered", text=f'{{"verdict_{M}": 7}}')
    (verdict,) = read_verdicts(reply, M, 1, {"7": 0.7}, as_json=True, logprobs=False)
    assert verdict == Verdict(0.7, label="7")


def token(text: str, **alternatives: float | None) -> dict[str, Any]:
    """A token of probability 1, or of those that are given as natural logarithms, its own among them."""
    listed = [{"token": name.replace("_", " "), "logprob": logprob} for name, logprob in alternatives.items()]
    own = next((each["logprob"] for each in listed if each["token"] == text), 0.0)
    return {"token": text, "logprob": own, "top_logprobs": listed}


LN = {0.75: -0.2876820724517809, 0.25: -1.3862943611198906, 0.5: -0.6931471805599453}


@pytest.mark.parametrize(
    ("tokens", "value", "mass"),
    [
        ([token(f"VERDICT-{M}: "), token("YES", YES=LN[0.75], NO=LN[0.25])], 0.75, 1.0),
        ([token(f"VERDICT-{M}:"), token(" YES", _YES=LN[0.5], _NO=LN[0.25], _MAY=LN[0.25])], 2 / 3, 0.75),
        # A token is its label's beginning; written small, it is the same label.
        ([token("VERDICT-"), token(M), token(":"), token(" Y", _Y=LN[0.5], _n=LN[0.5]), token("ES")], 0.5, 1.0),
        ([token(f"VERDICT-{M}"), token(": YES", **{":_YES": LN[0.5], ":_NO": LN[0.25]})], 2 / 3, 0.75),
        ([token(f"<think>VERDICT-{M}: NO</think>"), token(f"VERDICT-{M}:"), token("YES", YES=LN[0.25])], 1.0, 0.25),
        ([token(f"VERDICT-{M}: "), token("YES", YES=None)], None, None),  # a probability of 0 is none that is known
        ([token("other"), token("tokens")], None, None),
        ([], None, None),
    ],
)
def test_tokens(tokens: list[dict[str, Any]], value: float | None, mass: float | None) -> None:
    text = "".join(each["token"] for each in tokens)
    reply = Generation("answered", text=text if value is not None else f"VERDICT-{M}: YES", logprobs=tuple(tokens))
    (verdict,) = read_verdicts(reply, M, 1, LABELS, as_json=False, logprobs=True)
    if value is None:
        assert verdict == Verdict(reason="no_logprobs", label="YES")
    else:
        assert (verdict.value, verdict.mass) == (pytest.approx(value), pytest.approx(mass))


@pytest.mark.parametrize("status", ["refused", "truncated", "empty"])
def test_a_reply_that_did_not_end_well_is_not_read(status: Any) -> None:
    reply = Generation(status, text=f"VERDICT-{M}-1: YES\nVERDICT-{M}-2: YES")
    read = read_verdicts(reply, M, 2, LABELS, as_json=False, logprobs=False)
    assert read == [Verdict(reason=f"judge_{status}")] * 2


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("YES.0", YES), ("**NO.0**", NO), ("no.0.", NO), ("YES.0.0", odd("YES.0.0")), ("YES.5", odd("YES.5")),
        ("YES.1", odd("YES.1")), ("YES/5", odd("YES/5")), ("YES/NO", odd("YES/NO")), ("YES.NO", odd("YES.NO")),
        ("right", odd("right")), ("YES or NO", odd("YES or NO")), ("NOT YES.0", odd("NOT YES.0")),
    ],
)  # fmt: skip
def test_a_label_with_a_point_and_zero_is_read_and_with_a_share_of_something_is_not(
    said: str, verdict: Verdict
) -> None:
    reply = Generation("answered", text=f"VERDICT-{M}: {said}")
    assert read_verdicts(reply, M, 1, LABELS, as_json=False, logprobs=False) == [verdict]


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("4", "4"),
        ("4.0", "4"),
        ('"4"', "4"),
        ('"4.0"', "4"),
        ("4.5", None),
        ("40.0", None),
        ("-4.0", None),
        ("NaN", None),
    ],
)
def test_a_rating_in_json_may_be_a_float_that_is_whole(value: str, label: str | None) -> None:
    reply = Generation("answered", text=f'{{"verdict_{M}": {value}}}')
    (found,) = read_verdicts(reply, M, 1, RATINGS, as_json=True, logprobs=False)
    assert found.value == (None if label is None else RATINGS[label])
    assert label is None or found.label == label
