"""Scores that memory does not hold are compared as those that it does, in little memory, and a full disk is told."""

from __future__ import annotations

import errno
import io
import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from themis_core import Results, RunRecord, ScoreRow, StorageError
from themis_plugin_stats import columns
from themis_plugin_stats.baselines import read_baseline, write_baseline
from themis_plugin_stats.collecting import Collected, collect
from themis_plugin_stats.columns import DIGITS, WHOLE, ItemMeans, Overflow
from themis_plugin_stats.comparing import compare_chosen
from themis_plugin_stats.flipping import flipped_means
from themis_plugin_stats.procedures import paired, paired_clusters, paired_items, welch, welch_of
from themis_plugin_stats.sides import Side, choose
from themis_plugin_stats.tallying import Clusters, Moments, Tally

METRIC = ("right", "text/rouge")
SCORER = {
    "slice_id": "s", "score": METRIC[0], "metric": METRIC[1], "component": METRIC[1], "kind": "metric",
    "aggregates_mean": True, "lowest": 0.0, "highest": 1.0,
}  # fmt: skip


def digest_of(item: object) -> str:
    return sha256(str(item).encode()).hexdigest()


class Stored:
    """A store of one run, whose scores are made as they are read."""

    def __init__(self, rows: Sequence[ScoreRow] | Iterator[ScoreRow], groups: Sequence[tuple[str, str, str]]) -> None:
        self._rows = rows
        self._groups = groups

    def run(self, run_id: str) -> RunRecord:
        slices = sorted({slice_id for slice_id, _, _ in self._groups})
        manifest = {
            "themis": "0", "spec_digest": "0", "benchmark": {}, "plugins": [],
            "datasets": [{"slice_id": each, "items": 1, "digest": "0"} for each in slices],
            "scorers": [{**SCORER, "slice_id": each} for each in slices],
        }  # fmt: skip
        return RunRecord(run_id, "completed", "", "", manifest, {})

    def outcomes(self, run_id: str) -> list[Any]:
        return [
            SimpleNamespace(slice_id=slice_id, model_id=model, prompt_variant_id=prompt, params="default",
                            outcome="answered", count=1)
            for slice_id, model, prompt in self._groups
        ]  # fmt: skip

    def aggregates(self, run_id: str) -> dict[Any, Any]:
        return {}

    def score_rows(self, run_id: str) -> Iterator[ScoreRow]:
        return iter(self._rows)

    def trial(self, *names: str) -> dict[str, Any]:
        return {"turns": []}

    def items(self, digests: Sequence[str]) -> dict[str, Any]:
        return {
            each: SimpleNamespace(id="", metadata={"topic": int(each[-2:], 16) % 100}, fields={}) for each in digests
        }


def row(group: tuple[str, str, str], item: object, sample: int, value: float | None) -> ScoreRow:
    return ScoreRow(
        *group, "default", *METRIC, str(item), sample, f"t-{item}", "answered", value,
        None if value is not None else "judge_unavailable", None, None, None, digest_of(item), (),
    )  # fmt: skip


KINDS = {
    "zeros and ones": lambda draw, model: float(draw.random() < 0.5 + 0.1 * model),
    "between": lambda draw, model: draw.normal(0.1 * model, 1.0),
    "all alike": lambda draw, model: 0.2 + 0.1 * model,
    "the same": lambda draw, model: 0.3,
    "few differ": lambda draw, model: 0.3 + (draw.random() if draw.random() < 0.01 else 0.0),
}


def stored(seed: int, kind: str, *, items: int, slices: int = 1, prompts: int = 1, samples: int = 1) -> Stored:
    """Two models; of each group some items are missing, some were edited and some have no score."""
    draw = np.random.default_rng(seed)
    groups = [(f"s{i}", f"m{j}", f"p{k}") for i in range(slices) for j in range(2) for k in range(prompts)]
    rows = [
        row(group, f"{item}-edited" if draw.random() < 0.02 else item, sample, value)
        for group in groups
        for item in np.flatnonzero(draw.random(items) < 0.95).tolist()
        for sample in range(int(draw.integers(1, samples + 1)))
        for value in [None if draw.random() < 0.02 else KINDS[kind](draw, int(group[1][1:]))]
    ]
    # The samples of an item follow each other, as a store gives them, even if one was edited.
    return Stored(sorted(rows, key=lambda each: (each[:6], each.item_digest)), groups)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_few(monkeypatch)


def keep_few(patch: pytest.MonkeyPatch, block: int = 16, room: int = 10) -> None:
    patch.setattr(columns, "BLOCK", block)
    patch.setattr(columns, "ROOM", room)


def read(store: Stored, digits: int = DIGITS) -> Collected:
    return collect(cast(Results, store), "my-run", digits=digits)


