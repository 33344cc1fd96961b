"""Which items a query takes, and how rows become items."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import DatasetLoader, DatasetQuerySpec, DatasetSpec, Item, PluginError, Row, SpecError, TransformSpec
from themis_core.planning import Items
from themis_core.plugins import LoadedDataset, in_force
from themis_core.reading import Place
from themis_core.specs import ExecutionPolicySpec


class Rows(DatasetLoader):
    """Yields the rows it was made with."""

    data: list[dict[str, Any]]

    def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        for number, each in enumerate(self.data, 1):
            yield Row(each, f"rows.jsonl:{number}")


def take(
    data: list[dict[str, Any]], query: dict[str, Any] | None = None, seed: int = 0, **spec: Any
) -> tuple[list[Item], Items]:
    dataset = DatasetSpec.model_validate({"source": "test/rows", **spec})
    loaded = LoadedDataset(dataset, "test/rows", Rows(data=data), Place(loc=("dataset",)))
    items = Items(loaded, DatasetQuerySpec.model_validate(query or {}), Path(), seed, Place(loc=("query",)))
    return list(items), items


def ids(data: list[dict[str, Any]], query: dict[str, Any] | None = None, seed: int = 0, **spec: Any) -> list[str]:
    return [item.id for item in take(data, query, seed, **spec)[0]]


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"id": f"q{number}", "level": number % 3} for number in range(count)]


# --- sampling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "expected"),
    [(0, ["q39", "q43", "q44", "q56", "q96"]), (7, ["q26", "q63", "q77", "q79", "q94"])],
)
def test_a_seed_takes_the_same_items_everywhere(seed: int, expected: list[str]) -> None:
    query = {"kind": "subset", "count": 5}
    assert ids(numbered(100), query, seed) == expected
    assert ids(numbered(100), {**query, "seed": seed}, 99) == expected  # the query's seed goes before the project's
    assert sorted(ids(numbered(100)[::-1], query, seed)) == sorted(expected)


@pytest.mark.parametrize("query", [{"kind": "subset"}, {"kind": "stratified", "strata_field": "level"}])
def test_appended_rows_displace_no_more_items_than_they_bring(query: dict[str, Any]) -> None:
    before = set(ids(numbered(90), {**query, "count": 30}))
    after = set(ids(numbered(99), {**query, "count": 30}))
    new = {f"q{number}" for number in range(90, 99)}
    assert len(after) == 30
    assert len(before - after) == len(after - before)
    assert after - before <= new


def test_a_larger_sample_holds_the_smaller_one() -> None:
    smaller, larger = (ids(numbered(50), {"kind": "subset", "count": count}) for count in (10, 20))
    assert set(smaller) < set(larger)


def test_a_stratified_sample_keeps_the_proportions_and_the_order() -> None:
    data = [{"id": str(n), "topic": "rare" if n < 20 else "common"} for n in range(100)]
    items, _ = take(data, {"kind": "stratified", "count": 10, "strata_field": "topic"})
    assert [item.fields["topic"] for item in items] == ["rare"] * 2 + ["common"] * 8
    assert [int(item.id) for item in items] == sorted(int(item.id) for item in items)


# --- queries ------------------------------------------------------------------------------------------------

COLOURS: list[dict[str, Any]] = [
    {"id": "a", "colour": "red", "level": 1, "new": True},
    {"id": "b", "colour": "blue", "level": "1", "new": False},
    {"id": "c", "colour": "red", "level": 2, "new": True},
    {"id": "d", "colour": "grey", "level": None, "new": 1},
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["a", "b", "c", "d"]),
        ({"limit": 2}, ["a", "b"]),
        ({"item_ids": ["d", "a"]}, ["a", "d"]),
        ({"item_ids": ["a", "d"], "limit": 1}, ["a"]),
        ({"filters": {"colour": "red"}}, ["a", "c"]),
        ({"filters": {"colour": ["blue", "grey"]}}, ["b", "d"]),
        ({"filters": {"level": 1}}, ["a", "b"]),  # a CSV's "1" as well
        ({"filters": {"level": None}}, ["d"]),
        ({"filters": {"new": True}}, ["a", "c"]),  # the number 1 is no true
        ({"filters": {"colour": "red", "level": 2}}, ["c"]),
        ({"filters": {"colour": "red"}, "limit": 1}, ["a"]),
        ({"kind": "subset", "count": 2, "filters": {"colour": "red"}}, ["a", "c"]),
        ({"kind": "subset", "count": 4, "limit": 3}, ["a", "b", "c"]),
    ],
)
def test_a_query_takes_these_items(query: dict[str, Any], expected: list[str]) -> None:
    assert ids(COLOURS, query) == expected


def test_metadata_filters_and_is_no_field() -> None:
    items, _ = take(COLOURS, {"filters": {"colour": "blue"}}, fields={"metadata": ["colour"]})
    assert [(item.id, item.fields, item.metadata) for item in items] == [
        ("b", {"id": "b", "level": "1", "new": False}, {"colour": "blue"})
    ]


def test_projected_fields_are_all_that_is_left_of_the_fields() -> None:
    data = [{"id": "a", "question": "1+1?", "gold": 2, "source": "s", "noise": "x" * 9}]
    mapping = {"reference": "gold", "metadata": ["source"]}
    (whole,), _ = take(data, fields=mapping)
    (item,), _ = take(data, {"projected_fields": ["question"]}, fields=mapping)
    assert (item.id, item.fields, item.reference, item.metadata) == ("a", {"question": "1+1?"}, 2, {"source": "s"})
    assert item.digest != whole.digest


def keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_plain.kept.BLOCK", 1)
    monkeypatch.setattr("themis_plain.kept.MOST", 0)


def test_a_dataset_that_changes_after_the_survey_gives_what_it_gave_then() -> None:
    before, items = take(COLOURS)
    changing: Any = items._dataset.loader
    changing.data.clear()
    assert list(items) == before


def test_items_can_be_read_again_and_their_digest_is_that_of_their_content(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, items = take(COLOURS)
    keep_nothing(monkeypatch)
    streamed, again = take(COLOURS)
    assert kept == list(items) == streamed == list(again)
    assert (items.count, items.digest) == (again.count, again.digest)
    assert take([*COLOURS[:3], {**COLOURS[3], "colour": "gray"}])[1].digest != items.digest


@pytest.mark.parametrize(
    ("now", "read", "what"),
    [
        ([*COLOURS[:2], {**COLOURS[2], "colour": "grey"}, COLOURS[3]], 2, "item 'c' is new or another"),
        ([*COLOURS, {"id": "e", "colour": "red"}], 4, "item 'e' is new or another"),
        (COLOURS[:3], 3, "1 item is missing"),
    ],
)
def test_a_dataset_that_is_read_again_and_changed_since_the_survey_is_noticed_before_its_items_are_used(
    now: list[dict[str, Any]], read: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_nothing(monkeypatch)
    _, items = take(COLOURS)
    changing: Any = items._dataset.loader
    changing.data[:] = now
    seen = []
    with pytest.raises(SpecError, match="dataset: the dataset changed while it was used") as raised:
        seen.extend(iter(items))
    assert what in str(raised.value)
    # `extend` keeps what came before the error.
    assert [item.id for item in seen] == [each["id"] for each in COLOURS[:read]]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"kind": "subset", "count": 5}, "query.count: 5 items asked for, but the query matches only 4"),
        ({"filters": {"color": "red"}}, "query.filters.color: no item has a field 'color'. Did you mean 'colour'?"),
        ({"filters": {"colour": "green"}}, "query: no item is left: 4 read, 0 match the query"),
        ({"item_ids": ["a", "z"]}, "query.item_ids: 1 id is not in the dataset: 'z'"),
        ({"kind": "stratified", "count": 1, "strata_field": "colours"},
         "query.strata_field: item 'a' has no field 'colours'. Did you mean 'colour'?"),
    ],
)  # fmt: skip
def test_a_query_that_does_not_fit_the_data_is_refused(query: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        take(COLOURS, query)
    assert str(caught.value) == message


# --- ids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [{}, {"limit": 3}, {"kind": "subset", "count": 1}])
def test_an_id_that_is_there_twice_is_refused(query: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        take([{"id": "1"}, {"id": "2"}, {"id": 1}], query)
    assert str(caught.value) == (
        "rows.jsonl:3: duplicate item id '1', the first is at rows.jsonl:1: ids must differ; name another column in "
        "fields.id, or mend the data"
    )


def test_a_loader_that_begins_anew_and_never_ends_is_refused() -> None:
    class Endless(DatasetLoader):
        def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
            for number in count(1):
                yield Row({"id": number % 3_000}, f"rows.jsonl:{number}")

    dataset = LoadedDataset(DatasetSpec(source="test/rows"), "test/rows", Endless(), Place(loc=("dataset",)))
    with pytest.raises(SpecError, match=r"^rows\.jsonl:3001: duplicate item id '1', the first is at rows\.jsonl:1:"):
        Items(dataset, DatasetQuerySpec(), Path(), 0, Place(loc=("query",)))


class Failing(DatasetLoader):
    """Yields rows, some of them wrong or late, and then fails."""

    steps: list[Any]
    taken: list[int] = []

    def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        for number, each in enumerate(self.steps, 1):
            if isinstance(each, float):
                sleep(each)
                continue
            self.taken.append(number)
            if isinstance(each, str):
                raise SpecError(each)
            yield Row(each, f"rows.jsonl:{number}")


def survey(steps: list[Any], query: dict[str, Any] | None = None, limit_s: float = 600) -> tuple[list[int], Items]:
    loader = Failing(steps=steps)
    loaded = LoadedDataset(DatasetSpec(source="test/rows"), "test/rows", loader, Place(loc=("dataset",)))
    with in_force(ExecutionPolicySpec(start_timeout_s=limit_s)):
        items = Items(loaded, DatasetQuerySpec.model_validate(query or {}), Path(), 0, Place(loc=("query",)))
    return loader.taken, items


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"id": "a"}, {"id": None}, "the server is gone"], "rows.jsonl:2: the item id (column 'id') is None"),
        ([{"id": "a"}, "the server is gone"], "dataset: the server is gone"),
        (["the server is gone"], "dataset: the server is gone"),
    ],
)
def test_what_is_wrong_in_a_row_is_told_before_what_is_wrong_after_it(steps: list[Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        survey(steps)
    assert str(caught.value).startswith(message)


def test_a_loader_is_asked_for_no_more_rows_than_the_limit() -> None:
    taken, items = survey([*numbered(7), "the server is gone"], {"limit": 5})
    assert (items.count, taken) == (5, [1, 2, 3, 4, 5])


def test_rows_are_waited_for_one_by_one() -> None:
    each = [step for row in numbered(6) for step in (0.3, row)]
    assert survey(each, limit_s=1)[1].count == 6  # 1.8 s in all
    with pytest.raises(PluginError, match=r"test/rows.*rows"):
        survey([*numbered(2), 3.0], limit_s=0.3)


def test_a_number_that_json_does_not_have_names_its_row() -> None:
    with pytest.raises(SpecError, match=r"rows.jsonl:1: the row holds a value that JSON can't"):
        ids([{"value": float("nan")}])


def test_a_loader_may_fill_one_dict_for_every_row() -> None:
    class Refilled(Rows):
        def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
            row: dict[str, Any] = {"words": []}
            for number in range(200):
                row["id"], row["words"][:] = str(number), [number]
                yield Row(row)

    dataset = DatasetSpec(source="test/rows")
    loaded = LoadedDataset(dataset, "test/rows", Refilled(data=[]), Place())
    items = Items(loaded, DatasetQuerySpec(), Path(), 0, Place())
    assert [item.fields["words"] for item in items] == [[number] for number in range(200)]


def test_without_an_id_column_content_is_the_id() -> None:
    data = [{"q": "one"}, {"q": "two"}, {"q": "one"}]
    one, two, twin = ids(data)
    assert (one, twin) == ("8b8fb61bd25e2918", "8b8fb61bd25e2918-2")
    assert ids([{"q": "zero"}, *data])[1:] == [one, two, twin]


@pytest.mark.parametrize("value", ["", None, True, ["a"], {"a": 1}])
def test_an_id_must_be_text_or_a_number(value: Any) -> None:
    with pytest.raises(SpecError, match=r"^rows\.jsonl:1: the item id \(column 'id'\) is .*: it must be text or a num"):
        take([{"id": value}])


# --- mapping ------------------------------------------------------------------------------------------------

ROW: dict[str, Any] = {"id": 7, "q": "1+1?", "answer": {"value": ["so", "2"]}, "x.y": 1, "src": "web", "said": "A: 2"}
PLAIN = dict(ROW.items())


def mapped(**changes: Any) -> Item:
    whole = {"id": "7", "fields": PLAIN, "reference": None, "metadata": {}, "output": None, "model": None} | changes
    return Item(**whole)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, mapped()),
        ({"fields": {"id": "q"}}, mapped(id="1+1?")),
        ({"fields": {"reference": "answer.value.1"}}, mapped(reference="2")),
        ({"fields": {"reference": "x.y"}}, mapped(reference=1)),  # a column's whole name goes before a path
        ({"fields": {"metadata": ["src"]}},
         mapped(fields={k: v for k, v in PLAIN.items() if k != "src"}, metadata={"src": "web"})),
        ({"fields": {"output": "said", "model": "src"}},
         mapped(fields={k: v for k, v in PLAIN.items() if k not in ("said", "src")}, output="A: 2", model="web")),
        ({"fields": {"rename": {"question": "q"}}},
         mapped(fields={**{k: v for k, v in PLAIN.items() if k != "q"}, "question": "1+1?"})),
        ({"fields": {"rename": {"q": "src", "src": "q"}}}, mapped(fields={**PLAIN, "q": "web", "src": "1+1?"})),
        ({"transforms": [{"field": "q", "template": "{{ item.q }} ({{ item.src }})"}]},
         mapped(fields={**PLAIN, "q": "1+1? (web)"})),
        ({"transforms": [{"field": "gold", "template": "{{ item.answer.value[1] }}", "as": "number"}],
          "fields": {"reference": "gold"}}, mapped(fields={**PLAIN, "gold": 2}, reference=2)),
        ({"transforms": [{"field": "n", "template": " 1,234.5 ", "as": "number"}]},
         mapped(fields={**PLAIN, "n": 1234.5})),
        ({"transforms": [{"field": "l", "template": "[{{ item.id }}, null]", "as": "json"}]},
         mapped(fields={**PLAIN, "l": [7, None]})),
        ({"transforms": [{"field": "a", "template": "x"}, {"field": "b", "template": "{{ item.a }}y"}]},
         mapped(fields={**PLAIN, "a": "x", "b": "xy"})),
    ],
)  # fmt: skip
def test_rows_become_items_as_the_mapping_says(spec: dict[str, Any], expected: Item) -> None:
    (item,), _ = take([ROW], **spec)
    assert item.digest
    for name in ("id", "fields", "reference", "metadata", "output", "model"):
        assert (name, getattr(item, name)) == (name, getattr(expected, name))


@pytest.mark.parametrize(
    ("decimal", "text", "number"),
    [
        (",", "3,5", 3.5),
        (",", "1.250", 1250),
        (",", "1.234,56", 1234.56),
        (",", "-1.234.567,89", -1234567.89),
        (",", "1,250", 1.25),
        (",", "0,500", 0.5),
        (",", "42", 42),
        (",", "1,5e3", 1500.0),
        (".", "1,250", 1250),
        (".", "1.250", 1.25),
    ],
)
def test_the_decimal_mark_says_what_points_and_commas_of_a_number_are(decimal: str, text: str, number: float) -> None:
    (item,), _ = take([ROW], transforms=[{"field": "n", "template": text, "as": "number", "decimal": decimal}])
    assert item.fields["n"] == number
    assert type(item.fields["n"]) is type(number)


def test_a_decimal_mark_without_a_number_to_read_is_refused() -> None:
    with pytest.raises(ValidationError, match="decimal: only `as: number` reads numbers, not `as: text`"):
        TransformSpec(field="n", template="3,5", decimal=",")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"fields": {"reference": "golden"}}, ("rows.jsonl:1: the row has no column 'golden' (fields.reference). "
         "Columns: id, q, answer, x.y, src, said.")),
        ({"fields": {"reference": "answer.value.2"}}, ("rows.jsonl:1: the row has no column 'answer.value.2' "
         "(fields.reference). Columns: id, q, answer, x.y, src, said.")),
        ({"fields": {"output": "answer"}}, "rows.jsonl:1: the output (column 'answer') is no text"),
        ({"transforms": [{"field": "n", "template": "many", "as": "number"}]},
         "dataset.transforms[0]: 'many' can't be read as number (rows.jsonl:1)"),
        ({"transforms": [{"field": "n", "template": "true", "as": "number"}]},
         "dataset.transforms[0]: 'true' can't be read as number (rows.jsonl:1)"),
        *[
            ({"transforms": [{"field": "n", "template": text, "as": "number"}]},
             f"dataset.transforms[0]: '{text}' can't be read as number (rows.jsonl:1)" + hint)
            for hint, texts in [
                ((": a comma separates thousands here; where it is the decimal mark, "
                 "set `decimal: ','`"),
                 ["3,5", "1.234,56", "1,2", "(1,2)", "1,2345", "0,500"]),
                ("", ["NaN", "1e999", "1.2.3", "--5", ""]),
            ]
            for text in texts
        ],
        *[
            ({"transforms": [{"field": "n", "template": text, "as": "number", "decimal": ","}]},
             f"dataset.transforms[0]: '{text}' can't be read as number (rows.jsonl:1){hint}")
            for text, hint in [
                ("1.25", ": a point separates thousands here, by `decimal: ','`"),
                ("0.500", ": a point separates thousands here, by `decimal: ','`"),
                ("1,234.56", ": a point separates thousands here, by `decimal: ','`"),
                ("1,234,567", ""), ("(1,2)", ""), ("", ""),
            ]
        ],
        ({"transforms": [{"field": "n", "template": "{", "as": "json"}]},
         "dataset.transforms[0]: '{' can't be read as json (rows.jsonl:1)"),
        ({"transforms": [{"field": "n", "template": "NaN", "as": "json"}]},
         "rows.jsonl:1: the row holds a value that JSON can't: Out of range float values are not JSON compliant"),
    ],
)  # fmt: skip
def test_a_mapping_that_does_not_fit_the_row_names_file_and_line(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        take([ROW], **spec)
    assert str(caught.value).startswith(message)
