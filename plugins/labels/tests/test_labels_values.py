"""What labels count as, as it is typed."""

from __future__ import annotations

import pytest

from themis_core import SpecError
from themis_labels import label_values


def test_each_label_counts_as_its_number() -> None:
    assert label_values(["good=1", "bad=0", "a=b=0.5", "good=1.0"]) == {"good": 1, "bad": 0, "a=b": 0.5}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["good"], "--label-value good: write it as label=number, such as good=1"),
        (["good=nan"], "--label-value good=nan: write it as label=number"),
        (["good=1", "good=0"], "--label-value: good is to count as 1 and as 0: leave out one of them"),
    ],
)
def test_what_is_no_number_or_two_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        label_values(texts)
    assert str(caught.value).startswith(message)