def compared(*sides: Collected, **options: Any) -> dict[str, Any]:
    names = [Side("my-run"), Side("file", label="file")][: len(sides)] if len(sides) > 1 else [Side("my-run")]
    found = compare_chosen(choose(names, sides), **options).to_dict()
    found["groups"] = sorted(map(sorted, found["groups"]))  # equal sides stand in any order
    return found


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    if isinstance(value, dict | list) and value:
        listed = value.items() if isinstance(value, dict) else enumerate(value)
        return {name: leaf for key, each in listed for name, leaf in leaves(each, f"{place}.{key}").items()}
    return {place: value}


def same(one: Any, other: Any) -> bool:
    first, second = leaves(one), leaves(other)
    assert first.keys() == second.keys()
    for place, value in first.items():
        about = isinstance(value, float) and np.isfinite(value)
        expected = pytest.approx(value, rel=1e-9, abs=1e-12) if about else value
        if "verdict" not in place:  # a text of the numbers
            assert second[place] == expected or value != value, place
    return True


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(list(KINDS)),
    items=st.sampled_from([1, 2, 12, 40, 150, 400]),
    slices=st.integers(1, 2),
    prompts=st.integers(1, 2),
    samples=st.integers(1, 3),
    options=st.sampled_from([{}, {"cluster": "topic"}, {"unpaired": True}, {"margin": 0.1}]),
)
def test_scores_in_a_file_are_compared_as_those_in_memory(
    seed: int, kind: str, items: int, slices: int, prompts: int, samples: int, options: dict[str, Any]
) -> None:
    store = stored(seed, kind, items=items, slices=slices, prompts=prompts, samples=samples)
    digits = WHOLE if "cluster" in options else DIGITS
    expected = compared(read(store, digits), **options)
    with pytest.MonkeyPatch.context() as patch:
        keep_few(patch)
        assert same(expected, compared(read(store, digits), **options))


@pytest.mark.parametrize("options", [{}, {"cluster": "topic"}, {"unpaired": True}])
@pytest.mark.parametrize("kind", KINDS)
def test_few_that_differ_among_many_are_the_same_few(kind: str, options: dict[str, Any]) -> None:
    store = stored(7, kind, items=1_800)
    expected = compared(read(store, WHOLE), **options)
    with pytest.MonkeyPatch.context() as patch:
        keep_few(patch, block=100)
        collected = read(store, WHOLE)
        assert same(expected, compared(collected, **options))
    if (kind, options) == ("few differ", {}):
        assert (expected["pairs"][0]["method"], expected["pairs"][0]["n"] > 1_300) == ("sign flips", True)


@pytest.mark.parametrize("options", [{}, {"cluster": "topic"}, {"unpaired": True}])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_baseline_is_the_same_file_and_has_the_same_pairs(
    tmp_path: Any, options: dict[str, Any], samples: int
) -> None:
    first, second = (stored(seed, "between", items=300, slices=2, samples=samples) for seed in (1, 2))
    texts, found = [], []
    for keeps_few in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if keeps_few:
                keep_few(patch)
            write_baseline(read(first), [], tmp_path / "base.json")
            texts.append((tmp_path / "base.json").read_text())
            found.append(compared(read(second, WHOLE), read_baseline(tmp_path / "base.json"), **options))
    assert texts[0] == texts[1]
    assert same(*found)


def test_columns_in_a_file_are_those_in_memory(in_parts: None) -> None:
    draw = np.random.default_rng(3)
    items = [(digest_of(item), draw.random(draw.integers(1, 4)).tolist()) for item in range(100)]
    several, one, held = ItemMeans(overflow=Overflow()), ItemMeans(overflow=Overflow()), ItemMeans()
    for digest, samples in items:
        one.add(digest, samples[0])
        for of in (several, held):
            of.add(digest, samples[0])
            for value in samples[1:]:
                of.add_sample(value)
    for settled in (False, True):
        found, expected = several.of(), held.of()
        order, other = np.argsort(found.digests), np.argsort(expected.digests)
        assert all(np.array_equal(a[order], b[other]) for a, b in zip(found, expected, strict=True))
        for part in (0, 17, 255):
            assert sorted(several.of(part).means) == sorted(held.of(part).means)
            assert {each[0] for each in several.of(part).digests.tolist()} <= {part}
        known = [digest_of(item) for item in range(90, 110)]
        assert set(several.without(known)) == set(held.without(known)) == set(known[10:])
        assert (len(several), several.in_parts, several.has_several, held.in_parts) == (100, True, True, False)
        assert (one.has_several, one.of().counts.tolist(), one.of().within.sum()) == (False, [1.0] * 100, 0.0)
        if not settled:
            several.settle()
            held.settle()


def test_the_cells_of_a_run_share_what_room_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_few(monkeypatch, block=50, room=60)
    overflow = Overflow()
    cells = [ItemMeans(overflow=overflow) for _ in range(4)]
    for cell, items in zip(cells, (40, 30, 20, 80), strict=True):
        for item in range(items):
            cell.add(digest_of(item), 1.0)
        cell.settle()
    assert [cell.in_parts for cell in cells] == [False, True, False, True]
    assert [len(cell) for cell in cells] == [40, 30, 20, 80]
    assert overflow.room == 0


