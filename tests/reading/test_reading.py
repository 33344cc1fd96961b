"""What a spec file must be at the least, and what a name was meant to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from themis_core import SpecError
from themis_core.reading import read_spec
from themis_wording import close_match


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.yaml", "", "x.yaml: the file is empty: a spec is a mapping, with keys such as 'benchmark' at the top"),
        ("x.yaml", "# nothing yet\n---\n", "x.yaml: the file is empty"),
        ("x.toml", " \n# nothing yet\n", "x.toml: the file is empty"),
        ("x.json", "\n", "x.json: the file is empty"),
        ("x.yaml", "- a\n", "x.yaml:1: the top level is a list: a spec is a mapping"),
        ("x.yaml", "benchmark", "x.yaml:1: the top level is a single value"),
        ("x.json", "[1]", "x.json:1: the top level is a list"),
        ("x.yaml", "a: 1\nb: .inf", "x.yaml:2: .inf is not a finite number"),
        ("x.txt", "a: 1", "x.txt: the suffix '.txt' does not say the format"),
    ],
)  # fmt: skip
def test_a_spec_file_that_is_no_mapping_or_can_not_be_read_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text)
    with pytest.raises(SpecError) as caught:
        read_spec(name)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("word", "match"),
    [
        ("benchmrk", "benchmark"), ("slice", "slices"), ("MODELS", "models"), ("Openai/Chat", "openai/chat"),
        ("zzz", None), ("", None), ("gsm8K", "gsm8k"),
    ],
)  # fmt: skip
def test_a_close_match_is_found_whatever_its_case(word: str, match: str | None) -> None:
    known = iter(["benchmark", "models", "slices", "openai/chat", "GSM8K-old", "gsm8k"])
    assert close_match(word, known) == match
