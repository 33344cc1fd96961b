"""The model of docs/scaling.md: against what is known in closed form, and the page against the model."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.cases import CASES
from benchmarks.scaling.__main__ import PAGE, filled
from benchmarks.scaling.queues import Station, erlang_c, exact, mmc_response_s, symmetric
from benchmarks.scaling.sizes import AS_MEASURED, FIGURES, SITUATIONS, SIZES, Figures, needs, on_two_cores, rate_of
from benchmarks.scaling.tables import tables

F = Figures.read()


@pytest.mark.parametrize(
    ("load", "servers", "waits"),
    [
        (0.5, 1, 0.5),  # M/M/1: the load itself
        (1.0, 2, 1 / 3),  # 2ρ²/(1+ρ), ρ = 1/2
        (2.0, 3, 4 / 9),
        (0.0, 5, 0.0),
        (2.0, 2, 1.0),
        (90.0, 100, 0.2169),  # a call centre of 100; the direct sums of factorials, to four digits
    ],
)
def test_the_probability_of_waiting_is_erlangs(load: float, servers: int, waits: float) -> None:
    assert erlang_c(load, servers) == pytest.approx(waits, abs=5e-5)
    if 0 < load < servers <= 50:
        terms = [load**k / math.factorial(k) for k in range(servers)]
        last = load**servers / math.factorial(servers) * servers / (servers - load)
        assert erlang_c(load, servers) == pytest.approx(last / (sum(terms) + last))


def test_one_server_answers_in_the_time_that_mm1_says() -> None:
    assert mmc_response_s(rate=8.0, service_s=0.1, servers=1) == pytest.approx(1 / (10 - 8))
    assert mmc_response_s(rate=10.0, service_s=0.1, servers=1) == math.inf
    assert mmc_response_s(rate=1e-9, service_s=0.1, servers=4) == pytest.approx(0.1)


@pytest.mark.parametrize(("customers", "count"), [(1, 3), (5, 2), (40, 4)])
def test_equal_stations_without_thinking_serve_as_the_balanced_network(customers: int, count: int) -> None:
    network = [Station(f"{number}", 0.2) for number in range(count)]
    assert exact(network, 0.0, customers) == pytest.approx(customers / (customers + count - 1) / 0.2)


def repaired(customers: int, think_s: float, service_s: float, servers: int) -> float:
    """Machines repaired a second by so many repairers: the birth-death process, solved (Palm 1947)."""
    weights = [1.0]
    for broken in range(1, customers + 1):
        weights.append(weights[-1] * (customers - broken + 1) / think_s * service_s / min(broken, servers))
    busy = sum(weight * min(broken, servers) for broken, weight in enumerate(weights))
    return busy / sum(weights) / service_s


@pytest.mark.parametrize(("customers", "think_s", "service_s"), [(1, 1.0, 1.0), (8, 10.0, 1.0), (64, 0.02, 0.0006)])
def test_one_repairer_repairs_as_many_machines_as_palm_says(customers: int, think_s: float, service_s: float) -> None:
    wanted = repaired(customers, think_s, service_s, 1)
    assert exact([Station("repairer", service_s)], think_s, customers) == pytest.approx(wanted)
    assert symmetric([], [Station("repairer", service_s)], think_s, customers, 1) == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize("servers", [2, 3, 16])
@pytest.mark.parametrize("customers", [4, 20, 100])
def test_several_servers_are_within_eight_per_cent_of_the_solved_process(servers: int, customers: int) -> None:
    station = Station("servers", 1.0, servers)
    found = symmetric([], [station], 4.0, customers, 1)
    assert found == pytest.approx(repaired(customers, 4.0, 1.0, servers), rel=0.08)


def test_the_approximation_is_near_to_exact_for_one_class_and_keeps_the_bounds_for_many() -> None:
    own, shared = [Station("own", 0.0006)], [Station("shared", 0.0002)]
    assert symmetric(own, shared, 0.02, 64, 1) == pytest.approx(exact([*own, *shared], 0.02, 64), rel=0.05)
    for classes in (1, 3, 10, 100):
        for customers in (1, 8, 64):
            most = min(classes * customers / 0.0208, classes / 0.0006, 1 / 0.0002)
            found = symmetric(own, shared, 0.02, customers, classes)
            assert 0.75 * most <= found <= most * (1 + 1e-9)
    alone = symmetric(own, shared, 0.02, 1, 1)
    assert alone == pytest.approx(1 / 0.0208)  # nobody waits for anybody


def test_stations_of_several_servers_are_refused_where_the_recurrence_would_lose_its_digits() -> None:
    with pytest.raises(ValueError, match="one server"):
        exact([Station("two", 1.0, 2)], 0.0, 5)


def test_more_workers_are_faster_until_something_that_they_share_is_full() -> None:
    rates = [rate_of(F, workers, 2, AS_MEASURED) for workers in (1, 2, 4, 64, 128)]
    assert rates[1][0] == pytest.approx(2 * rates[0][0], rel=0.05)
    assert rates[4][0] == pytest.approx(rates[3][0], rel=0.02)
    full = min(2 / F.postgres_cpu_ms, F.disk_mb_s / (F.wal_kb + 0.5)) * 1000
    assert rates[4][0] == pytest.approx(full, rel=0.02)


def test_two_cores_allow_what_the_cpu_of_all_processes_leaves() -> None:
    most = 2000 / (F.worker_cpu_ms + F.postgres_cpu_ms + 0.085)
    for workers in (1, 2, 4):
        assert on_two_cores(F, workers, 0.02, 128) <= min(most, workers * 1000 / F.worker_cpu_ms) * (1 + 1e-9)


def test_needs_are_what_the_sizes_say_by_hand() -> None:
    f = replace(F, worker_cpu_ms=0.5, busy=0.5, in_flight=100, stored_kb=2.0, wal_kb=3.0, usd_ssd_gb_month=0.1)
    found = needs(f, SITUATIONS[1], 3_600_000, 1)
    assert found.rate == 1000
    assert found.in_flight == 2000  # 2 s each
    assert found.workers == 20  # of 100 in flight; one core is enough
    assert found.wal_mb_s == pytest.approx(7)
    assert found.stored_gb == pytest.approx(21.6)  # 6 kB each
    assert found.usd_ssd_month == pytest.approx(2.16)
    assert needs(f, SITUATIONS[0], 3_600_000, 1).workers == 2  # 200 in flight


def test_figures_name_the_command_that_measures_them_and_its_case() -> None:
    text = FIGURES.read_text(encoding="utf-8")
    cases = re.findall(r'^command = "nox -s bench -- (\w+)"$', text, re.MULTILINE)
    assert set(cases) <= set(CASES)
    assert text.count("\ncommand = ") == text.count("\nrow = ")


def test_a_file_with_other_figures_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "figures.toml"
    file.write_text(FIGURES.read_text(encoding="utf-8") + "\n[more]\nvalue = 1\n")
    with pytest.raises(ValueError, match="other figures"):
        Figures.read(file)


def test_the_page_has_the_tables_that_the_command_writes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    made = tables(F)
    assert set(re.findall(r"<!-- table: ([\w ]+) -->", page)) == set(made)
    assert filled(page, made) == page, "run `python -m benchmarks.scaling --write`"
    assert len(SIZES) * len(SITUATIONS) == made["machines"].count("\n") - 2
