"""What every storage backend must do: inherit `StorageBackendSuite` in a test module and give its fixture.

    class TestMyStorage(StorageBackendSuite):
        @pytest.fixture
        def backend(self):
            return MyStorage()

Power cuts, kills and other processes are beyond it: those need tests of the backend's own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from themis_core.components import StorageBackend, Store
from themis_core.errors import StoreMissing
from themis_core.records import (
    Event,
    Extraction,
    Generation,
    Item,
    ItemRecorded,
    Request,
    RunCost,
    Score,
    ScoreRow,
    TrialRow,
    Usage,
    event_from,
)
from themis_core.testing.append_rules import EVERY_FIELD, AppendRules, snapshot
from themis_core.testing.events import (
    AT,
    generation_recorded,
    item_recorded,
    key_of,
    run_finished,
    run_started,
    score_entry,
    trial_finished,
)
from themis_core.testing.execution_rules import ExecutionRules
from themis_core.testing.hostile import HOSTILE_TEXTS
from themis_core.testing.live_rules import LiveRules
from themis_core.testing.lock_rules import LockRules
from themis_core.testing.sum_rules import SumRules

__all__ = ["StorageBackendSuite"]


class StorageBackendSuite(AppendRules, ExecutionRules, LiveRules, LockRules, SumRules):
    """Inherit, name the class `Test...`, and define the fixture that raises NotImplementedError here."""

    @pytest.fixture
    def backend(self) -> StorageBackend:
        """A backend with its defaults; relative paths start at `tmp_path`, where nothing is stored yet."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, backend: StorageBackend, tmp_path: Path) -> Iterator[Store]:
        store = backend.open(tmp_path)
        yield store
        store.close()

    def test_reading_where_nothing_is_stored_is_refused_and_leaves_no_trace(
        self, backend: StorageBackend, tmp_path: Path
    ) -> None:
        with pytest.raises(StoreMissing):
            backend.open(tmp_path, mode="read")
        assert list(tmp_path.iterdir()) == []

    def test_a_new_store_is_empty(self, store: Store) -> None:
        assert snapshot(store) == {"runs": [], "trials": [], "scores": [], "events": []}
        assert store.run("run") is None
        assert store.finished_trials("run", [("test", key_of("trial 1"))]) == set()
        assert store.generations([key_of("1")]) == {}
        assert store.stored_generations([]) == set()
        assert store.scores([key_of("s")]) == {}
        assert store.items([key_of("item 1")]) == {}
        assert list(store.generation_records([key_of("1")])) == []
        assert list(store.score_entries("run", "test", key_of("trial 1"))) == []

    def test_what_is_appended_is_read_back_equal(self, store: Store) -> None:
        item = Item("1", {"q": [1, {"a": None}]}, 4.5, {"topic": "sums"}, "out", "small", key_of("item 1"))
        record = generation_recorded("1", EVERY_FIELD)
        entries = (
            score_entry("a", Score(0.5, None, (1.0, 2.0), {"explanation": "half"})),
            score_entry("b", Score(None, "no_reference"), score="graded", judged_by=(key_of("judge"),)),
            score_entry("c", parse=None, extraction=None, metric="raw", new=False),
            score_entry("d", metric="unparsed", extraction=Extraction(None, "no_match")),
            score_entry("e", metric="long", extraction=Extraction({"found": ["x" * 500]})),
            score_entry("f", Score(0.0), metric="nothing to read", extraction=None),
        )
        trial = trial_finished(scores=entries)
        store.append([run_started(), ItemRecorded(item), record, trial])

        assert store.items([item.digest]) == {item.digest: item}
        assert store.metadata([item.digest, key_of("other")]) == {item.digest: {"topic": "sums"}}
        assert store.generations([record.key]) == {record.key: EVERY_FIELD}
        assert store.stored_generations([record.key, key_of("other")]) == {record.key}
        assert list(store.generation_records([record.key])) == [record]
        assert list(store.score_entries("run", "test", trial.trial_id)) == list(entries)
        assert store.scores([each.key for each in entries]) == {
            each.key: (each.result, each.extraction) for each in entries
        }
        assert [parsed_of(row) for row in store.score_rows("run")] == [
            ("accuracy", "long", "number", True, None),
            ("accuracy", "match", "number", True, None),
            ("accuracy", "nothing to read", "number", False, None),
            ("accuracy", "raw", None, None, None),
            ("accuracy", "unparsed", "number", False, "no_match"),
            ("graded", "match", "number", True, None),
        ]

    def test_rows_hold_what_results_are_grouped_by(self, store: Store) -> None:
        record = generation_recorded("1", replace(EVERY_FIELD, usage=Usage(10, 20)))
        trial = trial_finished(scores=(score_entry("a", Score(0.5, None, (1.0, 2.0))),))
        store.append([run_started(), record, trial])
        assert list(store.trial_rows("run")) == [
            TrialRow(
                "run", "test", trial.trial_id, "1", key_of("item 1"), "plain", "small", "temperature=0.0", 0,
                (record.key,), "answered", None, AT, 10, 20, 0.000123,
            )
        ]  # fmt: skip
        assert list(store.score_rows("run")) == [
            ScoreRow(
                "test", "small", "plain", "temperature=0.0", "accuracy", "match", "1", 0, trial.trial_id,
                "answered", 0.5, None, "number", True, None, key_of("item 1"), (1.0, 2.0),
            )
        ]  # fmt: skip
        assert list(store.trial_rows("other")) == []
        assert list(store.score_rows("other")) == []

    def test_the_log_gives_every_event_as_plain_data_in_its_order(self, store: Store) -> None:
        record, trial = generation_recorded(), trial_finished(scores=(score_entry("a"),))
        store.append([run_started(), item_recorded(), record])
        store.append([trial, run_finished()])
        started, item, generation, finished, ended = events = list(store.events())
        numbers = [each.pop("seq") for each in events]
        assert numbers == sorted(set(numbers))
        assert started == {
            "kind": "run_started", "run_id": "run", "at": AT, "manifest": run_started().manifest,
        }  # fmt: skip
        assert item.pop("at") > AT
        assert item == {
            "kind": "item",
            "item": {
                "id": "1", "fields": {"question": "How many?"}, "reference": "4", "metadata": {}, "output": None,
                "model": None, "digest": key_of("item 1"),
            },
        }  # fmt: skip
        assert generation == {
            "kind": "generation",
            "key": record.key,
            "run_id": "run",
            "at": AT,
            "request": {
                "model_id": "small", "messages": record.request.messages, "params": {"temperature": 0.0},
                "item_id": "1", "sample_index": 0, "seed": None, "key": record.key, "item": {},
            },
            "generation": {"status": "answered", "text": "A: 4"},
        }  # fmt: skip
        assert finished == {
            "kind": "trial", "run_id": "run", "at": AT, "slice_id": "test",
            "trial_id": trial.trial_id, "item_id": "1", "item_digest": key_of("item 1"),
            "prompt_variant_id": "plain", "model_id": "small", "params": "temperature=0.0", "sample_index": 0,
            "generation_keys": [record.key], "outcome": "answered", "error_code": None, "reused": False,
            "scores": [
                {
                    "score": "accuracy", "metric": "match", "key": key_of("a"), "parse": "number",
                    "extraction": {"value": "4", "reason": None},
                    "result": {"value": 1.0, "reason": None, "parts": [], "details": {}},
                    "new": True, "judged_by": [],
                }
            ],
        }  # fmt: skip
        assert ended == {
            "kind": "run_finished", "run_id": "run", "at": AT, "status": "completed",
            "counts": {"trials": 1},
        }  # fmt: skip

    def test_the_log_of_one_run_leaves_out_the_others(self, store: Store) -> None:
        store.append([run_started("a"), item_recorded(), run_started("b")])
        store.append([run_finished("b")])
        assert [(each["kind"], each["run_id"]) for each in store.events("b")] == [
            ("run_started", "b"),
            ("run_finished", "b"),
        ]

    def test_streams_come_in_order(self, store: Store) -> None:
        places: list[dict[str, Any]] = [
            {"slice_id": slice_id, "model_id": model, "prompt_variant_id": variant, "params": params,
             "item_id": item, "sample_index": sample}
            for slice_id in "ab" for model in "mM" for variant in "vw" for params in ("t=0", "t=1")
            for item in ("10", "9") for sample in (0, 1)
        ]  # fmt: skip
        trials = [
            trial_finished(
                **place,
                trial_id=key_of(str(place)),
                item_digest=key_of(str(place["item_id"])),
                scores=(score_entry(f"{place} z", score="z"), score_entry(f"{place} s", metric="a")),
            )
            for place in places
        ]
        store.append([run_started(), *reversed(trials)])
        columns = ("slice_id", "model_id", "prompt_variant_id", "params", "item_id", "sample_index")
        rows = [tuple(getattr(row, name) for name in columns) for row in store.trial_rows("run")]
        assert rows == sorted(tuple(place.values()) for place in places)
        longer = (*columns[:4], "score", "metric", *columns[4:])
        scores = [tuple(getattr(row, name) for name in longer) for row in store.score_rows("run")]
        assert len(scores) == 2 * len(places)
        assert scores == sorted(scores)

    def test_scores_come_item_by_item_whatever_slice_and_setting_they_are_of(self, store: Store) -> None:
        """`scores_by_item` gives the same rows as `score_rows`, those of one item together."""
        long = {"found": ["x" * 500]}
        values = {"1": "4", "2": long, "3": None, "4": "ü\ud800"}
        trials = [
            trial_finished(
                item,
                slice_id=slice_id,
                model_id=model,
                sample_index=sample,
                trial_id=key_of(f"{item} {slice_id} {model} {sample}"),
                scores=tuple(
                    score_entry(
                        f"{item} {slice_id} {model} {sample} {metric}",
                        Score(1.0, details={"why": item * 2} if item > "2" else {}),
                        metric=metric,
                        extraction=Extraction(values[item]) if item != "3" else Extraction(None, "no_match"),
                    )
                    for metric in ("match", "close")
                ),
            )
            for slice_id in "ba"
            for item in values
            for model in ("small", "large")
            for sample in (0, 1)
        ]
        store.append([run_started(), *(item_recorded(item) for item in values), *trials])
        rows = list(store.scores_by_item("run"))
        assert sorted(map(str, rows)) == sorted(map(str, store.score_rows("run")))
        places = [(row.score, row.metric, row.item_digest) for row in rows]
        assert places == sorted(places)
        arms = [(*place, *row[:4]) for place, row in zip(places, rows, strict=True)]
        assert len(set(arms)) == sum(arm != before for arm, before in zip(arms, [(), *arms], strict=False))
        for whole in (store.scores_by_item("run", whole=True), store.score_rows("run", whole=True)):
            found = {row.item_id: (row.extracted, row.details) for row in whole}
            assert {item: text and json.loads(text) for item, (text, _) in found.items()} == values
            told = {item: text and json.loads(text) for item, (_, text) in found.items()}
            assert told == {item: {"why": item * 2} if item > "2" else None for item in values}
        assert list(store.scores_by_item("other")) == []

    def test_trials_that_ended_in_one_way_are_read_apart(self, store: Store) -> None:
        ends = ("answered", "failed", "refused", "failed")
        store.append([trial_finished(str(number), outcome=end) for number, end in enumerate(ends)])
        assert [row.item_id for row in store.trial_rows("run", outcome="failed")] == ["1", "3"]
        assert [row.item_id for row in store.trial_rows("run", outcome="empty")] == []
        start = key_of("trial 1")
        assert [row.item_id for row in store.trial_rows("run", start, outcome="failed")] == ["1"]
        assert [row.item_id for row in store.trial_rows("run", start, outcome="answered")] == []

    def test_a_trial_is_found_by_the_beginning_of_its_id(self, store: Store) -> None:
        store.append([trial_finished(str(n), scores=(score_entry(str(n)),)) for n in range(40)])
        ids = sorted(row.trial_id for row in store.trial_rows("run"))
        for start in ("", ids[0][:1], ids[3][:2], ids[5][:7], ids[7], "g", ids[9] + "0"):
            expected = [each for each in ids if each.startswith(start)]
            assert sorted(row.trial_id for row in store.trial_rows("run", start)) == expected
            assert sorted(row.trial_id for row in store.score_rows("run", start)) == expected

    def test_outcomes_are_counted_by_what_results_are_grouped_by(self, store: Store) -> None:
        ends: list[tuple[str, str, str | None]] = [
            ("b", "failed", "timeout"),
            ("a", "failed", "connection"),
            ("a", "failed", "connection"),
        ]
        ends += [("a", "answered", None), ("a", "empty", None), ("a", "failed", "timeout"), ("b", "answered", None)]
        store.append(
            [
                trial_finished(str(number), model_id=model, outcome=outcome, error_code=code)
                for number, (model, outcome, code) in enumerate(ends)
            ]
        )
        store.append([trial_finished("7", run_id="other")])
        counts = store.outcomes("run")
        assert [(each.model_id, each.outcome, each.error_code, each.count) for each in counts] == [
            ("a", "answered", None, 1),
            ("a", "empty", None, 1),
            ("a", "failed", "connection", 2),
            ("a", "failed", "timeout", 1),
            ("b", "answered", None, 1),
            ("b", "failed", "timeout", 1),
        ]
        assert {(each.slice_id, each.prompt_variant_id, each.params) for each in counts} == {
            (row.slice_id, row.prompt_variant_id, row.params) for row in store.trial_rows("run")
        }
        assert list(store.outcomes("unknown")) == []

    def test_latencies_are_those_of_the_answers_that_trials_have_the_shortest_first(self, store: Store) -> None:
        measured = {"a": 2.5, "b": 0.25, "c": None, "d": 0.75}
        for name, latency_s in measured.items():
            store.append([generation_recorded(name, Generation("answered", latency_s=latency_s))])
        failed = Generation("failed", error_code="timeout", latency_s=60.0)
        store.append([generation_recorded("e", failed), generation_recorded("f", Generation("empty", latency_s=0.5))])
        for number, (names, model, outcome) in enumerate(
            [
                (("a",), "m", "answered"),
                (("d", "b"), "m", "refused"),
                (("c",), "m", "answered"),
                (("e",), "m", "failed"),
                (("f",), "n", "empty"),
                (("b",), "n", "answered"),
                ((), "n", "absent"),
            ]
        ):
            keys = tuple(map(key_of, names))
            store.append([trial_finished(str(number), model_id=model, outcome=outcome, generation_keys=keys)])
        store.append([trial_finished("7", run_id="other", generation_keys=(key_of("d"),))])
        found = [(each.latency_s, each.model_id) for each in store.latencies("run")]
        assert sorted(found) == [(0.25, "m"), (0.25, "n"), (0.5, "n"), (2.5, "m")]
        assert [latency_s for latency_s, _ in found] == [0.25, 0.25, 0.5, 2.5]
        assert {(each.slice_id, each.prompt_variant_id, each.params) for each in store.latencies("run")} == {
            (row.slice_id, row.prompt_variant_id, row.params) for row in store.trial_rows("run")
        }
        assert list(store.latencies("unknown")) == []

    def test_usage_and_cost_are_those_of_all_turns_or_unknown(self, store: Store) -> None:
        for name, usage, cost in [("a", Usage(1, 2), 0.5), ("b", Usage(10, None), 0.25), ("c", Usage(), None)]:
            store.append([generation_recorded(name, Generation("answered", usage=usage, cost=cost))])
        turns = [("a",), ("a", "b"), ("b", "a", "a"), ("a", "c"), ("never stored",), ()]
        for number, names in enumerate(turns):
            store.append([trial_finished(str(number), generation_keys=tuple(map(key_of, names)))])
        assert [
            (row.generation_keys, row.input_tokens, row.output_tokens, row.cost) for row in store.trial_rows("run")
        ] == [
            ((key_of("a"),), 1, 2, 0.5),
            ((key_of("a"), key_of("b")), 11, None, 0.75),
            ((key_of("b"), key_of("a"), key_of("a")), 12, None, 1.25),
            ((key_of("a"), key_of("c")), None, None, None),
            ((key_of("never stored"),), None, None, None),
            ((), None, None, None),
        ]

    def test_a_run_costs_what_all_its_calls_cost_unknown_parts_apart(self, store: Store) -> None:
        assert store.cost("run") == RunCost()
        parts = [RunCost(0.5), RunCost(0.25, 1, 2.0), RunCost(None, 2, 4.0), RunCost(0.125), RunCost()]
        for number, part in enumerate(parts):
            status = "failed" if number == 3 else "answered"
            store.append([generation_recorded(str(number), part.put_into(Generation(status)))])  # type: ignore[arg-type]
        store.append([generation_recorded("again", Generation("answered", provider={"id": "unknown cost"}))])
        assert store.cost("run") == RunCost(0.875, 3, 6.0)
        store.append([generation_recorded("5", RunCost(None, 1, None).put_into(Generation("answered")))])
        assert store.cost("run") == RunCost(0.875, 4, None)
        assert store.cost("other") == RunCost()

    def test_records_come_in_the_order_of_the_keys(self, store: Store) -> None:
        names = [str(number) for number in range(700)]
        store.append([generation_recorded(name) for name in names])
        asked = [key_of(name) for name in [*reversed(names), "unknown", "3"]]
        found = [each.key for each in store.generation_records(asked)]
        assert found == [*asked[:700], key_of("3")]

    def test_many_keys_are_looked_up_at_once(self, store: Store) -> None:
        names = [str(number) for number in range(1_500)]
        store.append([generation_recorded(name, text=f"question {name}") for name in names])
        store.append([trial_finished(name, scores=(score_entry(name),)) for name in names])
        keys = [key_of(str(number)) for number in range(-1_000, 2_500)]
        pairs = [("test", key_of(f"trial {number}")) for number in range(-1_000, 2_500)]
        assert store.stored_generations(keys) == {key_of(name) for name in names}
        assert len(store.generations(keys)) == len(store.scores(keys)) == 1_500
        assert len(store.finished_trials("run", pairs)) == 1_500

    @pytest.mark.parametrize("name", [*HOSTILE_TEXTS, "ten million characters"])
    def test_any_text_comes_back_identical(self, backend: StorageBackend, tmp_path: Path, name: str) -> None:
        text = HOSTILE_TEXTS.get(name, "ü" * 10_000_000)
        generation = Generation("answered", text, reasoning=text, provider={"said": text})
        record = generation_recorded("1", generation, text=text)
        entry = score_entry("a", Score(1.0, details={"seen": text}), extraction=Extraction(text))
        item = item_recorded("1", text=text, reference=text)
        trial = trial_finished(scores=(entry,))
        store = backend.open(tmp_path)
        store.append([run_started(manifest={"note": text}), item, record, trial])
        store.close()

        store = backend.open(tmp_path, mode="read")
        assert list(store.generation_records([record.key])) == [record]
        assert store.items([item.item.digest]) == {item.item.digest: item.item}
        assert list(store.score_entries("run", "test", trial.trial_id)) == [entry]
        assert [each.manifest for each in store.runs()] == [{"note": text}]
        assert [each["kind"] for each in store.events()] == ["run_started", "item", "generation", "trial"]
        store.close()

    @pytest.mark.parametrize(
        "name", ["a\0b", "\ud83d", "../../x", "json:1", '"', "", "ı", "1e5", " ", "\u202e", "n" * 5_000]
    )
    def test_any_name_comes_back_identical(self, store: Store, name: str) -> None:
        key = key_of("1")
        request = Request(name, [], {name: name}, name, key=name)
        record = replace(generation_recorded(run_id=name), request=request)
        record = replace(record, generation=Generation("failed", error_code=name, finish_reason=name))
        reason = Score(None, name)
        entry = score_entry("a", reason, score=name, metric=name, parse=name, extraction=Extraction(None, name))
        names: dict[str, Any] = dict.fromkeys(
            ("run_id", "slice_id", "item_id", "prompt_variant_id", "model_id", "params", "error_code"), name
        )
        trial = trial_finished(**names, scores=(entry,))
        store.append([run_started(name), record, trial])
        assert list(store.generation_records([key])) == [record]
        assert list(store.score_entries(name, name, trial.trial_id)) == [entry]
        assert [each.run_id for each in store.runs()] == [name]
        rows = list(store.trial_rows(name))
        assert [{each: getattr(row, each) for each in names} for row in rows] == [names]
        assert store.finished_trials(name, [(name, trial.trial_id)]) == {(name, trial.trial_id)}

    @pytest.mark.parametrize("key", ["", "k", "K" * 64, "f" * 63, "x" * 31, "x" * 32, "\ud800", "ÿ" * 16])
    def test_a_key_need_not_be_a_digest(self, store: Store, key: str) -> None:
        request = replace(generation_recorded().request, key=key)
        store.append([replace(generation_recorded(), key=key, request=request)])
        store.append([trial_finished(trial_id=key, item_digest=key, generation_keys=(key,))])
        assert store.stored_generations([key, key + "x"]) == {key}
        row = next(store.trial_rows("run", key))
        assert (row.trial_id, row.item_digest, row.generation_keys) == (key, key, (key,))

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_a_batch_with_a_number_that_is_not_finite_is_refused_whole(self, store: Store, bad: float) -> None:
        store.append([run_started()])
        before = snapshot(store)
        for broken in (
            trial_finished(scores=(score_entry("a", Score(bad)),)),
            generation_recorded("2", Generation("answered", cost=bad)),
            generation_recorded("3", Generation("answered", provider={"logprob": bad})),
        ):
            with pytest.raises(ValueError, match="not JSON compliant"):
                store.append([generation_recorded(), item_recorded(), broken])
        assert snapshot(store) == before
        assert store.stored_generations([key_of("1")]) == set()
        store.append([generation_recorded(), trial_finished()])
        assert store.stored_generations([key_of("1")]) == {key_of("1")}

    def test_what_was_appended_is_there_after_opening_again(self, backend: StorageBackend, tmp_path: Path) -> None:
        store = backend.open(tmp_path)
        store.append([run_started(), generation_recorded(), trial_finished(scores=(score_entry("a"),))])
        before = snapshot(store)
        store.close()
        for store in (backend.open(tmp_path, mode="read"), backend.open(tmp_path)):
            assert snapshot(store) == before
            store.close()

    def test_what_was_appended_is_whole_for_others_before_the_store_is_closed(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        batches: list[list[Event]] = [
            [run_started(), item_recorded(), generation_recorded()],
            [trial_finished(scores=(score_entry("a"),))],
            [run_finished()],
        ]
        for batch in batches:
            store.append(batch)
            other = backend.open(tmp_path, mode="read")
            assert snapshot(other) == snapshot(store)
            assert [event_from(each) for each in other.events()][-len(batch) :] == batch
            other.close()

    def test_a_store_that_can_check_and_rebuild_itself_finds_nothing_wrong_and_stays_as_it_is(
        self, store: Store
    ) -> None:
        store.append([run_started(), item_recorded(), generation_recorded("1", EVERY_FIELD)])
        store.append([trial_finished(scores=(score_entry("a", judged_by=(key_of("1"),)),)), run_finished()])
        before = snapshot(store)
        # A backend may leave what keeps a store in order to the tools of its database.
        if type(store).verify is not Store.verify:
            assert list(store.verify()) == []
        if type(store).rebuild is not Store.rebuild:
            store.rebuild()
        if type(store).verify is not Store.verify:
            assert list(store.verify()) == []
        assert snapshot(store) == before

    def test_another_thread_can_read_meanwhile(self, backend: StorageBackend, store: Store, tmp_path: Path) -> None:
        seen: list[set[str]] = []

        def read() -> None:
            reader = backend.open(tmp_path, mode="read")
            seen.append(reader.stored_generations([key_of("1"), key_of("2")]))
            reader.close()

        for name in "12":
            store.append([generation_recorded(name)])
            thread = threading.Thread(target=read)
            thread.start()
            thread.join()
        assert seen == [{key_of("1")}, {key_of("1"), key_of("2")}]

    def test_reading_can_go_on_while_more_is_appended(self, store: Store) -> None:
        store.append([run_started(), *(trial_finished(str(number)) for number in range(10))])
        stream = store.trial_rows("run")
        first = next(stream)
        store.append([generation_recorded("later")])
        assert len({first.trial_id, *(row.trial_id for row in stream)}) == 10

    def test_a_closed_store_can_not_be_used(self, backend: StorageBackend, tmp_path: Path) -> None:
        store = backend.open(tmp_path)
        store.close()
        with pytest.raises(Exception, match="closed"):
            store.append([run_started()])

    def test_the_location_names_no_credentials_and_is_not_empty(self, backend: StorageBackend, tmp_path: Path) -> None:
        assert backend.location(tmp_path)


def parsed_of(row: ScoreRow) -> tuple[Any, ...]:
    return (row.score, row.metric, row.parse, row.parsed, row.parse_reason)
