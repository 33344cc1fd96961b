"""Runs for the pages: one that is known by heart, one whose texts mean harm, one with very many results."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from themis_core.testing.hostile import HOSTILE_TEXTS

ATTACKS: Mapping[str, str] = {
    **HOSTILE_TEXTS,
    "end of script": "</script><script>window.hit = 1</script><!--<script>",
    "handlers": "<img src=x onerror='window.hit=1'><svg onload='window.hit=1'><details open ontoggle='window.hit=1'>",
    "links": "<a href='javascript:window.hit=1'>a</a><link rel=stylesheet href=//example.com>",
    "frames": "<iframe src='https://example.com'></iframe><object data='https://example.com'></object>",
    "markdown": "![x](https://example.com/pixel.png) [a](javascript:window.hit=1) # $\\frac{1}{2}$ `</code>`",
    "style": "</style><style>body{display:none}</style><base href='https://example.com/'>",
    "template of jinja": "{{ 7 * 7 }}{% raw %}",
    "comment": "<!-- --!> ]]> <![CDATA[",
}
QUESTIONS = {"eggs": "96", "feet": "36", "days": "21", "pens": "12"}
ANSWERS: Mapping[str, Mapping[str, str]] = {
    "small": {"eggs": "A: 96", "feet": "I think three.\nA: 3", "days": "no idea", "pens": "A: 12"},
    "large": {"eggs": "A: 96", "feet": "A: 36", "days": "A: 21"},
}


def run(
    folder: Path, rows: list[dict[str, Any]], answers: Mapping[str, Mapping[str, str]], name: str = "counts"
) -> Path:
    """Run recorded answers (model to item to text), and give the spec."""
    (folder / "items.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    models = []
    for number, (model, texts) in enumerate(answers.items()):
        lines = [json.dumps({"id": item, "output": text}) for item, text in texts.items()]
        (folder / f"{number}.jsonl").write_text("\n".join(lines), "utf-8")
        models.append({"model_id": model, "provider": "replay/file", "extras": {"path": f"{number}.jsonl"}})
    fields = {"id": "id", "reference": "gold", "metadata": ["level"]}
    made = {
        "slice_id": "all",
        "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": fields},
        "generation": {},
        "parses": [{"name": "number", "extractors": [{"id": "extract/regex", "config": {"pattern": "A: (.+)"}}]}],
        "scores": [{"name": "accuracy", "parse": "number", "metrics": ["text/exact_match"]}],
    }
    prompt = {"id": "plain", "messages": [{"role": "user", "content": "{{ item.question }}"}]}
    benchmark = {"benchmark_id": name, "models": models, "prompt_variants": [prompt], "slices": [made]}
    spec = folder / "spec.json"
    project = {"storage": {"backend": "sqlite", "root_dir": "store"}}
    spec.write_text(json.dumps({"project": project, "benchmark": benchmark}), "utf-8")
    return ran(spec)


def ran(spec: Path) -> Path:
    """Run a spec in a process of its own: playwright keeps an event loop running in this one."""
    done = subprocess.run([sys.executable, "-m", "themis_core", "run", str(spec)], capture_output=True, text=True)
    assert done.returncode in (0, 5), done.stderr
    return spec


def counts(folder: Path) -> Path:
    rows = [
        {"id": name, "question": f"How many {name}?", "gold": gold, "level": "ab"[at % 2]}
        for at, (name, gold) in enumerate(QUESTIONS.items())
    ]
    return run(folder, rows, ANSWERS)


def hostile(folder: Path) -> Path:
    """A run whose questions, metadata, answers, names of models and of the benchmark are attacks."""
    rows = [
        {"id": f"{name} <b>", "question": text[:5000], "gold": "x", "level": text[:50]}
        for name, text in ATTACKS.items()
    ]
    answers = {f"{name} <b>": f"{text}\nA: {text[:2000]}" for name, text in ATTACKS.items()}
    models = {"<img src=x onerror=window.hit=1>": answers, "$\\frac{a}$ \u202e&amp;": answers}
    return run(folder, rows, models, "</title><script>window.hit=1</script>")


def many(folder: Path, items: int) -> Path:
    """Two models over so many items, with answers of some 700 characters that pack no better than prose."""
    words = [f"w{(n * 7919) % 9973:x}" for n in range(9973)]

    def text(seed: int) -> str:
        return " ".join(words[(seed * 104729 + at * (seed % 97 + 1)) % len(words)] for at in range(120))

    rows = [{"id": f"i{n:05}", "question": text(3 * n), "gold": str(n % 10), "level": str(n % 5)} for n in range(items)]
    answers = {
        model: {
            f"i{n:05}": f"{text(3 * n + shift)}\nA: {(n % 10) if n % (shift + 1) else 'none'}" for n in range(items)
        }
        for shift, model in enumerate(("first", "second"), 1)
    }
    return run(folder, rows, answers)


JUDGED = """
project:
  plugins: {mine: ./engine.py}
  storage: {backend: sqlite, root_dir: store}
benchmark:
  benchmark_id: judged
  models: [{model_id: speaker, provider: mine/speaker}]
  num_samples: 2
  prompt_variants:
    - id: plain
      messages: [{role: user, content: "Say {{ item.id }}."}]
      follow_ups: [{role: user, content: "Again!"}]
  slices:
    - slice_id: all
      dataset: {source: files/inline, fields: {id: id}, extras: {rows: [{id: eggs}, {id: legs}]}}
      generation: {}
      scores:
        - name: graded
          metrics:
            - id: judge/scale
              config: {quality: clarity}
              judge: {model: {model_id: strict, provider: mine/speaker}, repeats: 2}
"""
SPEAKER = """
import re

from themis_core import Capabilities, Engine, Generation, hookimpl


class Speaker(Engine):
    capabilities = Capabilities(seed=True)

    async def generate(self, request):
        text = request.messages[-1]["content"]
        if marker := re.findall(r"VERDICT-\\w+", text):
            return Generation("answered", f"It is clear.\\n{marker[-1]}: {4 if 'eggs' in text else 2}")
        return Generation("answered", f"I heard: {text}", reasoning="What was said?", latency_s=1.25)


@hookimpl
def themis_register_engines(register):
    register("speaker", Speaker)
"""


def judged(folder: Path) -> Path:
    """Two turns, two samples, and a judge that is asked twice about each answer."""
    (folder / "engine.py").write_text(SPEAKER, "utf-8")
    spec = folder / "spec.yaml"
    spec.write_text(JUDGED, "utf-8")
    return ran(spec)


def talked(folder: Path) -> Path:
    """A conversation with a simulated user, which ends it with its second reply."""
    (folder / "engine.py").write_text(SPEAKER, "utf-8")
    user = """conversation:
        max_turns: 3
        user:
          model: {model_id: customer, provider: mine/speaker}
          messages: [{role: system, content: You are a customer.}]
          until: turn == 2
"""
    told = JUDGED.replace('follow_ups: [{role: user, content: "Again!"}]\n', user).replace(
        "num_samples: 2", "num_samples: 1"
    )
    spec = folder / "spec.yaml"
    spec.write_text(told[: told.index("      scores:")], "utf-8")
    return ran(spec)
