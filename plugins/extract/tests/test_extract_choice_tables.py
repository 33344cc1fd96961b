"""How people and models write of choices: what is a statement, what a refutation, and what only a mention."""

from __future__ import annotations

from typing import Any

import pytest

from themis_core import Extraction
from themis_plugin_extract.choices import Choice

STATED = [
    ("You might think the answer is A, but it's D.", "D"),
    ("The correct option isn't B; it's D.", "D"),
    ("It can't be A, B or C, therefore D.", "D"),
    ("Choice A: incorrect. Choice B: correct. Choice C: incorrect.", "B"),
    ("A ❌\nB ✅\nC ❌\nD ❌", "B"),
    ("❌ A, ✅ B", "B"),
    ("At first glance, A looks right. However, B accounts for friction, so B.", "B"),
    ("I was tempted to choose A, but B is right.", "B"),
    ("The answer is A? No, it's B.", "B"),
    ("**Final Answer**\n\n**(C)**", "C"),
    ("### Answer\nB", "B"),
    ("It's not A but B.", "B"),
    ("A is tempting, but the correct choice is B.", "B"),
    ("It's between A and B, but I'd go with B.", "B"),
    ("A. foo is incorrect. B. bar is correct.", "B"),
    ("A. foo is incorrect.\nB. bar is incorrect.\nC. baz is right.", "C"),
    ("**Answer:** C", "C"),
    ("Final answer: option (d)", "D"),
    ("The answer is **(B) Paris**.", "B"),
    ("I believe (C) is the best choice.", "C"),
    ("Option B is the only one that works.", "B"),
    ("Therefore, the correct option is A.", "A"),
    ("A is correct because it floats.", "A"),
    ("B. Paris", "B"),
    ("**B**", "B"),
    ("B\n\nBecause A is too small.", "B"),
    ("I think that C is right.", "C"),
    ("Option A is incorrect, so the answer must be C.", "C"),
    ("We can eliminate A, B, and D. That leaves C.", "C"),
    ("Eliminating A and B, we have C and D left. D is false. So C.", "C"),
    ("The answer is A. Wait, actually B is correct.", "B"),
    ("The answer is A. Hmm, no. The answer is C.", "C"),
    ("The correct answer is A, not B.", "A"),
    ("B, not A.", "B"),
    ("Not A. B.", "B"),
    ("I'd choose B over A.", "B"),
    ("B rather than A", "B"),
    ("The correct choice is (a).", "A"),
    ("the answer is d", "D"),
    ("Answer: B. Option A is correct only if x > 0.", "B"),
    ("\\(\\boxed{B}\\)", "B"),
    ("$\\boxed{\\text{(C)}}$", "C"),
    ("Among the options, only C is possible.", "C"),
    ("Option D (Rome) is correct.", "D"),
    ("(A) ignores friction.\n(B) is right.", "B"),
    ("A is a common misconception; the right answer is D.", "D"),
    ("Let's look at each.\nA) no\nB) yes\nC) no\nD) no\n\nAnswer: B", "B"),
    ("So the answer is B) 12 m/s.", "B"),
    ("My answer: C", "C"),
    ("Correct Answer: **D. 42**", "D"),
    ("The answer is: A", "A"),
    ("The best answer is A.", "A"),
    ("A can't be right. C could be. The answer is C.", "C"),
    ("Both A and B are incorrect, leaving only C.", "C"),
    ("I would say B.", "B"),
    ("I'll go with option C.", "C"),
    ("It has to be D.", "D"),
    ("Answer: A, since it is a metal.", "A"),
    ("The answer is A because a cat is a mammal", "A"),
    ("<answer>B</answer>", "B"),
    ("The answer would be C.", "C"),
    ("Answer - B", "B"),
    ("Answer: Option B: Paris", "B"),
    ("The letter is C", "C"),
    ("Correct: B", "B"),
    ("B seems right at first, but it is wrong. The answer is D.", "D"),
    ("The answer is B, although A is also plausible.", "B"),
    ("The correct answer is D. Option A is wrong because gravity pulls it down.", "D"),
    ("Final answer: B. (Had the answer been C, it would be odd.)", "B"),
    ("**Answer: C**\n\nWhy not the others?\n- Option A: too small.\n- Option B: not prime.", "C"),
    ("After checking each, I think D is the answer.", "D"),
    ("C fits best", "C"),
    ("A cat is a mammal, so C", "C"),
    ("Only statement B holds for all x.", "B"),
    ("The evidence favors C", "C"),
    ("The evidence strongly favours C.", "C"),
    ("Overall, the data support B.", "B"),
    ("The reasoning seems to favor option D, because of friction.", "D"),
    ("I favor C.", "C"),
    ("Everything supports (B).", "B"),
    ("The evidence favors C over D.", "C"),
    ("The passage supports A, but the answer is B.", "B"),
    ("Initially, the data support A. However, B accounts for friction, so B.", "B"),
    ("Between A and D, D is better supported", "D"),
    ("Of A and B, B fits best.", "B"),
    ("Between options A and B, option B is the better choice.", "B"),
    ("Between (A) and (D), (D) is better supported.", "D"),
]

