"""`themis batches`: what is cancelled, given up, or neither, and what the next run then asks and pays for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from batch_specs import ends, opened, spec_of
from click.testing import CliRunner

from themis_core import BatchRecord, run
from themis_core.cli import cli
from themis_core.testing.server import ScriptedServer


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def server(shared_server: ScriptedServer) -> ScriptedServer:
    shared_server.reset({})
    return shared_server


def command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


def open_batches(spec: Path) -> list[BatchRecord]:
    with closing(opened(spec)) as store:
        return list(store.open_batches())


def sizes(server: ScriptedServer) -> list[int]:
    return [len(each["custom_ids"]) for each in server.batches()]


def test_a_cancelled_batch_keeps_what_was_answered_and_the_next_run_asks_for_the_rest(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.reset({"batches": {"takes_s": 300, "answered": 2}})
    spec = spec_of(tmp_path, server)
    run(spec, detach=True)
    code, said = command("batches", "cancel", spec, "batch_1")
    assert (code, said) == (0, "batch batch_1 is being cancelled; `themis run` collects what it answered\n")
    (record,) = open_batches(spec)
    assert record.ticket is not None, "it is open until its answers are stored"
    collected = run(spec)
    assert (ends(collected), collected.cost) == (("failed", 2, 4), pytest.approx(2 * 4 * 1000 / 1e6 / 2))
    assert open_batches(spec) == []
    assert run(spec, detach=True).status == "waiting"
    assert sizes(server) == [6, 4]


def test_what_can_not_be_cancelled_is_told_and_left_as_it_is(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"takes_s": 300}})
    spec = spec_of(tmp_path, server)
    run(spec, detach=True)
    code, said = command("batches", "cancel", spec, "batch_7")
    assert (code, said) == (2, "Error: no batch 'batch_7' is open: batch_1\n")
    whole = spec.read_text()
    spec.write_text(whole.replace("model_id: m\n", "model_id: other\n"))
    code, said = command("batches", "cancel", spec, "batch_1")
    assert code == 2
    assert f"no model of this spec is 'm' at {server.origin}" in said
    spec.write_text(whole)
    server.reset({})  # it knows the batch no longer
    code, said = command("batches", "cancel", spec, "batch_1")
    assert code == 2
    assert "batch batch_1 was not cancelled: " in said
    assert len(open_batches(spec)) == 1


UNRELIABLE = """
import os
from themis_core import BatchState, Capabilities, Engine, Ticket, hookimpl


class Unreliable(Engine):
    capabilities = Capabilities(batches=True)

    async def start(self):
        self.fail("start")

    async def stop(self):
        self.fail("stop")

    async def generate(self, request):
        raise AssertionError

    async def submit(self, nonce, requests):
        return Ticket("b1")

    async def find(self, nonce):
        return None

    async def collect(self, ticket):
        return BatchState("running")

    async def cancel(self, ticket):
        self.fail("cancel")

    def fail(self, where):
        if os.environ.get("FAILS") == where:
            raise SystemExit(3)


@hookimpl
def themis_register_engines(register):
    register("unreliable", Unreliable)
"""


@pytest.mark.parametrize(
    ("fails", "code", "told"),
    [
        ("start", 3, "mine/unreliable"),
        ("cancel", 2, "batch b1 was not cancelled: engine_error: Unreliable.cancel: SystemExit: 3"),
        ("stop", 0, "batch b1 is being cancelled"),
    ],
)
def test_an_engine_that_fails_around_a_cancellation_is_named(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, code: int, told: str
) -> None:
    (tmp_path / "unreliable.py").write_text(UNRELIABLE)
    spec = spec_of(tmp_path, server, model={"provider": "mine/unreliable", "extras": {}})
    data = yaml.safe_load(spec.read_text())
    spec.write_text(yaml.safe_dump(data | {"project": data["project"] | {"plugins": {"mine": "./unreliable.py"}}}))
    run(spec, detach=True)
    monkeypatch.setenv("FAILS", fails)
    got, said = command("batches", "cancel", spec, "b1")
    assert (got, told in said) == (code, True), said


def test_a_batch_of_a_service_with_another_address_is_cancelled_there(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"takes_s": 300}})
    extras = {"base_url": server.base_url, "api_key_env": None, "identity_name": "the-service"}
    spec = spec_of(tmp_path, server, model={"extras": extras})
    run(spec, detach=True)
    spec.write_text(spec.read_text().replace("127.0.0.1", "localhost"))
    assert command("batches", "cancel", spec, "batch_1")[0] == 0
    assert [each["status"] for each in server.batches()] == ["cancelled"]


def test_a_batch_is_not_forgotten_while_its_run_is_at_work(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"takes_s": 4}})
    spec = spec_of(tmp_path, server)
    working = threading.Thread(target=lambda: run(spec))
    working.start()
    while not server.batches():
        time.sleep(0.02)
    time.sleep(0.5)  # its ticket is noted
    code, said = command("batches", "forget", spec, "batch_1")
    assert code == 4
    assert "being worked on" in said
    working.join(60)
    assert (sizes(server), open_batches(spec)) == ([6], [])


def test_a_batch_without_a_ticket_is_forgotten_by_its_nonce(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"takes_s": 300}})
    spec = spec_of(tmp_path, server)
    run(spec, detach=True)
    (record,) = open_batches(spec)
    code, _ = command("batches", "forget", spec, record.nonce)
    assert (code, open_batches(spec)) == (0, [])
    assert command("batches", "forget", spec, record.nonce)[0] == 2
    run(spec, detach=True)
    assert sizes(server) == [6, 6], "its requests are asked again, as the user said"
