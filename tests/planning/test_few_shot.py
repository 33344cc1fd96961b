"""Examples of a prompt: none is the item under test, what takes its place, and who is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import Item, PromptVariantSpec
from themis_core.planning import Prompt
from themis_core.reading import Place, load_specs
from themis_sampling import Example

ASK = [{"role": "user", "content": "{{ item.q }}"}]
SHOT = [{"role": "user", "content": "{{ item.q }}"}, {"role": "assistant", "content": "{{ item.a }}"}]


@pytest.mark.parametrize(
    ("messages", "example", "item", "leaks"),
    [
        ("{{ item.q }}", {"q": "1+1?", "a": "2"}, {"q": "1+1?"}, True),
        ("{{ item.q }}", {"q": "  1+1? \n"}, {"q": "1+1?"}, True),
        ("{{ item.q }}", {"q": "Capital of NORWAY?"}, {"q": "Capital of Norway?"}, True),
        ("{{ item.q }}", {"q": "1+2?"}, {"q": "1+1?"}, False),
        ("Q: {{ item.q }}\nA:", {"q": "1+1?"}, {"q": "1+1?"}, True),
        ("Q: {{ item.q }}\nA:", {"question": "1+1?", "answer": "2"}, {"q": "1+1?"}, True),  # other names
        ("{{ item.q }} {{ item.topic }}", {"q": "Who wrote it?"}, {"q": "Who wrote it?", "topic": "art"}, True),
        ("{{ item.q }} {{ item.topic }}", {"q": "Who?", "topic": "art"}, {"q": "Who?", "topic": "law"}, False),
        ("{{ item.q }} {{ item.topic }}", {"subject": "art"}, {"q": "Who wrote it?", "topic": "art"}, False),
        ("{{ item.q }}: {{ item.c }}", {"q": "Which is true?", "c": ["x"]}, {"q": "Which is true?", "c": ["y"]}, False),
        ("{{ item.q }}: {{ item.c }}", {"q": "Which is true?", "c": ["x"]}, {"q": "Which is true?", "c": ["x"]}, True),
        ("{{ item.q }}", {"q": "1+1? And why?"}, {"q": "1+1?"}, False),
        ("{{ item.a }}+{{ item.b }}", {"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
        ("{{ item.a }}+{{ item.b }}", {"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
        ("{{ item.q }}", {"q": "1+1?", "id": "7"}, {"q": "1+1?", "id": "8"}, True),
        ("{{ examples | length }} {{ item.q }}", {"q": "1+1?"}, {"q": "1+1?"}, True),
    ],
)  # fmt: skip
def test_an_example_that_asks_what_the_item_asks_is_left_out(
    messages: str, example: dict[str, Any], item: dict[str, Any], leaks: bool
) -> None:
    other = {"q": "0+0?", "a": 5, "b": 5, "c": [], "topic": "none"}
    shots = [{"role": "user", "content": "{{ item }}"}]
    spec = PromptVariantSpec.model_validate(
        {
            "id": "p",
            "messages": [{"role": "user", "content": messages}],
            "examples": {"items": [example, other], "messages": shots},
        }
    )
    prompt = Prompt(spec, [Example(example), Example(other)], Place())
    asked = prompt.asks(Item("i", item, "2")).messages
    assert len(asked) == (2 if leaks else 3)
    assert (prompt.own_examples(Item("i", item, "2")) is not None) == leaks


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def spec_of(
    folder: Path,
    examples: dict[str, Any],
    data: str = "items.jsonl",
    query: dict[str, Any] | None = None,
    **variant: Any,
) -> Path:
    variants = [{"id": "shots", "messages": ASK, "examples": {"messages": SHOT, **examples}, **variant}]
    dataset = {"source": "files/jsonl", "dataset_id": data, "fields": {"id": "id", "reference": "a"}}
    metric = {"name": "right", "metrics": ["text/exact_match"]}
    asked = {"slice_id": "s", "dataset": dataset, "dataset_query": query or {}, "generation": {}, "scores": [metric]}
    benchmark = {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "replay/file", "extras": {"path": "answers.jsonl"}}],
        "prompt_variants": variants,
        "slices": [asked],
    }
    path = folder / "spec.json"
    path.write_text(json.dumps({"benchmark": benchmark}), encoding="utf-8")
    return path


ROWS = [{"id": f"k{n}", "q": f"{n}+{n}?", "a": str(2 * n), "kind": "odd" if n % 2 else "even"} for n in range(8)]
DATA = {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"id": "id", "reference": "a"}}


def shown(spec: Path) -> dict[str, list[str]]:
    """The questions that are shown to each item, its own the last."""
    from themis_core.planning import survey
    from themis_core.plugins import compose

    loaded = load_specs(spec, None, (), None, (), None)
    plan = survey(compose(loaded), loaded.place)
    plan.check()
    return {
        trial.item.id: [each["content"] for turn in trial.requests for each in turn.messages if each["role"] == "user"]
        for trial in plan.trials("replay")
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "items.jsonl", ROWS)
    write(tmp_path / "answers.jsonl", [{"id": row["id"], "output": row["a"]} for row in ROWS])
    return tmp_path


@pytest.mark.parametrize(
    ("examples", "count", "ends"),
    [
        ({"dataset": DATA, "dataset_query": {"kind": "subset", "count": 3, "seed": 1}}, 3, (3, 3, 0, 0)),
        ({"dataset": DATA, "dataset_query": {"limit": 2}}, 2, (2, 2, 0, 0)),
        ({"dataset": DATA, "dataset_query": {"kind": "stratified", "strata_field": "kind", "count": 4}}, 4,
         (4, 4, 0, 0)),
        ({"dataset": DATA, "dataset_query": {"filters": {"kind": "odd"}, "limit": 2}}, 2, (2, 2, 0, 0)),
        ({"dataset": DATA, "dataset_query": {"item_ids": ["k1", "k2"]}}, 2, (2, 0, 2, 0)),
        ({"dataset": DATA, "dataset_query": {}}, 8, (8, 0, 8, 0)),
        ({"items": ROWS[:3]}, 3, (3, 0, 3, 0)),
        ({"items": [{"q": "9+9?", "a": "18"}]}, 1, None),
        ({"items": ROWS[:3], "item_under_test": "allow"}, 3, (3, 0, 0, 3)),
        ({"dataset": DATA, "dataset_query": {"limit": 2}, "item_under_test": "allow"}, 2, (2, 0, 0, 2)),
    ],
)  # fmt: skip
def test_no_item_is_shown_its_own_answer_unless_the_spec_allows_it(
    folder: Path, examples: dict[str, Any], count: int, ends: tuple[int, ...] | None
) -> None:
    spec = spec_of(folder, examples)
    (found,) = themis.plan(spec).leaks or [None]
    names = ("items", "replaced", "left_out", "allowed")
    assert (None if found is None else tuple(found[name] for name in names)) == ends
    asked = shown(spec)
    leaking = [item for item, questions in asked.items() if questions[-1] in questions[:-1]]
    assert len(leaking) == (ends[3] if ends else 0)
    assert {len(set(questions)) for item, questions in asked.items() if item not in leaking} <= {count, count + 1}
    fewer = [item for item, questions in asked.items() if len(questions) < count + 1]
    assert len(fewer) == (ends[2] if ends else 0)
    assert shown(spec) == asked  # the same at each look


def test_a_stratified_choice_stays_one_and_the_others_keep_their_places(folder: Path) -> None:
    asked = shown(spec_of(folder, {"dataset": DATA, "dataset_query": {"kind": "stratified", "strata_field": "kind",
                                                                      "count": 4}}))  # fmt: skip
    kinds = {row["q"]: row["kind"] for row in ROWS}
    usual = max((questions[:-1] for questions in asked.values()), key=[q[:-1] for q in asked.values()].count)
    for questions in asked.values():
        examples = questions[:-1]
        assert [kinds[each] for each in examples] == [kinds[each] for each in usual]
        assert sum(a != b for a, b in zip(examples, usual, strict=True)) == (questions[-1] in usual)


def test_equal_ids_are_equal_items_within_one_dataset_alone(folder: Path) -> None:
    write(folder / "train.jsonl", [{**row, "q": f"{row['q']} (train)"} for row in ROWS])
    query = {"limit": 2}
    train = {"dataset": {**DATA, "dataset_id": "train.jsonl"}, "dataset_query": query}
    assert themis.plan(spec_of(folder, train)).leaks == []
    # Of one dataset, whose rows are called otherwise in the examples.
    renamed = {**DATA, "fields": {**DATA["fields"], "rename": {"q": "a", "a": "q"}}}  # type: ignore[dict-item]
    (found,) = themis.plan(spec_of(folder, {"dataset": renamed, "dataset_query": query})).leaks
    assert (found["items"], found["examples"]) == (2, ("k0", "k1"))


def test_templates_and_follow_ups_see_the_examples_that_the_item_got(folder: Path) -> None:
    write(folder / "two.jsonl", ROWS[:2])
    variant = {
        "messages": [{"role": "user", "content": "{% for e in examples %}[{{ e.q }}]{% endfor %} {{ item.q }}"}],
        "follow_ups": [{"role": "user", "content": "{{ examples[0].q }}"}],
    }
    spec = spec_of(folder, {"dataset": DATA, "dataset_query": {"limit": 1}, "messages": []}, "two.jsonl", **variant)
    assert shown(spec) == {"k0": ["[1+1?] 0+0?", "1+1?"], "k1": ["[0+0?] 1+1?", "0+0?"]}


def test_what_took_a_place_is_part_of_the_run(folder: Path) -> None:
    spec = spec_of(folder, {"dataset": DATA, "dataset_query": {"limit": 2}}, query={"item_ids": ["k0"]})
    before = themis.plan(spec).run_id
    write(folder / "items.jsonl", [*ROWS[:5], {**ROWS[5], "q": "five?"}, *ROWS[6:]])
    assert themis.plan(spec).run_id == before  # nobody sees that one
    write(folder / "items.jsonl", [*ROWS[:2], {**ROWS[2], "q": "two?"}, *ROWS[3:]])
    assert themis.plan(spec).run_id != before


def test_a_run_says_whose_examples_differ(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    themis.run(spec_of(folder, {"dataset": DATA, "dataset_query": {"limit": 2}}))
    told = "slice 's', prompt 'shots': 2 of 8 items are among the examples (2 shown other examples), such as k0, k1"
    assert told in caplog.messages
