"""What a scripted server says as a judge: verdicts that repeat the marker of the request that asked for them.

{"rule": "judge", "find": {"marker": "(?s).*VERDICT-([0-9a-f]{10})"}, "output": "It is wrong. VERDICT-{marker}: NO",
 "rows": [{"pattern": "Paris", "output": "It is right.\\nVERDICT-{marker}: YES"}]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["JudgeAnswers"]


class JudgeAnswers:
    """The rule `judge`. Keys, all but `output` optional:

    - `find`: name to a regular expression; its first group, as found in the messages, stands for `{name}` in outputs,
      and as a JSON string for `{name.json}`.
    - `rows`: `output`, and conditions that must all hold: `pattern` (a regular expression that is found in the
      messages), `model`, `again` (whether the request has an earlier reply in it). The first row that fits answers.
    - `output`: what is said otherwise. Outputs are texts or objects, as in tables.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        if unknown := answers.keys() - {"rule", "find", "rows", "output"}:
            raise ValueError(f"the rule judge has no {', '.join(sorted(unknown))}")
        self._find = {name: re.compile(pattern) for name, pattern in dict(answers.get("find") or {}).items()}
        self._rows = [({**row}, re.compile(row.get("pattern", ""))) for row in answers.get("rows", ())]
        self._output = answers.get("output")

    def output(self, messages: Sequence[tuple[str, str]], model: str) -> Any:
        """What is said to messages, each a role and a text: a text or an object; None if nothing fits."""
        said = "\n".join(text for _, text in messages)
        again = any(role == "assistant" for role, _ in messages)
        for row, pattern in self._rows:
            if row.get("model", model) == model and row.get("again", again) == again and pattern.search(said):
                return self._filled(row["output"], said)
        return self._filled(self._output, said)

    def _filled(self, output: Any, said: str) -> Any:
        found = {name: match[1] for name, pattern in self._find.items() if (match := pattern.search(said))}
        return _fill(output, found)


def _fill(value: Any, found: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, text in found.items():
            value = value.replace(f"{{{name}}}", text).replace(f"{{{name}.json}}", json.dumps(text))
        return value
    if isinstance(value, dict):
        return {_fill(key, found): _fill(each, found) for key, each in value.items()}
    return [_fill(each, found) for each in value] if isinstance(value, list) else value
