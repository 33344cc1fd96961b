"""What is equal, what is not, and what can't be read."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import Generation, Item, Score
from themis_plugin_math.equivalent import Equivalent

ANSWERED = Generation("answered", text="…")


def scored(reference: Any, answer: Any, **config: Any) -> Score:
    # The bound is not what is tested here, and the machine may be busy.
    return Equivalent(timeout_s=60, **config).score(Item("1", {}, reference), ANSWERED, answer)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (r"\frac12", "0.5"),
        ("1/2", r"\dfrac{1}{2}"),
        ("0.5", "½"),
        (r"-\frac{3}{4}", "−0.75"),
        (r"\frac72", "3 1/2"),
        (r"3\frac12", "7/2"),
        ("3", "x=3"),
        ("x=3", "$3$"),
        ("x=3", "2x = 6"),
        (r"9\pi", r"A = 9\pi"),
        (r"2\sqrt{2}", r"\sqrt{8}"),
        (r"\frac{\sqrt3}{3}", r"\frac{1}{\sqrt{3}}"),
        (r"\sqrt[3]{-8}", "-2"),
        ("sqrt(2)/2", r"\cos 45^\circ"),
        ("1234", "1,234"),
        ("15600", r"15\,600"),
        ("320000", r"3.2 \times 10^{5}"),
        ("1024", "2^10"),
        (r"e^{i\pi}", "-1"),
        (r"\ln 4", r"2\ln 2"),
        (r"\log_2 8", "3"),
        (r"\binom52", "5!/12"),
        (r"\{1, 2\}", r"\left\{2, 1\right\}"),
        (r"\{1, 2\}", r"x = 1 \text{ or } x = 2"),
        ("1, 2", "2 and 1"),
        (r"2\pm\sqrt3", r"2-\sqrt{3}, 2+\sqrt{3}"),
        ("(1, 2)", r"\left(\frac{2}{2}, 2\right)"),
        ("[1, 2)", r"1 \le x < 2"),
        (r"(-\infty,1)\cup(2,\infty)", "x<1 or x>2"),
        (r"[0, \infty)", r"x \in [0, 3) \cup [3, \infty)"),
        ("0.5", r"50\%"),
        (r"90^\circ", "90"),
        ("90", "90 degrees"),
        (r"\pi", r"180^\circ"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix} 1 & 2 \\ 3 & \frac{8}{2} \end{bmatrix}"),
        ("(x+1)^2", "x^2 + 2x + 1"),
        (r"\frac{x^2-1}{x-1}", "x + 1"),
        (r"\sin^2 x", r"1 - \cos^2 x"),
        ("x^{1/3}", r"\sqrt[3]{x}"),
        ("x + 2y = 3", "2x + 4y = 6"),
        ("y = 2x + 1", "y - 2x = 1"),
        ("x > 3", "3 < x"),
        ("3", r"So the answer is $\boxed{3}$, as $4 - 1$ is \boxed{3.0}."),
        (["7", "1/2"], "0.5"),
        (0.5, r"\tfrac12"),
        ("042", "42"),
    ],
)
def test_an_answer_that_is_equal_is_right(reference: Any, answer: str) -> None:
    assert scored(reference, answer) == Score(1.0)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("3", "x=5"),
        ("x=3", "y=3"),
        ("1,2", "12"),
        ("12", "1, 2"),
        ("1, 2", "1, 2, 3"),
        ("1, 2", "1, 1"),
        (r"\{1, 2\}", r"\{1\}"),
        ("1/3", "0.33"),
        ("1/3", "0.333333333333333333"),
        (r"\pi", "3.141592653589793238462643383279502884197169399375105820974944592307816"),
        (r"\pi", "22/7"),
        (r"\sqrt2", "1.414"),
        (r"e^{\pi\sqrt{163}}", "262537412640768744"),
        ("3", "-3"),
        ("(1, 2)", "(2, 1)"),
        ("(1, 2)", "[1, 2]"),
        ("(1, 2)", r"\{1, 2\}"),
        ("[1, 2)", r"1 \le x \le 2"),
        ("3", "3 or 4"),
        ("3", r"\pm 3"),
        ("50", r"50\%"),
        ("10", "2^{10}"),
        ("5", "2(3)"),
        ("x", "|x|"),
        (r"\sqrt{x^2}", "x"),
        ("x + 1", "y + 1"),
        ("2x", "x^2"),
        ("x + 2y = 3", "2x + 4y = 7"),
        ("x > 3", r"x \ge 3"),
        ("x > 3", "x < 3"),
        ("x>1 and x<3", "x>1 or x<3"),
        ("x = 1, y = 2", "2, 1"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}"),
        ("5 m", "5 cm"),
        (r"45^\circ", r"45\pi"),
        ("ab", "a + b"),
    ],
)
def test_an_answer_that_differs_is_wrong(reference: str, answer: str) -> None:
    assert scored(reference, answer) == Score(0.0)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("three", "a word"),
        ("The answer is 3", "a word"),
        ("it is 3", "a word"),
        (r"\text{not } 3", "a word"),
        (r"\boxed{3} or \boxed{4}", "several boxes with different values"),
        (r"\boxed{3", "a box is not closed"),
        ("1 2", "without an operator"),
        ("$1$ $2$", "without an operator"),
        ("1/2x", "write brackets"),
        ("--3", "not expected"),
        ("3!!", "factorials"),
        ("1+1=3", "differ"),
        ("1,000, 3", "thousands, or a list"),
        ("1/0", "no finite value"),
        ("3)", "closed that was not opened"),
        ("(3", "not closed"),
        ("3 +", "too early"),
        (r"\foo 3", "no known command"),
        ("", "nothing"),
        ("३", "no mathematics"),
        ("{" * 60_000, "longer"),
        ("(" * 500 + "3" + ")" * 500, "nested too deeply"),
        (["3"], "neither"),
        (True, "neither"),
    ],
)
def test_an_answer_that_cannot_be_read_in_one_way_is_wrong_and_the_detail_says_why(answer: Any, why: str) -> None:
    score = scored("3", answer)
    assert score.value == 0.0
    assert why in score.details["unread"]


@pytest.mark.parametrize(
    ("config", "reference", "answer", "value"),
    [
        ({"tolerance": 0.01}, "1/3", "0.33", 1.0),
        ({"tolerance": 0.001}, "1/3", "0.33", 0.0),
        ({"relative_tolerance": 0.01}, r"100\pi", "314", 1.0),
        ({"tolerance": 0.01}, r"\{1, \sqrt2\}", r"\{1.41, 1\}", 1.0),
        ({"tolerance": 0.01}, "x + 1", "x + 1.005", 0.0),
        ({"percent_as_fraction": False}, "50", r"50\%", 1.0),
        ({"percent_as_fraction": False}, "0.5", r"50\%", 0.0),
    ],
)
def test_options_loosen_what_they_name(config: dict[str, Any], reference: str, answer: str, value: float) -> None:
    assert scored(reference, answer, **config) == Score(value)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (None, "no_reference"),
        ("Monday", "bad_reference"),
        ("", "bad_reference"),
        (r"\frac{1}{", "bad_reference"),
        (["1/2", "a word"], "bad_reference"),
        ({"value": 1}, "bad_reference"),
        (True, "bad_reference"),
        (float("nan"), "bad_reference"),
        ([], "bad_reference"),
        (r"\frac12", None),
        ([1, "2"], None),
    ],
)
def test_a_reference_that_cannot_be_read_is_told_in_planning(reference: Any, reason: str | None) -> None:
    assert Equivalent(timeout_s=60).unscorable(Item("1", {}, reference)) == reason
