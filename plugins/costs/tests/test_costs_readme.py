"""The examples in the README hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_the_examples_in_the_readme_hold(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    for code in examples:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