# --- chunks of numbers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 13, 60, 2_500])
def test_numbers_in_chunks_are_compared_as_those_at_once(kind: str, n: int) -> None:
    draw = np.random.default_rng(n)
    a, b = (np.array([KINDS[kind](draw, model) for _ in range(n)]) for model in (0, 1))
    cluster = draw.integers(0, max(n // 3, 1), n).astype(str)
    cuts = [0, *np.sort(draw.integers(0, n, 5)).tolist(), n]
    chunks = [slice(*cut) for cut in pairwise(cuts)]
    tally, first, second = Tally(), Moments(), Moments()
    for each in chunks:
        tally.see(a[each], b[each])
        first.add(a[each])
        second.add(b[each])
    for each in () if tally.is_binary else chunks:
        tally.differ(a[each], b[each])
    clusters = Clusters(tally.greatest)
    for each in chunks:
        clusters.add(a[each], b[each], cluster[each])
    for found, expected in (
        (paired_items(tally, 1.0), paired(a, b, span=1.0)),
        (paired_clusters(tally, clusters, 1.0), paired(a, b, cluster, 1.0)),
        (welch_of(first, second), welch(a, b)),
    ):
        assert (type(found), found.method, found.n, found.units) == (
            type(expected), expected.method, expected.n, expected.units,
        )  # fmt: skip
        assert found.difference == pytest.approx(expected.difference, rel=1e-9, abs=1e-12)
        assert found.p_value == pytest.approx(expected.p_value, rel=1e-7)
        assert same(list(expected.interval()), list(found.interval()))


@pytest.mark.parametrize("others", [3, 30, 900, 5_000])
def test_units_that_do_not_differ_need_only_be_counted(others: int) -> None:
    totals = np.random.default_rng(others).normal(0.2, 1.0, 8)
    whole = np.append(totals, np.zeros(others))
    counted, ties = flipped_means(totals, np.ones(8), others)
    listed, same_ties = flipped_means(whole, np.ones(len(whole)))
    assert (ties, counted) == (same_ties, pytest.approx(listed))


# --- memory, and the file


def many(count: int) -> Stored:
    groups = [("s", "m0", "p"), ("s", "m1", "p")]
    rows = (row(group, item, 0, (item * step % 11) / 10) for step, group in zip((3, 5), groups, strict=True)
            for item in range(count))  # fmt: skip
    return Stored(rows, groups)


def peak_of(count: int, **options: Any) -> int:
    tracemalloc.start()
    try:
        compared(read(many(count), WHOLE if "cluster" in options else DIGITS), **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "options", [{}, {"cluster": "topic"}, {"unpaired": True}], ids=["items", "clusters", "unpaired"]
)
def test_memory_does_not_grow_with_the_scores(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    keep_few(monkeypatch, block=4_096, room=4_096)
    peak_of(1_000, **options)  # what is imported and kept for good
    few, more = (peak_of(count, **options) for count in (10_000, 30_000))
    assert more - few < 3 * 2 * 20_000  # bytes, sides, scores


def test_the_file_is_gone_when_the_comparison_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, in_parts: None
) -> None:
    made, kept = tempfile.TemporaryFile, []

    def noted(**options: Any) -> Any:
        kept.append(made(**options))
        return kept[-1]

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(columns.tempfile, "TemporaryFile", noted)
    compared(read(stored(1, "between", items=100, slices=2)))
    assert ([each.closed for each in kept], list(tmp_path.iterdir())) == ([True], [])


class Slow(io.BytesIO):
    """Takes few bytes at a time, as a disk may."""

    def write(self, data: Any) -> int:
        return super().write(data[:7])


class Full(io.BytesIO):
    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


def test_what_is_written_piece_by_piece_is_whole(monkeypatch: pytest.MonkeyPatch, in_parts: None) -> None:
    store = stored(1, "between", items=100)
    expected = compared(read(store))
    monkeypatch.setattr(columns.tempfile, "TemporaryFile", lambda **options: Slow())
    assert compared(read(store)) == expected


@pytest.mark.parametrize(("kind", "told"), [(Full, "No space left on device"), (Broken, "Input/output error")])
def test_a_disk_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, in_parts: None, kind: type[io.BytesIO], told: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(columns.tempfile, "TemporaryFile", lambda **options: kind())
    with pytest.raises(StorageError) as caught:
        compared(read(stored(1, "between", items=100)))
    assert str(caught.value) == (
        f"can't keep scores in a temporary file in {tmp_path}: {told}. Free some space there, or name another folder "
        "by the environment variable TMPDIR; then run the same command again"
    )


def test_a_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, in_parts: None) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match=r"gone: No such file or directory\. Free some space there, or name another"):
        read(stored(1, "between", items=100))


def test_no_folder_for_temporary_files_is_told(monkeypatch: pytest.MonkeyPatch, in_parts: None) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(StorageError, match="in a temporary file: No usable temporary directory found in"):
        read(stored(1, "between", items=100))
