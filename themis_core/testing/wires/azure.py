"""Azure's deployments: OpenAI's chat completions under paths, keys and errors of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from themis_core.testing.wires.base import Call, Output, Told
from themis_core.testing.wires.openai import OpenAI

__all__ = ["Azure"]

FILTERS = ("hate", "self_harm", "sexual", "violence")


class Azure(OpenAI):
    """Serves paths below `/openai/deployments/`, whose name is the model's.

    An output's `filtered` lists the filters that take the answer away. An error's `filtered` does so for a prompt.
    """

    def serves(self, path: str) -> bool:
        return "/openai/deployments/" in path

    def model(self, path: str, body: Mapping[str, Any]) -> str:
        return path.partition("/openai/deployments/")[2].partition("/")[0]

    def key(self, headers: Mapping[str, str]) -> str:
        return headers.get("api-key") or super().key(headers)

    def unauthorized(self, key: str) -> tuple[int, Told]:
        message = (
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key."
        )
        return 401, self.error(401, {"code": "401", "message": f"{message} ({key})"})

    def error(self, status: int, given: Mapping[str, Any]) -> Told:
        error = {"code": str(status), "message": "", **given}
        if filtered := error.pop("filtered", ()):
            results = _results(filtered)
            inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results}
            error |= {"code": "content_filter", "status": status, "param": "prompt", "type": None, "innererror": inner}
        return {"error": error}, {"x-ms-region": "Scripted"}

    def answer(self, call: Call, output: Output, counts: tuple[int, int] | None) -> dict[str, Any]:
        filtered = output.get("filtered") or ()
        given = {name: value for name, value in output.items() if name != "filtered"}
        if filtered:
            given |= {"content": None, "finish_reason": "content_filter"}
        reply = super().answer(call, given, counts)
        for choice in reply["choices"]:
            choice["content_filter_results"] = _results(filtered)
        return reply | {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _results(())}]}


def _results(filtered: Any) -> dict[str, Any]:
    return {
        name: {"filtered": name in filtered, "severity": "high" if name in filtered else "safe"} for name in FILTERS
    }
