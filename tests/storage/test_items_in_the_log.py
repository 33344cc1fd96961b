"""Items of which the text was asked: the log has it once, and gives back every item as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from made_store import HOSTILE, LONG, QUESTION

from themis_core import Event, Item, ItemRecorded, StorageError, Store
from themis_core.testing.events import generation_recorded, item_recorded, key_of, run_started
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_sql.codec import unpack_body

BACKEND = SqliteBlobStorageSpec(root_dir=".")
TEXTS = {
    "plain": QUESTION,
    "in the middle": f"Some words before it.\n{QUESTION}\nAnd after.",
    "with escapes": 'Say "\\" and \t and \x01 and \x7f and \u2028 ' * 4,
    "unicode": "Wieviele Wörter hat 日本 🦜 hier? " * 4,
    "hostile": HOSTILE * 10,
    "long": LONG,
    "a blob": LONG * 20,
    "quotes itself": f'{{"fields": {{"question": "{QUESTION}"}}}}',
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(BACKEND.open(tmp_path)) as store:
        yield store


def contents(folder: Path) -> list[Any]:
    """How the log keeps each item's content."""
    with closing(sqlite3.connect(folder / "themis.sqlite3")) as connection:
        rows = connection.execute("SELECT encoding, body FROM events ORDER BY seq").fetchall()
    return [fact["content"] for row in rows for fact in unpack_body(*row) if fact["kind"] == "item"]


def check(store: Store, folder: Path, item: Item) -> None:
    """The item comes back from the store, from its log, and from a store whose tables were made again."""
    assert store.items([item.digest]) == {item.digest: item}
    told = [event["item"] for event in store.events() if event["kind"] == "item"]
    assert told == [{name: getattr(item, name) for name in Item.__slots__}]
    assert list(store.verify()) == []
    before = list(store.events())
    store.rebuild()
    assert store.items([item.digest]) == {item.digest: item}
    assert list(store.events()) == before


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_an_item_whose_text_was_asked_comes_back_as_it_was(store: Store, tmp_path: Path, text: str) -> None:
    asked = f"Answer this.\n{text}\nGive a number."
    event = item_recorded(text=text)
    store.append([run_started(), generation_recorded(text=asked), event])
    check(store, tmp_path, event.item)
    if text != TEXTS["hostile"]:  # a lone surrogate is escaped, and all other characters of its text with it
        assert isinstance(contents(tmp_path)[0], list)
        assert text[:40] not in str(contents(tmp_path))


def test_the_longest_text_is_told_once_and_all_else_by_the_item(store: Store, tmp_path: Path) -> None:
    fields = {"question": QUESTION, "id": 7, "hint": "Count.", "choices": [QUESTION], "none": None}
    event = ItemRecorded(Item("1", fields, QUESTION, {"source": QUESTION}, digest=key_of("item")))
    store.append([run_started(), generation_recorded(text=QUESTION), event])
    check(store, tmp_path, event.item)


@pytest.mark.parametrize(
    "events",
    [
        [item_recorded(text=QUESTION)],
        [generation_recorded(text="Something else."), item_recorded(text=QUESTION)],
        [generation_recorded("2", text=QUESTION), item_recorded("1", text=QUESTION)],
        [generation_recorded(text="How many?"), item_recorded(text="How many?")],
    ],
    ids=["nothing asked", "something else asked", "asked about another item", "short"],
)
def test_an_item_whose_text_is_not_beside_it_stands_for_itself(
    store: Store, tmp_path: Path, events: list[Event]
) -> None:
    store.append([run_started(), *events])
    assert [type(each) for each in contents(tmp_path)] == [str]
    check(store, tmp_path, next(event.item for event in events if isinstance(event, ItemRecorded)))


def test_items_with_one_id_keep_their_own_texts(store: Store, tmp_path: Path) -> None:
    other = QUESTION.upper()
    items = [Item("1", {"question": text}, "4", {}, digest=key_of(text)) for text in (QUESTION, other)]
    store.append([run_started(), generation_recorded(text=QUESTION), *map(ItemRecorded, items)])
    assert store.items([item.digest for item in items]) == {item.digest: item for item in items}
    assert [type(each) for each in contents(tmp_path)] == [list, str]


def test_a_prompt_that_was_stored_before_is_referred_to(store: Store, tmp_path: Path) -> None:
    store.append([run_started(), generation_recorded("1", text=QUESTION)])
    event = item_recorded("1", text=QUESTION)
    store.append([generation_recorded("1", text=QUESTION), event])  # the answer is stored: nothing of it is new
    check(store, tmp_path, event.item)
    assert [type(each) for each in contents(tmp_path)] == [list]


def test_an_item_is_copied_with_its_text_to_another_store(store: Store, tmp_path: Path) -> None:
    event = item_recorded(text=QUESTION)
    store.append([run_started(), generation_recorded(text=QUESTION), event])
    (tmp_path / "other").mkdir()
    with closing(BACKEND.open(tmp_path / "other")) as other:
        other.append([event])
        check(other, tmp_path / "other", event.item)


def test_a_changed_prompt_is_told_and_gives_no_wrong_item(store: Store, tmp_path: Path) -> None:
    event = item_recorded(text=QUESTION)
    store.append([run_started(), generation_recorded(text=QUESTION), event])
    with closing(sqlite3.connect(tmp_path / "themis.sqlite3")) as connection, connection:
        connection.execute("UPDATE payloads SET text = replace(text, 'words', 'birds') WHERE text LIKE '%words%'")
    with pytest.raises(StorageError, match="a stored text does not match its hash"):
        store.items([event.item.digest])
    assert [damage.place.split()[0] for damage in store.verify()]


def test_a_missing_prompt_is_told(store: Store, tmp_path: Path) -> None:
    event = item_recorded(text=QUESTION)
    store.append([run_started(), generation_recorded(text=QUESTION), event])
    with closing(sqlite3.connect(tmp_path / "themis.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM payloads WHERE text LIKE '%words%'")
    with pytest.raises(StorageError):
        store.items([event.item.digest])
    assert any("is missing" in damage.problem for damage in store.verify())
