"""What live states must do where a backend has them; `StorageBackendSuite` inherits these tests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from themis_core.components import StorageBackend, Store

__all__ = ["LiveRules"]


class LiveRules:
    """Checks of `Store.exchange`, which a backend may leave out."""

    def test_live_states_are_changed_by_one_at_a_time_and_seen_by_all(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        if type(store).exchange is Store.exchange:
            pytest.skip("this backend leaves live states out: processes can share no limits")
        other = backend.open(tmp_path)
        names = ["x", "\x00 \ud800 \u00e9'%s\"", "long " * 10_000]

        def count(state: dict[str, Any] | None, now: float) -> tuple[dict[str, Any], tuple[int, float]]:
            known = state or {"count": 0, "text": "\x00 \ud800 \U0001f642 %s ' \\", "at": [now, None, True]}
            return {**known, "count": known["count"] + 1}, (known["count"], now)

        first = store.exchange(dict.fromkeys(names, count))
        second = other.exchange(dict.fromkeys(reversed(names), count))
        assert [first[name][0] for name in names] == [0, 0, 0]
        assert [second[name][0] for name in names] == [1, 1, 1]
        assert 0 <= second["x"][1] - first["x"][1] < 60  # seconds, by one clock
        state = store.exchange({"x": lambda state, _: (state, state)})["x"]
        assert state == {"count": 2, "text": "\x00 \ud800 \U0001f642 %s ' \\", "at": [first["x"][1], None, True]}
        assert list(store.events()) == []  # it is no part of the log
        assert other.exchange({"x": lambda state, _: (None, None)}) == {"x": None}
        assert store.exchange({"x": lambda state, _: (state, state is None)}) == {"x": True}
        other.close()

    def test_a_change_of_live_states_that_raises_changes_none(self, store: Store) -> None:
        if type(store).exchange is Store.exchange:
            pytest.skip("this backend leaves live states out: processes can share no limits")
        store.exchange({"a": lambda state, now: ({"is": 1}, None), "b": lambda state, now: ({"is": 1}, None)})

        def wrong(state: dict[str, Any] | None, now: float) -> Any:
            raise KeyError("a bug")

        with pytest.raises(KeyError, match="a bug"):
            store.exchange({"a": lambda state, now: ({"is": 2}, None), "b": wrong})
        assert store.exchange({"a": lambda state, now: (state, state), "b": lambda state, now: (state, state)}) == {
            "a": {"is": 1},
            "b": {"is": 1},
        }

    def test_many_who_change_one_live_state_at_once_lose_nothing(
        self, backend: StorageBackend, store: Store, tmp_path: Path
    ) -> None:
        if type(store).exchange is Store.exchange:
            pytest.skip("this backend leaves live states out: processes can share no limits")
        of_each, names = 20, ["one", "two"]

        def add(state: dict[str, Any] | None, now: float) -> tuple[dict[str, Any], None]:
            return {"count": (state or {"count": 0})["count"] + 1}, None

        def work(number: int) -> None:
            mine = backend.open(tmp_path)
            try:
                for _ in range(of_each):
                    mine.exchange(dict.fromkeys(names[:: 1 if number % 2 else -1], add))
            finally:
                mine.close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        found = store.exchange({name: lambda state, now: (state, state) for name in names})
        assert found == {name: {"count": 4 * of_each} for name in names}
