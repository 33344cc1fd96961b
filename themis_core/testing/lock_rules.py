"""Who keeps whom out of a run and its parts, as a part of the storage suite: what is written in `Store.lock_run`."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from themis_core.components import PartsRecord, StorageBackend, Store, knows_parts
from themis_core.errors import RunLocked, StorageError
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

    def test_parts_are_handed_out_once_and_what_is_given_back_or_left_is_handed_out_again(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        _needs_leases(store)
        with closing(backend.open(tmp_path)) as other, other.lock_run("run", "worker b"):
            with store.lock_run("run", "worker a"):
                assert (store.open_parts("run", 5), other.open_parts("run", 9)) == (5, 5)
                assert (list(store.take_parts("run", "worker a", 2)), list(other.take_parts("run", "worker b", 2))) == (
                    [1, 2],
                    [3, 4],
                )
                assert other.parts("run") == PartsRecord(5, 0, 4)
                store.finish_parts("run", "worker a", [1, 3])
                other.finish_parts("run", "worker b", [1])
                assert other.parts("run") == PartsRecord(5, 1, 3), "3 is another's, and 1 is done already"
                other.give_back_parts("run", "worker b")
                assert list(store.take_parts("run", "worker a", 9)) == [3, 4, 5]
                assert list(other.take_parts("run", "worker b", 9)) == []
                assert store.parts("run") == PartsRecord(5, 1, 4)
            assert other.parts("run") == PartsRecord(5, 1, 0), "who has gone has leased nothing"
            assert list(other.take_parts("run", "worker b", 9)) == [2, 3, 4, 5]
            other.finish_parts("run", "worker b", [2, 3, 4, 5])
            assert other.parts("run") == PartsRecord(5, 5, 0)

    def test_a_round_that_is_over_is_begun_anew_and_by_none_who_is_late_for_it(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        _needs_leases(store)
        with closing(backend.open(tmp_path)) as other:
            with store.lock_run("run", "worker a"):
                store.open_parts("run", 2)
                assert store.parts("another") == PartsRecord(0, 0, 0)
                store.finish_parts("run", "worker a", store.take_parts("run", "worker a", 2))
                with other.lock_run("run", "worker late"):
                    assert other.open_parts("run", 7) == 2
                    assert list(other.take_parts("run", "worker late", 9)) == []
            with other.lock_run("run", "worker b"), store.lock_run("run", "worker c"):
                assert (other.open_parts("run", 3), store.open_parts("run", 4)) == (3, 3)
                assert list(store.take_parts("run", "worker c", 9)) == [1, 2, 3]
                store.finish_parts("run", "worker c", [1])
            with other.lock_run("run", "worker d"):
                assert other.open_parts("run", 4) == 4, "nobody else is at work, so what is left is begun anew"

    def test_parts_are_taken_only_by_who_holds_a_lock(self, store: Store) -> None:
        _needs_leases(store)
        with store.lock_run("run", "worker a"):
            store.open_parts("run", 2)
            with pytest.raises(StorageError, match="worker b of run 'run' is not held"):
                store.take_parts("run", "worker b", 1)
        with pytest.raises(StorageError, match="worker a of run 'run' is not held"):
            store.take_parts("run", "worker a", 1)

    def test_many_who_take_parts_at_once_get_each_once(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        _needs_leases(store)
        start = threading.Barrier(4)

        def take(number: int) -> list[int]:
            part, found = f"worker {number}", list[int]()
            with closing(backend.open(tmp_path)) as mine, mine.lock_run("run", part):
                start.wait(60)
                assert mine.open_parts("run", 30) == 30
                while taken := list(mine.take_parts("run", part, 2)):
                    mine.finish_parts("run", part, taken)
                    found += taken
                start.wait(60)
            return found

        with ThreadPoolExecutor(4) as threads:
            taken = [number for each in threads.map(take, range(4)) for number in each]
        assert sorted(taken) == list(range(1, 31))

    def test_a_backend_that_hands_out_no_parts_says_what_to_do(self, store: Store) -> None:
        if type(store).open_parts is not Store.open_parts:
            pytest.skip("this backend hands out parts")
        with pytest.raises(StorageError, match="--shard K/N, or use a store in Postgres"):
            store.open_parts("run", 2)

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


def _needs_leases(store: Store) -> None:
    if type(store).open_parts is Store.open_parts:
        pytest.skip("this backend hands out no parts to workers")
