"""Runs by actors of a real Ray cluster of two nodes: equal to a quiet run, whatever is killed meanwhile.

The counts are short; `THEMIS_CHAOS=full` has the full ones.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crewed import Crewed, Driver, Quiet, wait_until

import themis_core as themis
from themis_core import Needs, WorkOrder
from themis_core.testing.postgres import PostgresServer

Made = Callable[..., Crewed]
AT_ONCE = 4
"""Calls that one worker may have in flight: `at_once` of the engine."""
KILLS = 20 if os.environ.get("THEMIS_CHAOS") == "full" else 2
TRIALS, STORE_BYTES = 100, 80_000_000
"""As in `conftest.py`."""
NOBODY = "127.0.0.1:1"
PASSED = ("--pass-env", "THEMIS_POSTGRES_URL")


def start(crewed: Crewed, cluster: Any, *options: str, passed: tuple[str, ...] = PASSED) -> Driver:
    return crewed.start("--address", cluster.address, *passed, *options, command=("ray", "run"))


def run(crewed: Crewed, cluster: Any, *options: str, passed: tuple[str, ...] = PASSED) -> tuple[int, str, str]:
    return start(crewed, cluster, *options, passed=passed).wait()


def test_actors_make_the_run_that_one_process_makes_and_are_placed_by_what_engines_need(
    made: Made, cluster: Any, quiet: Quiet
) -> None:
    crewed = made(trials=TRIALS, together=2, gpus=0.5)
    code, out, err = run(crewed, cluster, "--workers", "2", "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    for name in ("status", "trials", "ledger", "generated"):
        assert found[name] == quiet.result[name], name
    assert [(each["n"], each["value"]) for each in found["scores"]] == [
        (each["n"], pytest.approx(each["value"])) for each in quiet.result["scores"]
    ]
    assert (crewed.calls, len(crewed.workers)) == (crewed.trials, 2)
    assert [each[3] for each in crewed.noted("starts")] == ["0", "0"], "one GPU, on one of the nodes, shared by two"
    assert f"{TRIALS}/{TRIALS} trials (100%)" in err


def test_actors_and_a_node_that_are_killed_are_replaced_on_what_is_left(made: Made, cluster: Any, quiet: Quiet) -> None:
    crewed, draw = made(trials=TRIALS, seconds=0.2), random.Random(3)
    node = cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)
    driver = start(crewed, cluster, "--workers", "3", "--worker-retries", "9")
    killed = 0
    for number in range(1, KILLS + 1):
        reached = number * crewed.trials // (KILLS + 3)
        wait_until(lambda reached=reached: is_over(driver) or (crewed.calls >= reached and living(crewed)))  # type: ignore[misc]
        if is_over(driver):
            break
        pid, actor, *_ = draw.choice(living(crewed))
        killed += kill(actor if number % 2 else pid)  # the actor, or the worker that it holds
    raylet = node.all_processes["raylet"][0].process.pid
    theirs = [each for each in living(crewed) if parent_of(each[1]) == raylet]
    cluster.remove_node(node, allow_graceful=False)
    killed += sum(kill(pid) for pid, *_ in theirs)
    code, _, err = driver.wait()
    assert code == 0, err
    assert killed
    assert "was lost" in err
    assert crewed.digest() == quiet.digest
    assert crewed.calls <= crewed.trials + (killed + KILLS) * AT_ONCE


def test_after_a_driver_was_killed_and_after_ctrl_c_the_same_command_goes_on(
    made: Made, cluster: Any, quiet: Quiet
) -> None:
    crewed = made(trials=TRIALS, seconds=0.2, together=2)
    driver = start(crewed, cluster, "--workers", "2")
    wait_until(lambda: is_over(driver) or crewed.calls >= 10)
    driver.signal(signal.SIGKILL)
    wait_until(lambda: not living(crewed))
    repeated = 2 * AT_ONCE  # Ray may end a worker before it ended in good order
    before = crewed.calls
    assert before < crewed.trials

    while True:
        driver = start(crewed, cluster, "--workers", "2")
        wait_until(lambda: is_over(driver) or crewed.calls >= before + 10)  # noqa: B023 - called at once
        if not is_over(driver):
            break
        code, _, err = driver.wait()  # the lease of the driver that was killed runs for some seconds
        assert (code, "worker driver" in err) == (4, True), err
    driver.signal(signal.SIGINT)
    code, _, err = driver.wait()
    assert code == 130, err
    assert not living(crewed)
    assert crewed.calls < crewed.trials

    code, _, err = crewed.run()
    assert code == 0, err
    assert crewed.digest() == quiet.digest
    assert crewed.calls <= crewed.trials + repeated, "Ctrl-C repeats nothing"


def test_an_engine_that_can_not_start_is_the_cause_of_the_end(made: Made, cluster: Any) -> None:
    crewed = made(fails="no such weights on this node")
    code, _, err = run(crewed, cluster, "--workers", "2")
    assert code == 3, err
    assert "no such weights on this node" in err
    assert crewed.calls == 0


def test_a_variable_that_is_missing_on_nodes_is_named_with_them_and_not_sent_unasked(made: Made, cluster: Any) -> None:
    crewed = made()
    code, _, err = run(crewed, cluster, "--workers", "1", passed=())
    assert (code, crewed.workers) == (2, []), err
    assert f"{socket.gethostname()} ({cluster.head_node.node_ip_address}): THEMIS_POSTGRES_URL is not set" in err
    assert "hand them on with --pass-env NAME" in err
    assert crewed.url not in err


def test_a_folder_is_copied_to_the_workers_if_that_is_asked(made: Made, cluster: Any) -> None:
    crewed = made()
    code, _, err = run(crewed, cluster, "--workers", "1", "--working-dir", str(crewed.folder))
    assert code == 0, err
    assert crewed.calls == 0, "the engine wrote its notes into the copy"


def test_a_folder_of_long_texts_that_workers_do_not_share_is_refused(made: Made, cluster: Any) -> None:
    crewed = made(storage={"backend": "postgres", "blobs": "long"})  # in the copy it would be another folder
    code, _, err = run(crewed, cluster, "--workers", "1", "--working-dir", str(crewed.folder))
    assert (code, crewed.workers) == (4, []), err
    assert "workers there can't use the run's store" in err
    assert "storage.blobs: texts longer than" in err
    assert "write `database` or the URL of a bucket" in err
    assert [*(crewed.folder / "long").glob(".themis*")] == []


def test_a_database_that_is_another_one_on_the_nodes_is_refused(
    made: Made, cluster: Any, postgres: PostgresServer
) -> None:
    from themis_plugin_ray.launcher import RayLauncher

    class ElsewhereAnotherDatabase(RayLauncher):
        def _passed(self) -> dict[str, str]:
            return {"THEMIS_POSTGRES_URL": other.url}

    crewed, other = made(), made()
    assert other.run()[0] == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("THEMIS_POSTGRES_URL", crewed.url)
        with pytest.raises(themis.StorageError, match="the store there is another one"):
            themis.run(crewed.spec, workers=1, launcher=ElsewhereAnotherDatabase(cluster.address))
    assert crewed.workers == []


def test_a_cluster_without_room_says_what_is_waited_for_and_what_to_do(made: Made, cluster: Any) -> None:
    crewed = made()
    options = ("--workers", "2", "--gpus-per-worker", "4", "--memory-per-worker", "1MB", "--wait-for-resources", "4")
    code, _, err = run(crewed, cluster, *options)
    assert (code, crewed.workers) == (2, []), err
    assert "waiting" in err
    assert "for a node with 4 GPU, 1 CPU and 0.001 GB of memory free (the cluster has room for 0 such workers" in err
    assert "Add nodes, or ask for less (--gpus-per-worker" in err


def test_less_than_engines_need_is_refused_before_a_cluster_is_asked(made: Made) -> None:
    crewed = made(memory_bytes=10**8)
    options = ("--workers", "1", "--memory-per-worker", "10MB", "--address", NOBODY)
    code, _, err = crewed.run(*options, command=("ray", "run"))
    assert (code, crewed.workers) == (2, []), err
    assert "--memory-per-worker is 1e+07, and the engines of a worker need 1e+08" in err


def test_no_cluster_is_an_error_that_says_how_to_start_one(made: Made) -> None:
    crewed = made()
    code, _, err = crewed.run("--workers", "1", "--address", NOBODY, command=("ray", "run"))
    assert (code, crewed.workers) == (2, []), err
    assert f"no Ray cluster answers at {NOBODY!r}" in err
    assert "ray start --head" in err


def test_nodes_of_other_versions_are_refused_by_name_before_anything_is_called(made: Made, cluster: Any) -> None:
    from themis_plugin_ray.launcher import RayLauncher

    class ElsewhereOlder(RayLauncher):
        def check(self, order: WorkOrder, needs: Needs, workers: int) -> None:
            super().check(replace(order, environment={**order.environment, "their-plugin": "2.0"}), needs, workers)

    crewed = made()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("THEMIS_POSTGRES_URL", crewed.url)
        with pytest.raises(themis.PluginError) as error:
            themis.run(
                crewed.spec, workers=2, launcher=ElsewhereOlder(cluster.address, pass_env=["THEMIS_POSTGRES_URL"])
            )
    said = str(error.value)
    assert "2 nodes of 2 differ from the driver" in said
    assert socket.gethostname() in said
    assert "their-plugin is not installed, and 2.0 at the driver" in said
    assert "--allow-differing-versions" in said
    assert crewed.workers == []


def is_over(driver: Driver) -> bool:
    return driver.process.poll() is not None


def living(crewed: Crewed) -> list[list[Any]]:
    """The noted starts of workers that live: pid, pid of the actor, and so on."""
    return [each for each in crewed.noted("starts") if parent_of(each[0])]


def parent_of(pid: int) -> int:
    """The parent of a process; 0 if it is gone."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state == "Z" else int(parent)


def kill(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False
