"""What a worker is given, and how many fit: without Ray, as the check of a plan has it."""

from __future__ import annotations

from typing import Any

import pytest

import themis_core as themis
from themis_core import Needs
from themis_plugin_ray.command import bytes_of
from themis_plugin_ray.resources import Wanted, fitting, in_words


def test_a_worker_is_given_what_its_engines_need_and_at_least_a_core() -> None:
    assert Wanted().given(Needs()) == Needs(cpus=1)
    assert Wanted().given(Needs(gpus=1, cpus=2.5, memory_bytes=10)) == Needs(1, 2.5, 10)
    assert Wanted(cpus=0).given(Needs()) == Needs()
    assert Wanted(gpus=2, memory_bytes=20).given(Needs(gpus=1, memory_bytes=10)) == Needs(2, 1, 20)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted(gpus=0.5), "--gpus-per-worker is 0.5, and the engines of a worker need 1"),
        (Wanted(cpus=1), "--cpus-per-worker is 1, and the engines of a worker need 2"),
        (Wanted(memory_bytes=9), "--memory-per-worker is 9, and the engines of a worker need 10"),
        (Wanted(gpus=1.5), "gpus is 1.5: more than one must be a whole number"),
    ],
)
def test_less_than_that_and_nonsense_are_refused(wanted: Wanted, told: str) -> None:
    with pytest.raises(themis.SpecError, match=told):
        wanted.given(Needs(gpus=1, cpus=2, memory_bytes=10))


def test_how_many_fit_is_counted_node_by_node() -> None:
    def node(alive: bool = True, **resources: Any) -> dict[str, Any]:
        return {"Alive": alive, "Resources": resources}

    nodes = [node(CPU=4.0, GPU=2.0, memory=8e9), node(CPU=1.0, memory=8e9), node(False, CPU=64.0, GPU=8.0, memory=1e12)]
    assert fitting(nodes, Needs(cpus=1)) == 5
    assert fitting(nodes, Needs(cpus=1, gpus=1)) == 2
    assert fitting(nodes, Needs(cpus=0.1, gpus=0.5)) == 4
    assert fitting(nodes, Needs(memory_bytes=3 * 10**9)) == 4
    assert fitting(nodes, Needs(gpus=4)) == 0
    assert fitting([], Needs(cpus=1)) == 0


@pytest.mark.parametrize(
    ("each", "told"),
    [
        (Needs(1, 2, 24 * 10**9), "1 GPU, 2 CPU and 24 GB of memory"),
        (Needs(cpus=1), "1 CPU"),
        (Needs(gpus=0.5, cpus=1), "0.5 GPU and 1 CPU"),
        (Needs(), "nothing"),
    ],
)
def test_resources_are_told_in_words(each: Needs, told: str) -> None:
    assert in_words(each) == told


@pytest.mark.parametrize(
    ("text", "size"), [("24GB", 24 * 10**9), ("1.5 g", 1_500_000_000), ("512MiB", 2**29), ("1000", 1000), ("7b", 7)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "GB", "24 gigs", "-1", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size: write 24GB"):
        bytes_of(text)
