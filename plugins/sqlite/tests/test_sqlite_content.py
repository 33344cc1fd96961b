"""What is in a store of SQLite: rows, blob files and the public views."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from themis_core import Extraction, Generation, GenerationRecorded, Request, Score, Step, StorageError, Usage
from themis_core.testing.events import (
    batch_ended,
    batch_intended,
    batch_submitted,
    generation_recorded,
    item_recorded,
    key_of,
    run_finished,
    run_started,
    score_entry,
    trial_finished,
)
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from themis_plugin_sqlite.lookups import LOOKUP_TABLES
from themis_sql import SqlStore
from themis_sql.layout import TRUTH

README = Path(__file__).parents[2] / "sql" / "README.md"

texts = st.text(st.characters(codec=None), max_size=40)  # lone surrogates and NUL included
whole = st.integers(-(2**80), 2**80)
floats = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | whole | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values, max_size=3)
lists_of_objects = st.lists(objects, max_size=2).map(tuple)
counts = st.none() | st.integers(0, 2**80)
steps = st.builds(
    Step,
    kind=st.sampled_from(["tool_call", "retrieval", "model", "message", "other"]),
    name=texts,
    input=json_values,
    output=json_values,
    seconds=st.none() | floats,
    cost=st.none() | floats,
    usage=st.builds(Usage, counts, counts, counts, counts),
    error=st.none() | texts,
    left_out=st.integers(0, 2**40),
)
generations = st.builds(
    Generation,
    status=st.sampled_from(["answered", "refused", "truncated", "empty", "failed"]),
    text=texts,
    reasoning=st.none() | texts,
    refusal=st.none() | texts,
    finish_reason=st.none() | texts,
    error_code=st.none() | texts,
    error=st.none() | texts,
    usage=st.builds(Usage, counts, counts, counts, counts),
    cost=st.none() | floats,
    latency_s=st.none() | floats,
    attempts=st.integers(1, 100),
    alternatives=st.lists(texts, max_size=2).map(tuple),
    tool_calls=lists_of_objects,
    logprobs=st.none() | lists_of_objects,
    provider=objects,
    steps=st.lists(steps, max_size=2).map(tuple),
    steps_left_out=st.integers(0, 100),
)
requests = st.builds(
    Request,
    model_id=texts,
    messages=st.lists(objects, max_size=3),
    params=objects,
    item_id=texts,
    sample_index=st.integers(0, 1000),
    seed=st.none() | whole,
    key=texts,
    item=objects,
)


def open_store(folder: Path, **config: Any) -> SqlStore:
    store = SqliteBlobStorageSpec(**config).open(folder)
    assert isinstance(store, SqlStore)
    return store


def tables(store: SqlStore) -> dict[str, list[tuple[Any, ...]]]:
    path = str(store._database._path)  # type: ignore[attr-defined]
    with closing(sqlite3.connect(path)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in names}


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests, generation=generations)
def test_any_generation_comes_back_equal(tmp_path: Path, request: Request, generation: Generation) -> None:
    key = key_of(repr((request, generation)))
    record = GenerationRecorded(key, "run", "2026-01-01T00:00:00.000000+00:00", request, generation)
    store = open_store(tmp_path)
    store.append([record])
    assert list(store.generation_records([key])) == [record]
    assert store.generations([key]) == ({} if generation.failed else {key: generation})
    (event,) = [event for event in store.events() if event["key"] == key]
    assert Generation.from_dict(event["generation"]) == generation
    assert event["request"] == {name: getattr(request, name) for name in Request.__slots__}
    store.close()


def full_store(folder: Path) -> SqlStore:
    """Return a store in which everything was replaced once that can be."""
    store = open_store(folder)
    failed = Generation("failed", error_code="timeout")
    later = "2026-02-02T00:00:00+00:00"
    entry = score_entry("a", Score(None, "judge_failed"), judged_by=(key_of("judge"),))
    store.append(
        [
            run_started(manifest={"dimensions": {"test": {"subject": "sums"}}}),
            trial_finished(outcome="failed"),
            generation_recorded("1", failed),
        ]
    )
    store.append([item_recorded(), trial_finished("2", scores=(entry,)), run_finished(status="failed")])
    good = score_entry("a", Score(0.5, details={"why": "half"}), extraction=Extraction(["x" * 300]))
    store.append([run_started(at=later), generation_recorded("1"), generation_recorded("judge", text="judge!")])
    turns = (key_of("judge"), key_of("1"))
    store.append([trial_finished(at=later, generation_keys=turns, scores=(good,)), run_finished(at=later)])
    store.append([batch_intended(), batch_submitted(), batch_ended()])
    return store


def test_projections_are_rebuilt_equal_from_the_log(tmp_path: Path) -> None:
    store = full_store(tmp_path)
    before = tables(store)
    assert {name for name, rows in before.items() if rows} == set(before) - set(LOOKUP_TABLES)
    store.rebuild()
    rebuilt = tables(store)
    assert {name: rows for name, rows in rebuilt.items() if name not in LOOKUP_TABLES} == {
        name: rows for name, rows in before.items() if name not in LOOKUP_TABLES
    }
    assert all(rebuilt[name] for name in LOOKUP_TABLES)

    for name in set(before) - set(TRUTH):
        store._database.run(f"DELETE FROM {name}")
    assert list(store.runs()) == []
    store.rebuild()
    assert tables(store) == rebuilt
    store.close()


def test_a_request_that_models_share_is_stored_once(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    records = [generation_recorded(name, text="the same question") for name in "abc"]
    store.append(records[:2])
    store.append(records[2:])
    questions = [row for row in tables(store)["payloads"] if "the same question" in row[3]]
    assert len(questions) == 1
    store.close()


def test_a_text_beyond_the_limit_is_a_blob_file_and_its_start_is_shown(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fits, beyond = "ü" * 32_768, "ü" * 35_000
    store.append([generation_recorded("1", Generation("answered", fits))])
    assert not (tmp_path / ".themis" / "blobs").exists()
    store.append([generation_recorded("2", Generation("answered", beyond))])
    (file,) = (tmp_path / ".themis" / "blobs").rglob("*.*")
    digest = key_of(beyond)
    assert file.relative_to(tmp_path).as_posix() == f".themis/blobs/{digest[:2]}/{digest}.zst"
    assert store.generations([key_of("2")])[key_of("2")].text == beyond
    shown = store._database.row("SELECT answer FROM v_generations WHERE item_id = '2'")[0]
    assert shown == "ü" * 1_000
    store.close()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(b"nonsense"), "is damaged"),
        (lambda file: file.write_bytes(file.read_bytes()[:-5]), "is damaged"),
        (lambda file: file.write_bytes(b""), "is damaged"),
        (
            lambda file: file.write_bytes(b"\x28\xb5\x2f\xfd\xe0" + (2**50).to_bytes(8, "little") + b"\1\0\0"),
            "is damaged",
        ),
        (lambda file: file.write_bytes(b"\x28\xb5\x2f\xfd\xc0\x40" + (2**50).to_bytes(8, "little")), "is damaged"),
        (lambda file: file.write_bytes(other_blob(file)), "does not match its hash"),
        (lambda file: file.unlink(), "is missing"),
    ],
    ids=["overwritten", "cut off", "empty", "says it is huge", "huge by frames", "another text", "deleted"],
)
def test_a_damaged_blob_is_an_error_when_read_and_mended_when_written_again(
    tmp_path: Path, damage: Any, message: str
) -> None:
    store = open_store(tmp_path)
    text = os.urandom(40_000).hex()
    store.append([generation_recorded("1", Generation("answered", text))])
    (file,) = (tmp_path / ".themis" / "blobs").rglob("*.zst")
    damage(file)
    with pytest.raises(StorageError, match=f"{re.escape(str(file))} {message}.*from a backup"):
        store.generations([key_of("1")])

    store.append([generation_recorded("2", Generation("answered", text))])
    assert store.generations([key_of("1")])[key_of("1")].text == text
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    store.close()


def other_blob(file: Path) -> bytes:
    folder = file.parents[3] / "other"
    folder.mkdir()
    store = open_store(folder)
    store.append([generation_recorded("1", Generation("answered", "x" * 70_000))])
    store.close()
    (other,) = (folder / ".themis" / "blobs").rglob("*.zst")
    return other.read_bytes()


def test_a_blob_folder_that_can_not_be_written_is_an_error_and_nothing_is_stored(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    (tmp_path / ".themis" / "blobs").write_text("in the way")
    with pytest.raises(StorageError, match=r"can't write a blob file in .*blobs"):
        store.append([generation_recorded("0"), generation_recorded("1", Generation("answered", "x" * 70_000))])
    assert store.stored_generations([key_of("0"), key_of("1")]) == set()
    store.append([generation_recorded("0")])
    assert store.stored_generations([key_of("0")]) == {key_of("0")}
    store.close()


def test_a_batch_after_a_refused_one_finds_all_its_names(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    bad = generation_recorded("2", Generation("answered", cost=float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.append([run_started("new"), trial_finished(run_id="new", scores=(score_entry("a"),)), bad])
    store.append([run_started("new"), trial_finished(run_id="new", scores=(score_entry("a"),))])
    assert [row.value for row in store.score_rows("new")] == [1.0]
    store.close()


def test_a_short_item_is_in_the_log_and_a_long_one_in_a_text_of_its_own(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    short, long = item_recorded("short"), item_recorded("long", text="?" * 2_000)
    store.append([short, long])
    assert store.items([short.item.digest, long.item.digest]) == {each.item.digest: each.item for each in (short, long)}
    rows = {row[4]: row[5:] for row in tables(store)["items"]}
    ((number, *_),) = tables(store)["payloads"]
    assert rows == {"short": (None, 1, "{}"), "long": (number, None, "{}")}
    store.close()


def test_an_item_whose_row_of_the_log_was_changed_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    wanted = {key_of("item 1"): item_recorded().item}
    store.append([item_recorded()])
    ((body,),) = store._database.rows("SELECT body FROM events")
    refused = 0
    for place in range(len(body)):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        store._database.run("UPDATE events SET body = ?", (changed,))
        try:
            assert store.items(list(wanted)) == wanted
        except StorageError:
            refused += 1
    assert refused > len(body) - 5  # the frame's header has bits without a meaning
    store.close()


def test_answers_of_8_kb_leave_no_half_empty_pages(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for first in range(0, 256, 64):
        names = [str(number) for number in range(first, first + 64)]
        answers = [generation_recorded(name, Generation("answered", name.ljust(8_000, "."))) for name in names]
        store.append([event for answer in answers for event in (item_recorded(answer.request.item_id), answer)])
    store.close()
    assert (tmp_path / ".themis" / "themis.sqlite3").stat().st_size < 256 * 9_500


def test_views_show_what_is_stored_by_its_names(tmp_path: Path) -> None:
    store = full_store(tmp_path)
    hostile = replace(generation_recorded("nul"), generation=Generation("answered", "a\0\ud800b"))
    store.append([hostile])
    path = tmp_path / ".themis" / "themis.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row

        def one(sql: str) -> dict[str, Any]:
            (row,) = connection.execute(sql).fetchall()
            return dict(row)

        run = one("SELECT * FROM v_runs")
        assert json.loads(run.pop("manifest")) == run_started().manifest
        assert run == {
            "run_id": "run", "status": "completed", "started_at": "2026-02-02T00:00:00+00:00",
            "finished_at": "2026-02-02T00:00:00+00:00", "counts": '{"trials":1}', "executions": 2, "trials": 2,
            "failed": 0, "part": None,
        }  # fmt: skip
        trial = one("SELECT * FROM v_trials WHERE item_id = '1'")
        assert trial["trial_id"] == key_of("trial 1")
        assert trial["item_digest"] == key_of("item 1")
        assert trial["generation_key"] == key_of("1")
        assert trial["answer"] == "A: 4"
        score = one("SELECT * FROM v_scores WHERE item_id = '1'")
        assert (score["score"], score["value"], score["score_key"]) == ("accuracy", 0.5, key_of("a"))
        assert json.loads(score["extracted"]) == ["x" * 300]
        assert json.loads(score["details"]) == {"why": "half"}
        generation = one(f"SELECT * FROM v_generations WHERE generation_key = '{key_of('nul')}'")
        assert generation["answer"] == "a␀\ufffd\ufffd\ufffdb"
        assert generation["params"] == '{"temperature":0.0}'
    store.close()


def test_every_column_of_the_views_is_documented(tmp_path: Path) -> None:
    sections = re.split(r"^### `(v_\w+)`.*$", README.read_text("utf-8"), flags=re.MULTILINE)[1:]
    documented = {
        view: re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
        for view, text in zip(sections[::2], sections[1::2], strict=True)
    }
    store = open_store(tmp_path)
    store.close()
    with closing(sqlite3.connect(tmp_path / ".themis" / "themis.sqlite3")) as connection:
        views = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")]
        columns = {view: [row[0] for row in connection.execute(f"SELECT * FROM {view}").description] for view in views}
    assert documented == columns


def test_two_keys_with_the_same_first_bytes_are_told_apart(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    keys = [key_of("x")[:16] + key_of(name)[16:] for name in "abc"]
    for key in keys[:2]:
        request = replace(generation_recorded().request, key=key)
        record = replace(generation_recorded("1", Generation("answered", key)), key=key, request=request)
        entry = replace(score_entry("a", Score(float(len(store.stored_generations(keys))))), key=key)
        trial = trial_finished(trial_id=key, item_digest=key, generation_keys=(key,), scores=(entry,))
        store.append([record, trial])
    assert {key: each.text for key, each in store.generations(keys).items()} == {key: key for key in keys[:2]}
    assert {key: score.value for key, (score, _) in store.scores(keys).items()} == {keys[0]: 0.0, keys[1]: 1.0}
    assert store.finished_trials("run", [("test", key) for key in keys]) == {("test", key) for key in keys[:2]}
    assert [row.trial_id for row in store.trial_rows("run", keys[1])] == [keys[1]]
    store.close()


@pytest.mark.parametrize("reading", ["events", "trial_rows", "score_rows", "generation_records"])
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_who_stops_reading_may_close_the_store_first(tmp_path: Path, reading: str) -> None:
    store = open_store(tmp_path)
    keys = [key_of(name) for name in "abc"]
    for key in keys:
        request = replace(generation_recorded().request, key=key)
        record = replace(generation_recorded("1", Generation("answered", key)), key=key, request=request)
        entry = replace(score_entry("a", Score(1.0)), key=key)
        trial = trial_finished(trial_id=key, item_digest=key, generation_keys=(key,), scores=(entry,))
        store.append([record, trial])
    given = keys if reading == "generation_records" else "run"
    rows = getattr(store, reading)(given)
    assert next(rows)
    store.close()
    rows.close()