UNREAD = [
    "I don't think it's A.",
    "I doubt that B is correct.",
    "It is unlikely that C is the answer.",
    "People often choose A.",
    "Many would say A, but that's a mistake.",
    "Some may think B is correct.",
    "A student might choose C.",
    "There is no way B is right.",
    "I disagree that A is correct.",
    "B is hardly correct.",
    "It's not clear whether A or B is correct.",
    "A isn't the answer, and neither is B.",
    "The answer is A, B, or C.",
    "Answer: Not A",
    "The answer is not C.",
    "Neither A nor B.",
    "A and C are both wrong.",
    "All except D",
    "All options except D are correct.",
    "It's between A and B.",
    "A is wrong, B is wrong, C is wrong.",
    "Is the answer B? No.",
    "If the answer were C, the sum would be odd.",
    "I am not sure.",
    "A dog.",
    "Vitamin C is important.",
    "The deficiency is caused by vitamin C.",
    "Statement A is true. Statement B is true.",
    "Option A doesn't fit.",
    "C isn't it.",
    "Answer: B or C",
    "D) Rome is incorrect.",
    "The wrong answer is A.",
    "The incorrect options are A and B.",
    "None of A, B or C is right.",
    "Why not A? Because B is larger.",
    "Option C would be wrong.",
    "The answer cannot be determined from A.",
    "The correct answer is neither A nor B.",
    "The answer is definitely not B.",
    "Therefore B is not the answer.",
    "The evidence does not favor C.",
    "The evidence doesn't support C.",
    "No evidence supports C.",
    "Little evidence favors C",
    "There is no data that supports C.",
    "None of the findings support A.",
    "If the evidence favors C, we are lost.",
    "While the evidence favors A, it is old.",
    "Does the evidence favor C?",
    "The evidence would favor C.",
    "The evidence that favors A is weak.",
    "Evidence against the theory supports B.",
    "The evidence favors neither A nor B.",
    "The evidence favors A or B.",
    "Some evidence favors C. Other evidence supports D.",
    "Critics favor C.",
    "The student's analysis supports A.",
    "Your reasoning supports A.",
    "At first, the data support A.",
    "The evidence favors a larger value.",
    "Between A and D, D is less supported.",
    "Between A and D, D is wrong.",
    "Between A and D, neither is right.",
    "Between A and D, D or C.",
    "Between A and D, D is better. But C is correct.",
    "Choose between A and D, D if x > 0.",
]


@pytest.mark.parametrize(("text", "value"), STATED)
def test_what_is_stated_is_read(text: str, value: str) -> None:
    assert Choice().extract(text) == Extraction(value)


@pytest.mark.parametrize("text", UNREAD)
def test_a_label_that_is_refuted_supposed_or_one_of_several_is_not_read(text: str) -> None:
    assert Choice().extract(text).value is None


@pytest.mark.parametrize("text", ["I think so.", "I am sure.", "I would say that it floats.", "Then I know."])
def test_the_pronoun_is_no_label(text: str) -> None:
    assert Choice(choices=tuple("ABCDEFGHI")).extract(text) == Extraction(reason="no_choice")


def test_the_pronoun_before_a_statement_does_not_make_it_ambiguous() -> None:
    assert Choice(choices=tuple("ABCDEFGHI")).extract("I think D is the answer.") == Extraction("D")
    assert Choice(choices=tuple("ABCDEFGHI")).extract("The answer is (I).") == Extraction("I")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A, C", ["A", "C"]),
        ("A and C", ["A", "C"]),
        ("(C)(A)", ["A", "C"]),
        ("AC", ["A", "C"]),
        ("B", ["B"]),
        ("The correct answers are A and C.", ["A", "C"]),
        ("Answer: A, C, D", ["A", "C", "D"]),
        ("**Answer:** BD", ["B", "D"]),
        (r"\boxed{AD}", ["A", "D"]),
        ("The answer is (A), (B) and (D).", ["A", "B", "D"]),
        ("A is correct. B is wrong. C is correct.", ["A", "C"]),
        ("A and C are correct, B and D are not.", ["A", "C"]),
        ("The answers are A and C, not B.", ["A", "C"]),
        ("A or C", None),
        ("The answer is A or C.", None),
        ("A is wrong.", None),
        ("A) one\nB) two\nC) three\nD) four", None),
        ("CAB is late", None),
    ],
)
def test_several_choices_are_a_list_in_the_order_of_the_labels(text: str, value: Any) -> None:
    assert Choice(multiple=True).extract(text).value == value
