"""What regex, line, normalized, boxed, tag and without_reasoning find: one table each."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import Extraction, Extractor
from themis_plugin_extract.boxes import Boxed
from themis_plugin_extract.marked import Tag, WithoutReasoning
from themis_plugin_extract.patterns import Regex
from themis_plugin_extract.plain import Line, Normalized


def check(extractor: Extractor, text: str, value: Any, reason: str | None) -> None:
    assert extractor.extract(text) == Extraction(value, reason)


@pytest.mark.parametrize(
    ("config", "text", "value", "reason"),
    [
        ({"pattern": r"(?m)^A: (.+)$"}, "x\nA: 3,000\n", "3,000", None),
        ({"pattern": r"(?m)^A: (.+)$"}, "x\nA: 1\nA: 2", "1", None),
        ({"pattern": r"(?m)^A: (.+)$", "which": "last"}, "x\nA: 1\nA: 2", "2", None),
        ({"pattern": r"\d+"}, "a 12 b 34", "12", None),  # no group in the pattern: the whole match
        ({"pattern": r"(\d)(\d)", "group": 2}, "12", "2", None),
        ({"pattern": r"(\d)(\d)", "group": 0}, "12", "12", None),
        ({"pattern": r"(?P<n>\d+) (?P<unit>\w+)", "group": "unit"}, "5 kg", "kg", None),
        ({"pattern": "answer: (.*)", "flags": ["ignorecase"]}, "ANSWER: B", "B", None),
        ({"pattern": "a.(b)", "flags": ["dotall"]}, "a\nb", "b", None),
        ({"pattern": "^b$", "flags": ["multiline"]}, "a\nb\nc", "b", None),
        ({"pattern": r"(a)|b"}, "b", None, "no_group"),
        ({"pattern": r"\d+"}, "none", None, "no_match"),
        ({"pattern": r"\d+"}, "", None, "no_match"),
        ({"pattern": ""}, "abc", "", None),
        ({"pattern": r"\x00(.)"}, "a\x00b", "b", None),
        ({"pattern": r"\ud83d(.)"}, "\ud83dx", "x", None),
        ({"pattern": "(\u202e)"}, "a\u202eb", "\u202e", None),
        ({"pattern": r"(\w+\s?)*$", "timeout_s": 0.1}, "word " * 12_000 + "!", None, "extractor_timeout"),
        ({"pattern": r"\b[A-J]\b"}, "H₂O", None, "no_match"),
        ({"pattern": r"\b[A-J]\b(?!.*\b[A-J]\b)", "flags": ["dotall"]}, "H₂O", None, "no_match"),
        ({"pattern": r"\b[A-J]\b(?!.*\b[A-J]\b)", "flags": ["dotall"]}, "¹⁹F", None, "no_match"),
        ({"pattern": r"\b[A-J]\b(?!.*\b[A-J]\b)", "flags": ["dotall"]}, "H₂O, so\nB.", "B", None),
        ({"pattern": r"\d+", "which": "last"}, "12 x² ٣", "٣", None),
        ({"pattern": "(b|$)", "which": "last"}, "a" * 1_000_000, "", None),
    ],
)
def test_regex(config: dict[str, Any], text: str, value: Any, reason: str | None) -> None:
    check(Regex.model_validate(config), text, value, reason)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pattern": "a("}, "not a regular expression: missing ) at position 2 of 'a('"),
        ({"pattern": "*"}, "not a regular expression: nothing to repeat at position 0 of '*'"),
        ({"pattern": "(" * 5_000}, "nested too deeply or too large"),
        ({"pattern": "(a)", "group": 2}, "group: the pattern has no group 2; it has [0, 1]"),
        ({"pattern": "(?P<n>a)", "group": "m"}, "group: the pattern has no group 'm'; it has [0, 1, 'n']"),
        ({"pattern": "a", "flags": ["i"]}, "type=literal_error"),
        ({"pattern": "a", "timeout_s": 0}, "type=greater_than"),
    ],
)
def test_a_regex_that_can_not_work_is_refused_as_config(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Regex.model_validate(config)
    assert message in str(raised.value)


def test_neither_the_timeout_nor_the_order_of_flags_is_part_of_the_identity() -> None:
    one = Regex(pattern="a", flags=("multiline", "dotall"), timeout_s=1)
    other = Regex(pattern="a", flags=("dotall", "multiline", "dotall"), timeout_s=2)
    assert one.identity() == other.identity()


@pytest.mark.parametrize(
    ("which", "text", "value", "reason"),
    [
        ("last", "one\ntwo\n\n", "two", None),
        ("first", "\n \n one \ntwo", "one", None),
        ("last", "only", "only", None),
        ("last", "a\r\nb\r\n", "b", None),
        ("last", "a\u2028b", "b", None),
        ("last", "a\x00b", "a\x00b", None),
        ("last", "x\n\ud83d", "\ud83d", None),
        ("first", "\u202eabc\nd", "\u202eabc", None),
        ("last", "", None, "empty"),
        ("last", " \t\u00a0\n", None, "empty"),
        ("last", "\n" * 1_000_000, None, "empty"),
        ("last", "a" * 1_000_000, "a" * 1_000_000, None),
    ],
)
def test_line(which: Any, text: str, value: Any, reason: str | None) -> None:
    check(Line(which=which), text, value, reason)


@pytest.mark.parametrize(
    ("config", "text", "value", "reason"),
    [
        ({}, "  The  Answer\n", "the answer", None),
        ({}, "Straße ﬁn １", "strasse fin 1", None),
        ({"unicode": False, "ignore_case": False}, "ﬁn A", "ﬁn A", None),
        ({"ignore_punctuation": True}, "It's $5 – “ok”!", "its 5 ok", None),
        ({"ignore_articles": True}, "The cat and a dog, an owl", "cat and dog, owl", None),
        ({"ignore_articles": True}, "theatre", "theatre", None),
        ({"whitespace": "remove"}, "a b\tc\n", "abc", None),
        ({"whitespace": "strip"}, " a  b ", "a  b", None),
        ({"whitespace": "keep"}, " A ", " a ", None),
        ({}, "", None, "empty"),
        ({"ignore_punctuation": True}, "?!", None, "empty"),
        ({}, "A\x00B", "a\x00b", None),
        ({}, "\ud83d", "\ud83d", None),
        ({}, "\u202eA", "\u202ea", None),
        ({}, "A" * 1_000_000, "a" * 1_000_000, None),
    ],
)
def test_normalized(config: dict[str, Any], text: str, value: Any, reason: str | None) -> None:
    check(Normalized.model_validate(config), text, value, reason)


@pytest.mark.parametrize(
    ("which", "text", "value", "reason"),
    [
        ("last", r"so \boxed{42}.", "42", None),
        ("last", r"\boxed{1} then \boxed{2}", "2", None),
        ("first", r"\boxed{1} then \boxed{2}", "1", None),
        ("last", r"$\boxed{\frac{1}{2}}$", r"\frac{1}{2}", None),
        ("last", r"\boxed{ \{1, 2\} }", r"\{1, 2\}", None),
        ("last", r"\fbox{x}, no: \boxed {y}", "y", None),
        ("last", r"\boxed{a{b{c}d}e}f}", "a{b{c}d}e", None),
        ("last", r"\boxed{1} and \boxed{2", None, "unclosed"),
        ("last", r"\boxed{}", None, "empty"),
        ("last", r"boxed{1}", None, "no_box"),
        # a box that only repeats the instruction
        ("last", r"\boxed{5} (as asked, inside \boxed{})", "5", None),
        ("first", r"Put it in \boxed{...}. So \boxed{5}", "5", None),
        ("last", r"\boxed{5}, in the form \boxed{\ldots}", "5", None),
        ("last", r"\boxed{5} as \boxed{ … } asks", "5", None),
        ("last", r"Use \boxed as asked: \boxed{5}", "5", None),
        ("last", r"\boxed{5}, with `\boxed`", "5", None),
        ("last", r"I know \boxed{} and \boxed{...}", None, "empty"),
        ("last", r"I use \boxed.", None, "no_box"),
        ("last", r"\boxed{4} as in \boxed{}, no: \boxed{5", None, "unclosed"),
        # without braces
        ("last", r"\boxed 5", "5", None),
        ("last", r"so $\boxed 42$.", "42", None),
        ("last", r"\(\boxed -3\)", "-3", None),
        ("last", r"\boxed5", "5", None),
        ("last", r"\fbox 1,234.5.", "1,234.5", None),
        ("last", r"\boxed B.", "B", None),
        ("last", r"\boxed 3/4", "3/4", None),
        ("last", r"\boxed{4}. Wait: \boxed(5)", None, "ambiguous"),
        ("last", r"\boxed \frac{1}{2}", None, "ambiguous"),
        ("last", r"\boxed 3 / 4", None, "ambiguous"),
        ("last", r"\boxed 1 000", None, "ambiguous"),
        ("last", r"\boxed x = 5", None, "ambiguous"),
        # boxes in boxes, and beside each other
        ("last", r"\boxed{\boxed{7}}", "7", None),
        ("first", r"\boxed{\boxed{7}}", "7", None),
        ("first", r"\boxed{x = \fbox{7}} \boxed{8}", "7", None),
        ("last", r"\boxed{4}. Wait: \boxed{5}", "5", None),
        ("last", r"\boxed{4} or \boxed{5}", None, "ambiguous"),
        ("last", r"$\boxed{4}$, $\boxed{5}$", None, "ambiguous"),
        ("first", r"\boxed{4} and \boxed{5}", None, "ambiguous"),
        ("last", r"\boxed{5} and \boxed{5}", "5", None),
        ("last", r"\(\boxed{4}\), and \(\boxed{5}\)", None, "ambiguous"),
        ("last", r"\\boxed{5}", "5", None),
        ("last", r"\\\boxed{\left(\frac{1}{2},3\right]}", r"\left(\frac{1}{2},3\right]", None),
        ("last", "\\" * 60_000 + "boxed{5}", "5", None),
        ("last", "", None, "no_box"),
        ("last", "\\boxed{" * 8_500, None, "unclosed"),
        ("first", "\\boxed{" * 8_500, None, "unclosed"),
        ("last", "\\boxed{" + "{" * 60_000 + "}" * 60_000 + "}", "{" * 60_000 + "}" * 60_000, None),
        ("last", "\\boxed{\x00\ud83d\u202e}", "\x00\ud83d\u202e", None),
        ("last", "a" * 1_000_000, None, "no_box"),
    ],
)
def test_boxed(which: Any, text: str, value: Any, reason: str | None) -> None:
    check(Boxed(which=which), text, value, reason)


@pytest.mark.parametrize(
    ("config", "text", "value", "reason"),
    [
        ({}, "x <answer> 4 </answer> y", "4", None),
        ({}, "<answer>1</answer><answer>2</answer>", "2", None),
        ({"which": "first"}, "<answer>1</answer><answer>2</answer>", "1", None),
        ({"strip": False}, "<answer> 4\n</answer>", " 4\n", None),
        ({"tag": "final"}, "<answer>1</answer><final>2</final>", "2", None),
        ({}, '<Answer kind="x">B</ANSWER >', "B", None),
        ({}, "<answer>1</answer> <answer>2", None, "unclosed"),
        ({"which": "first"}, "<answer>1</answer> <answer>2", "1", None),
        ({}, "</answer>3", None, "no_tag"),
        ({}, "<answers>3</answers>", None, "no_tag"),
        ({}, "<answer> </answer>", None, "empty"),
        ({}, "", None, "no_tag"),
        ({}, "<answer>" * 7_500, None, "unclosed"),
        ({"which": "first"}, "<answer>" * 7_500, None, "unclosed"),
        ({}, "<answer " * 7_500, None, "no_tag"),
        ({}, "<answer>\x00\ud83d\u202e</answer>", "\x00\ud83d\u202e", None),
        ({}, "<answer>" + "a" * 1_000_000 + "</answer>", "a" * 1_000_000, None),
    ],
)
def test_tag(config: dict[str, Any], text: str, value: Any, reason: str | None) -> None:
    check(Tag.model_validate(config), text, value, reason)


@pytest.mark.parametrize("name", ["", "a b", "<a>", "1a"])
def test_a_tag_is_given_by_its_bare_name(name: str) -> None:
    with pytest.raises(ValidationError):
        Tag(tag=name)


@pytest.mark.parametrize(
    ("config", "text", "value", "reason"),
    [
        ({}, "<think>hm</think>\n42", "42", None),
        ({}, "no reasoning", "no reasoning", None),
        ({}, "reasoning without its tag</think>42", "42", None),
        ({}, "a<think>1</think>b<THINK>2</THINK>c", "abc", None),
        ({}, "<think>a<think>b</think>c</think>d", "d", None),
        ({"tags": ["think", "scratchpad"]}, "<scratchpad>x</scratchpad>4", "4", None),
        ({"tags": ["scratchpad"]}, "<think>x</think>4", "<think>x</think>4", None),
        ({}, "<think>the answer is 42", None, "unfinished_reasoning"),
        # attributes
        ({}, '<think step="1">A</think>B', "B", None),
        ({}, "<think type='deep' n=2>A</think>B", "B", None),
        ({}, '<think type="deep">It looks like A', None, "unfinished_reasoning"),
        ({}, '<think if="x < 3">A', None, "unfinished_reasoning"),
        ({}, '<THINK id="1">A</THINK >B<think id="2">C</ think>D', "BD", None),
        ({}, "<thinker>A</thinker>B", "<thinker>A</thinker>B", None),
        ({}, "<think\nid='1'>A</think>B", "B", None),
        ({}, "<think\nid='1'>A", None, "unfinished_reasoning"),
        # tags that are talked about
        ({}, "<think>A</think>B. (It looks for `<think>` first.)", "B. (It looks for `<think>` first.)", None),
        ({}, "<think>It ends with `</think>`, so A</think>B", "B", None),
        ({}, "<think>It ends with `</think>`, so A", None, "unfinished_reasoning"),
        ({}, "<think>A</think>Use '<think>' or \"</think>\".", "Use '<think>' or \"</think>\".", None),
        ({}, "Run `x = <think> + 1`: B", "Run `x = <think> + 1`: B", None),
        ({}, "`<think>A</think>` is how. B", "`<think>A</think>` is how. B", None),
        ({}, "```\n<think>\n```\nB", "```\n<think>\n```\nB", None),
        ({}, "<think>a ` b</think>Answer: `B`", "Answer: `B`", None),
        ({}, "```\n<think>A", None, "unfinished_reasoning"),
        ({}, "It is `</b>` A </think>B `c`", "B `c`", None),
        ({}, "<think>x</think>B\n<think>Let me check: A", None, "unfinished_reasoning"),
        ({}, '{"a": "<think>A</think>B"}', '{"a": "B"}', None),
        ({}, "<think>1</think>2<think>3", None, "unfinished_reasoning"),
        ({}, "<think>only</think>", None, "empty"),
        ({}, "", None, "empty"),
        ({}, "<think>" * 8_500, None, "unfinished_reasoning"),
        ({}, "</think>" * 7_500 + "x", "x", None),
        ({}, "<think " * 7_500, ("<think " * 7_500).strip(), None),
        ({}, "`" + "<think> " * 7_500 + "`", "`" + "<think> " * 7_500 + "`", None),
        ({}, "<think>\x00</think>\ud83d\u202e\x00", "\ud83d\u202e\x00", None),
        ({}, "a" * 1_000_000, "a" * 1_000_000, None),
    ],
)
def test_without_reasoning(config: dict[str, Any], text: str, value: Any, reason: str | None) -> None:
    check(WithoutReasoning.model_validate(config), text, value, reason)
