"""The README names every Extractor with its fields, and its examples are valid config."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from themis_core import Extractor, Plugins

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def registered() -> dict[str, type[Extractor]]:
    return dict(Plugins().load("extract").offers["extractor"])


def named_in(example: Any) -> list[tuple[str, dict[str, Any]]]:
    """Names with their config, wherever they stand in an example."""
    if isinstance(example, str):
        return [(example, {})] if example.startswith("extract/") else []
    if isinstance(example, list):
        return [found for each in example for found in named_in(each)]
    if isinstance(example, dict) and "id" in example:
        return [(example["id"], example.get("config", {}))]
    return [found for each in example.values() for found in named_in(each)] if isinstance(example, dict) else []


def test_every_example_is_valid_config_and_none_is_missing() -> None:
    examples = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]
    named = [(name, config) for name, config in named_in(examples) if name.startswith("extract/")]
    classes = registered()
    for name, config in named:
        classes[name.removeprefix("extract/")].model_validate(config)
    assert {name for name, _ in named} >= {f"extract/{name}" for name in classes} - {"extract/first_number"}


def test_every_component_and_every_field_is_in_the_readme() -> None:
    for name, cls in registered().items():
        assert f"`extract/{name}`" in README
        fields = {each.alias or field for field, each in cls.model_fields.items()}
        assert {field for field in fields if f"`{field}`" not in README} == set()
