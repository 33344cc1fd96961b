"""Batches whose providers, clocks and specs do what they should not: nothing is paid for twice, or in silence."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from batch_specs import ends, opened, spec_of
from click.testing import CliRunner

from themis_core import BatchEnded, BatchIntended, BatchRecord, RunResult, run
from themis_core.cli import cli
from themis_core.testing.server import ScriptedServer

ONE_BY_ONE = ["project.execution_policy.batches=null"]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def server(shared_server: ScriptedServer) -> ScriptedServer:
    shared_server.reset({})
    return shared_server


def sizes(server: ScriptedServer) -> list[int]:
    return [len(each["custom_ids"]) for each in server.batches()]


def asked_one_by_one(server: ScriptedServer) -> int:
    return sum(each.path.endswith("completions") for each in server.requests())


def open_batches(spec: Path) -> list[BatchRecord]:
    with closing(opened(spec)) as store:
        return list(store.open_batches())


def command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    return result.exit_code, result.stderr


# --- providers that keep answers back --------------------------------------------------------------------------------


def test_a_batch_that_is_over_before_its_answers_are_there_is_looked_at_again(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.reset({"batches": {"late_s": 0.4}})
    assert ends(run(spec_of(tmp_path, server, batches={"grace_s": 20}))) == ("completed", 6, 0)
    assert sizes(server) == [6]


def test_answers_that_a_provider_keeps_back_are_paid_for_again_only_if_the_user_says_so(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.reset({"batches": {"late_s": 3600}})
    spec = spec_of(tmp_path, server)
    result = run(spec)
    assert ends(result) == ("stopped", 0, 0)
    assert result.note is not None
    assert result.note.startswith(
        "stopped: batch batch_1 is over, but its provider says that it has answered 6 requests, and gives 0 answers: "
        "look at it there, or give its answers up with `themis batches forget`; what arrived is saved;"
    )
    assert run(spec, detach=True).status == "waiting"
    assert sizes(server) == [6]

    code, said = command("batches", "forget", spec, "batch_1")
    assert (code, said) == (0, "batch batch_1 is forgotten; the provider may go on with it\n")
    assert open_batches(spec) == []
    server.reset({})
    assert ends(run(spec)) == ("completed", 6, 0)
    assert sizes(server) == [6]


# --- specs that are edited while a batch is open ---------------------------------------------------------------------


def moved_spec(folder: Path, server: ScriptedServer) -> tuple[Path, BatchRecord]:
    """A spec that left a batch, and then names its model's server by another address."""
    extras = {"base_url": server.base_url, "api_key_env": None, "identity_name": "the-service"}
    spec = spec_of(folder, server, model={"extras": extras})
    run(spec, detach=True)
    (record,) = open_batches(spec)
    spec.write_text(spec.read_text().replace("127.0.0.1", "localhost"))
    return spec, record


@pytest.mark.parametrize("overrides", [[], ONE_BY_ONE])
def test_a_batch_of_a_service_with_another_address_is_collected_there(
    server: ScriptedServer, tmp_path: Path, overrides: list[str]
) -> None:
    server.reset({"batches": {"takes_s": 1.5}})
    spec, _ = moved_spec(tmp_path, server)
    assert ends(run(spec, overrides=overrides)) == ("completed", 6, 0)
    assert (sizes(server), asked_one_by_one(server)) == ([6], 0)
    assert open_batches(spec) == []


@pytest.mark.parametrize("overrides", [[], ONE_BY_ONE])
def test_a_batch_without_a_ticket_is_not_looked_for_at_another_address(
    server: ScriptedServer, tmp_path: Path, overrides: list[str]
) -> None:
    server.reset({"batches": {"takes_s": 60}})
    spec, record = moved_spec(tmp_path, server)
    intended = BatchIntended("killed", record.at, "themis-20260102030405-0", record.endpoint, "m", record.keys)
    with closing(opened(spec)) as store:
        store.append([BatchEnded(record.run_id, record.at, record.nonce, "forgotten"), intended])
    result = run(spec, overrides=overrides)
    assert ends(result) == ("stopped", 0, 0)
    assert f"batch {intended.nonce} may be at {record.endpoint}" in result.note
    assert (sizes(server), asked_one_by_one(server)) == ([6], 0)


