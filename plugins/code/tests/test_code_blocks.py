"""Which program an answer holds."""

from __future__ import annotations

import pytest

from themis_core import Extraction
from themis_plugin_code.blocks import Python

NO_CODE, UNCLOSED = Extraction(reason="no_code"), Extraction(reason="unclosed")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```python\nx = 1\n```", Extraction("x = 1\n")),
        ("So:\n```Python\nx = 1\n```\nand\n```py\nx = 2\n```\ndone", Extraction("x = 2\n")),
        ("```python\nx = 1\n```\nOutput:\n```\n1\n```", Extraction("x = 1\n")),
        ("```sh\npip\n```\n```\nx = 1\n```", Extraction("x = 1\n")),
        ("```sh\npip\n```", NO_CODE),
        ("~~~python\nx = '```'\n~~~", Extraction("x = '```'\n")),
        ("````python\nx = '''\n```\n'''\n````", Extraction("x = '''\n```\n'''\n")),
        ("```python title=a.py\nx = 1\n```", Extraction("x = 1\n")),
        ("```python\n    return x\n```", Extraction("    return x\n")),
        ("```python\n```", Extraction("")),
        ("```python\nx = 1", UNCLOSED),
        ("```python\nx = 1\n```\n```python\nx =", UNCLOSED),
        ("def f(x):\n    return x\n", Extraction("def f(x):\n    return x\n")),
        ("    return x\n", Extraction("    return x\n")),
        ("return x\n", Extraction("return x\n")),
        ("I can't do that.", NO_CODE),
        ("x = '\\d'", Extraction("x = '\\d'")),
        ("", NO_CODE),
        ("\0", NO_CODE),
    ],
)
def test_the_program_of_an_answer(text: str, expected: Extraction) -> None:
    assert Python().extract(text) == expected


def test_the_first_block_is_taken_if_the_config_says_so() -> None:
    assert Python(which="first").extract("```py\na\n```\n```py\nb\n```") == Extraction("a\n")
