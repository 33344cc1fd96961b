"""The published verdicts on recorded GSM8K outputs, all 5,276 of them, by the parse that the README recommends."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from themis_core import Extractor, Generation, Item, Plugins
from themis_plugin_text.numeric import NumericMatch

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("THEMIS_SHARED_DATA", ROOT.parent / "shared" / "data")) / "gsm8k"
PATTERN = r"(?m)^A: (.+)$"


def rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def regex_extractor() -> Extractor:
    """`extract/regex` by its name, since plugins do not know each other."""
    _, extractor = Plugins().resolve("extractor", "extract/regex")
    found = extractor.model_validate({"pattern": PATTERN, "which": "last"})
    assert isinstance(found, Extractor)
    return found


def test_numeric_match_agrees_with_every_published_verdict() -> None:
    items = {row["id"]: Item(row["id"], {}, row["gold"]) for row in rows(DATA / "test.jsonl")}
    extractor, metric = regex_extractor(), NumericMatch()
    correct: Counter[str] = Counter()
    unparsed: Counter[str] = Counter()
    disagreeing = []
    outputs = [row for path in sorted((DATA / "solutions").glob("*.jsonl")) for row in rows(path)]
    for row in outputs:
        generation = Generation("answered", text=row["output"])
        extraction = extractor.extract(row["output"])
        item = items[row["id"]]
        score = metric.score(item, generation, extraction.value)
        if not extraction.parsed:
            unparsed[row["model"]] += 1
            score = metric.worst(item, generation)
        assert score.scored
        if (score.value == 1.0) != row["is_correct"]:
            disagreeing.append((row["model"], row["id"]))
        correct[row["model"]] += score.value == 1.0
    assert len(outputs) == 5_276
    assert disagreeing == []
    assert correct == {"6b_finetuning": 286, "6b_verification": 515, "175b_finetuning": 458, "175b_verification": 742}
    assert unparsed == {"6b_finetuning": 4, "6b_verification": 1, "175b_finetuning": 5, "175b_verification": 1}