def test_a_batch_that_an_edited_spec_does_not_ask_for_is_told_of(
    server: ScriptedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.reset({"batches": {"takes_s": 60}})
    spec = spec_of(tmp_path, server)
    run(spec, detach=True)
    spec.write_text(spec.read_text().replace("{{ item.q }}", "Please {{ item.q }}"))
    with caplog.at_level(logging.WARNING, "themis"):
        assert ends(run(spec, overrides=ONE_BY_ONE)) == ("completed", 6, 0)
    told = [each.getMessage() for each in caplog.records if "does not ask for" in each.getMessage()]
    (message,) = told
    assert message == (
        "1 batch is open whose answers this spec does not ask for, with 6 requests in all; `themis batches` lists "
        "them, and the spec that asked for them collects them"
    )


def test_an_open_batch_is_reserved_for_before_another_is_submitted(server: ScriptedServer, tmp_path: Path) -> None:
    # A request may cost 0.0065. Of 0.02, an open batch of two takes 0.013, so one more request fits beside it.
    server.reset({"batches": {"takes_s": 1.5}})
    spec = spec_of(tmp_path, server, items=4, batches={"max_requests": 2})
    run(spec, detach=True)
    first, _ = open_batches(spec)
    with closing(opened(spec)) as store:
        store.append([BatchEnded(first.run_id, first.at, first.nonce, "forgotten")])
    result = run(spec, overrides=["project.execution_policy.max_cost=0.02"])
    assert ends(result) == ("completed", 4, 0)
    assert sizes(server)[:3] == [2, 2, 1]


def test_batches_that_do_not_fit_beside_others_at_the_provider_wait_for_these(
    server: ScriptedServer, tmp_path: Path
) -> None:
    errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]
    refusals = ["completed", "failed", "failed", "failed", "completed", "failed", "failed", "completed", "failed"]
    server.reset({"batches": {"ends": refusals, "errors": errors}})
    spec = spec_of(tmp_path, server, items=4, batches={"max_requests": 1, "rounds": 1})
    assert ends(run(spec)) == ("completed", 4, 0)
    assert sizes(server) == [1] * 10


def test_a_batch_that_is_turned_down_for_what_it_holds_is_not_submitted_again_beside_others(
    server: ScriptedServer, tmp_path: Path
) -> None:
    errors = [{"code": "invalid_json_line", "message": "This line is not parseable"}]
    server.reset({"batches": {"ends": ["completed", "failed"], "errors": errors}})
    assert ends(run(spec_of(tmp_path, server, batches={"max_requests": 3}))) == ("failed", 3, 3)
    assert sizes(server) == [3, 3]


