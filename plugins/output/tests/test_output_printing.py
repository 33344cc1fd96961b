"""Long texts are shown as far as people read them, and what was left out is said."""

from __future__ import annotations

from themis_output import cut, excerpt, sentences


def test_a_long_text_keeps_both_its_ends() -> None:
    assert cut("x" * 120) == "x" * 120
    assert cut("a" * 1_000 + "b" * 1_000) == f"{'a' * 60}…{'b' * 20} (2,000 characters)"


def test_of_many_lines_the_last_are_shown() -> None:
    assert excerpt("1\n2\n3\n4", lines=2) == "… (2 lines above)\n3\n4"
    assert excerpt("1\n2\n3", lines=2) == "1\n2\n3"  # to say that one is left out takes a line as well
    assert excerpt("a" * 90 + "b" * 90, width=100) == f"{'a' * 60}…{'b' * 20} (180 characters)"


def test_a_long_sentence_is_in_lines_and_what_is_in_parentheses_in_one() -> None:
    figures = "(95 % interval +0.312 to +0.559, p = 1.0e-04, n = 40)"
    said = f"stats/compare: large is better than small: accuracy/text/numeric_match is 0.438 higher {figures}."
    assert sentences(said) == said.replace(f" {figures}", f"\n  {figures}")
    assert sentences("Short.", "  ") == "  Short."
    assert sentences(f"({'long ' * 30})", more="    ").splitlines()[1].startswith("    long")
