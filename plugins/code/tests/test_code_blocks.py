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
        ("1. So:\n   ```python\n   def f():\n\n       return 1\n   ```\n2.", Extraction("def f():\n\n    return 1\n")),
        ("- So:\n\n    ```py\n    if x:\n        y\n  z\n    ```", Extraction("if x:\n    y\nz\n")),
        ("1. ```python\n   if x:\n       y\n   ```\n2. Done", Extraction("if x:\n    y\n")),
        ("- ```\n  x = 1\n  ```\n* ```\n  - ```\n  ```", Extraction("- ```\n")),
        ("\t```python\n\tx = 1\n\t```", Extraction("x = 1\n")),
        ('```python\ndef f():\n    """\n    ```\n    """\n```', Extraction('def f():\n    """\n    ```\n    """\n')),
        ('def f():\n  """\n  ```\n  1\n  ```\n  """\n', Extraction('def f():\n  """\n  ```\n  1\n  ```\n  """\n')),
        (
            '    """\n    ```\n    1\n    ```\n    """\n    return 1',
            Extraction('    """\n    ```\n    1\n    ```\n    """\n    return 1'),
        ),
        ("```markdown\n# So\n```python\nx = 1\n```\nDone.\n```", Extraction("x = 1\n")),
        ("```md\nx\n```\n```\ny = 1\n```", Extraction("y = 1\n")),
        ("```{python}\nx = 1\n```", Extraction("x = 1\n")),
        ("```{.python .numbers}\nx = 1\n```", Extraction("x = 1\n")),
        ("``` python:a.py\nx = 1\n```", Extraction("x = 1\n")),
        ("```python3.12,run\nx = 1\n```", Extraction("x = 1\n")),
        ("```python-repl\n>>> x\n```", NO_CODE),
        ("```pyi\nx: int\n```", NO_CODE),
        ("```python\r\nx = 1\r\n```\r\n", Extraction("x = 1\r\n")),
        ("\ufeff```python\nx = 1\n```", Extraction("x = 1\n")),
        ("\ufeffx = 1", Extraction("x = 1")),
        ("```x``` is\n```python\nx = 1\n```", Extraction("x = 1\n")),
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