def test_a_run_that_asks_one_by_one_waits_for_what_another_left_in_a_batch_meanwhile(
    server: ScriptedServer, tmp_path: Path
) -> None:
    # It is at the first 2 of 12 items while the other run comes, submits the last ones, and goes.
    server.reset({"latency_s": 1.2, "batches": {"takes_s": 8}})
    spec = spec_of(tmp_path, server, items=12, policy={"max_in_flight_work_items": 2})
    of_another = yaml.safe_load(spec.read_text())
    of_another["benchmark"]["slices"][0]["dataset"]["dataset_id"] = "last.jsonl"
    lines = (tmp_path / "items.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "last.jsonl").write_text("".join(lines[8:]))
    (tmp_path / "last.yaml").write_text(yaml.safe_dump(of_another))
    results: list[RunResult] = []
    one_by_one = threading.Thread(target=lambda: results.append(run(spec, overrides=ONE_BY_ONE)))
    one_by_one.start()
    while not asked_one_by_one(server):
        time.sleep(0.02)
    assert run(tmp_path / "last.yaml", detach=True).status == "waiting"
    one_by_one.join(120)
    assert [ends(each) for each in results] == [("completed", 12, 0)]
    assert (asked_one_by_one(server), sizes(server)) == (8, [4])
    assert open_batches(spec) == []


# --- what can't be told, or not yet ----------------------------------------------------------------------------------

UNTOLD = '''
from themis_core import BatchReply, BatchState, Capabilities, Engine, EngineError, Generation, Ticket, hookimpl

SUBMITTED = []
LOOKS = []


class Untold(Engine):
    """A provider in memory that loses tickets, lists late, or sends its callers away."""

    capabilities = Capabilities(batches=True)
    how: str

    async def generate(self, request):
        raise EngineError("bad_request", "asked by itself")

    async def submit(self, nonce, requests):
        SUBMITTED.append([(each.key, each.messages[0]["content"]) for each in requests])
        if self.how == "no name before the end":
            raise EngineError("connection", "lost", retryable=True, unknown_outcome=True)
        return Ticket("b1")

    async def find(self, nonce):
        LOOKS.append(nonce)
        if self.how == "no name before the end":
            raise EngineError("server_error", "it can't be told yet", retryable=True)
        return Ticket("b1") if self.how == "lists late" and len(LOOKS) > 1 else None

    async def collect(self, ticket):
        if self.how == "sends away":
            raise EngineError("rate_limited", "too many looks", retryable=True, retry_after=3600)
        return BatchState("ended", replies=self.replies())

    async def replies(self):
        for key, text in SUBMITTED[-1]:
            yield BatchReply(key, Generation("answered", text))


@hookimpl
def themis_register_engines(register):
    register("untold", Untold)
'''


def untold_spec(folder: Path, server: ScriptedServer, how: str, **batches: Any) -> Path:
    (folder / "untold.py").write_text(UNTOLD)
    model = {"provider": "mine/untold", "extras": {"how": how}}
    spec = spec_of(folder, server, model=model, policy={"max_retries": 1}, batches=batches)
    data = yaml.safe_load(spec.read_text())
    spec.write_text(yaml.safe_dump(data | {"project": data["project"] | {"plugins": {"mine": "./untold.py"}}}))
    return spec


@pytest.mark.parametrize("how", ["no name before the end", "sends away"])
def test_a_detached_run_waits_neither_for_a_lost_ticket_nor_for_a_look(
    server: ScriptedServer, tmp_path: Path, how: str
) -> None:
    spec = untold_spec(tmp_path, server, how)
    left = run(spec, detach=True)
    assert (left.status, left.exit_code) == ("waiting", 75)
    assert "1 batch goes on at Untold with 6 requests" in left.note
    (record,) = open_batches(spec)
    assert (record.ticket is None) == (how == "no name before the end")


@pytest.mark.parametrize(
    ("noted_ago", "known", "batches"),
    [
        # Its provider lists it half a second from now: the intent was noted by a clock that is behind.
        (timedelta(minutes=30), True, [6]),
        # It was never submitted. Nobody waits until the clock has caught up with one that is ahead.
        (timedelta(hours=-1), False, [6, 6]),
    ],
)
def test_clocks_that_differ_neither_give_a_batch_up_too_early_nor_wait_for_ever(
    server: ScriptedServer, tmp_path: Path, noted_ago: timedelta, known: bool, batches: list[int]
) -> None:
    server.reset({"batches": {"hidden_s": 2.5, "takes_s": 2}})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    left = run(spec_of(tmp_path / "one", server), detach=True)
    (record,) = open_batches(tmp_path / "one" / "spec.yaml")
    spec = spec_of(tmp_path / "two", server, batches={"grace_s": 10 if known else 0.1})
    at = (datetime.now(UTC) - noted_ago).isoformat(timespec="microseconds")
    nonce = record.nonce if known else "themis-20260102030405-0"
    with closing(opened(spec)) as store:
        store.append([BatchIntended(left.run_id, at, nonce, record.endpoint, record.model_id, record.keys)])
    assert ends(run(spec)) == ("completed", 6, 0)
    assert sizes(server) == batches
