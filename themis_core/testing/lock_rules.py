"""Who keeps whom out of a run and its parts, as a part of the storage suite: what is written in `Store.lock_run`."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from themis_core.components import StorageBackend, Store, knows_parts
from themis_core.errors import RunLocked
from themis_core.testing.events import run_started

__all__ = ["LockRules"]


class LockRules:
    """Tests with the fixtures `backend` and `store`, which the suite defines."""

    def test_a_run_can_be_held_once_and_others_beside_it(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        other = backend.open(tmp_path)
        with store.lock_run("run"), other.lock_run("another"):
            for contender in (store, other):
                with pytest.raises(RunLocked, match="'run'"), contender.lock_run("run"):
                    pass
        with other.lock_run("run"):
            pass
        other.close()

    def test_whether_a_run_is_held_can_be_asked_from_anywhere(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        store.append([run_started()])
        reader = backend.open(tmp_path, mode="read")
        assert not reader.is_held("run")
        with store.lock_run("run"):
            assert reader.is_held("run")
            assert store.is_held("run")
            assert not reader.is_held("another")
        assert not reader.is_held("run")
        reader.close()

    @pytest.mark.parametrize(
        ("held", "asked", "beside"),
        [
            ("1/4", "2/4", True),
            ("worker a", "worker b", True),
            ("", "1/4", False),
            ("1/4", "", False),
            ("", "worker a", False),
            ("worker a", "", False),
            ("1/4", "1/4", False),
            ("worker a", "worker a", False),
            ("1/4", "2/8", False),
            ("1/4", "worker a", False),
            ("worker a", "1/4", False),
        ],
    )
    def test_a_part_of_a_run_keeps_out_those_that_it_does_not_go_beside(
        self, backend: StorageBackend, store: Store, tmp_path: Path, held: str, asked: str, beside: bool
    ) -> None:
        _needs_parts(store)
        with closing(backend.open(tmp_path)) as other, store.lock_run("run", held):
            for contender in (store, other):
                if beside:
                    with contender.lock_run("run", asked):
                        assert contender.is_held("run", asked)
                else:
                    with (
                        pytest.raises(RunLocked, match=r"run 'run'.* process \d+ on "),
                        contender.lock_run("run", asked),
                    ):
                        pass
                with contender.lock_run("another", asked):
                    pass
            assert store.is_held("run", held)
            assert not other.is_held("run", asked) or asked == held
        with closing(backend.open(tmp_path)) as other, other.lock_run("run", asked):
            pass

    def test_parts_of_a_run_that_are_held_hold_the_run_and_are_no_other_run(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        _needs_parts(store)
        with closing(backend.open(tmp_path)) as other, closing(backend.open(tmp_path, mode="write")) as reader:
            with store.lock_run("run", "1/2"):
                assert [reader.is_held("run", part) for part in (None, "1/2", "2/2", "")] == [True, True, False, False]
                with other.lock_run("run", "2/2"):
                    assert not store.has_others_at_work("run")
                    assert store.has_others_at_work("another")
                assert reader.is_held("run")
            assert not reader.is_held("run")

    def test_of_many_who_keep_each_other_out_and_ask_at_once_one_gets_it(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        _needs_parts(store)
        parts = ["", "1/2", "1/3", "2/4", "worker a", ""]
        for _ in range(3):
            start, end = threading.Barrier(len(parts)), threading.Barrier(len(parts))

            def ask(part: str, start: threading.Barrier = start, end: threading.Barrier = end) -> bool:
                with closing(backend.open(tmp_path)) as mine:
                    start.wait(60)
                    try:
                        with mine.lock_run("run", part):
                            end.wait(60)
                            return True
                    except RunLocked:
                        end.wait(60)
                        return False

            with ThreadPoolExecutor(len(parts)) as threads:
                assert sum(threads.map(ask, parts)) == 1

    def test_who_is_at_work_is_told_with_what_they_last_reported(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        _needs_parts(store)
        if type(store).at_work is Store.at_work:
            pytest.skip("this backend does not tell who is at work")
        with closing(backend.open(tmp_path)) as other:
            assert list(other.at_work("run")) == []
            with store.lock_run("run", "2/4"), other.lock_run("run", "1/4"):
                store.report("run", "2/4", {"done": 1, "note": "ä"})
                store.report("run", "2/4", {"done": 2, "note": "ä"})
                store.report("run", "3/4", {"done": 9})
                found = sorted(other.at_work("run"), key=lambda each: each.part)
                assert [(each.part, dict(each.progress)) for each in found] == [
                    ("1/4", {}),
                    ("2/4", {"done": 2, "note": "ä"}),
                ]
                assert {each.pid for each in found} == {os.getpid()}
                assert list(other.at_work("another")) == []
            assert list(other.at_work("run")) == []
            with store.lock_run("run", "2/4"):
                assert [dict(each.progress) for each in other.at_work("run")] == [{}]

    def test_what_one_run_asks_for_no_other_one_claims_while_both_are_held(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        if type(store).claim is Store.claim:
            pytest.skip("this backend leaves claims out: two runs at work at once may pay twice")
        other = backend.open(tmp_path)
        with store.lock_run("a"):
            assert not store.has_others_at_work("a")
            with other.lock_run("b"):
                assert store.has_others_at_work("a")
                assert other.has_others_at_work("b")
                assert [store.claim("a", "k"), store.claim("a", "k"), other.claim("b", "k")] == [True, True, False]
                assert other.claim("b", "another")
                store.release("a", ["k"])
                assert [other.claim("b", "k"), store.claim("a", "k")] == [True, False]
                other.release("b")
                assert store.claim("a", "k")
                assert other.claim("b", "left behind")
            assert not store.has_others_at_work("a")
            assert store.claim("a", "left behind")
        other.close()


def _needs_parts(store: Store) -> None:
    if not knows_parts(store.lock_run):
        pytest.skip("this backend holds whole runs only: it takes no shards")
