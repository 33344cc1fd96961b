"""Models that are asked by batches, against the scripted server: what is paid for, kept, tried again and told."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from batch_specs import ends, opened, spec_of

from themis_core import BatchIntended, RunResult, SpecError, plan, run
from themis_core.testing.server import ScriptedServer
from themis_sql.reader import SqlReader


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def server(shared_server: ScriptedServer) -> ScriptedServer:
    shared_server.reset({})
    return shared_server


def kinds(spec: Path) -> list[str]:
    """The events of batches and the number of answers, in the order of the log."""
    with closing(opened(spec)) as store:
        told = [
            each["outcome"] if each["kind"] == "batch_ended" else each["kind"]
            for each in store.events()
            if each["kind"].startswith("batch_")
        ]
        assert [each.nonce for each in store.open_batches()] == [] or told[-1] not in ("ended", "expired")
        return told


def test_answers_come_by_one_batch_and_cost_its_price(server: ScriptedServer, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, server)
    (row,) = plan(spec).per_model
    assert (row["calls"], row["batches"], row["submitted"]) == (6, 1, 0)
    # At half the price: 6 prompts of 5 estimated tokens, and 8 tokens of each answer at most.
    assert row["cost"] == pytest.approx(6 * (5 + 8) * 1000 / 1e6 / 2)
    result = run(spec)
    assert ends(result) == ("completed", 6, 0)
    assert (result.generated, result.reused, result.exit_code) == (6, 0, 0)
    # The server counts 2 tokens of "say n", and 2 of its repetition.
    assert result.cost == pytest.approx(6 * 4 * 1000 / 1e6 / 2)
    assert [len(each["custom_ids"]) for each in server.batches()] == [6]
    assert kinds(spec) == ["batch_intended", "batch_submitted", "ended"]

    again = run(spec)
    assert (again.generated, again.reused, len(server.batches())) == (0, 6, 1)


def test_an_answer_by_batch_is_the_same_answer(server: ScriptedServer, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, server)
    first = run(spec)
    calls = server.count
    without = run(spec, overrides=["project.execution_policy.batches=null"])
    assert (without.run_id, without.reused, server.count) == (first.run_id, 6, calls)


def test_a_detached_run_leaves_its_batch_and_a_later_one_collects_it(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"takes_s": 2}})
    spec = spec_of(tmp_path, server)
    left = run(spec, detach=True)
    assert ends(left) == ("waiting", 0, 0)
    assert left.exit_code == 75
    assert left.note == (
        f"waiting: 1 batch goes on at {server.origin} with 6 requests; run the same command again to collect what they "
        "answer"
    )
    (row,) = plan(spec).per_model
    assert (row["calls"], row["batches"], row["submitted"], row["stored"]) == (0, 0, 6, 0)
    assert ends(run(spec)) == ("completed", 6, 0)
    assert len(server.batches()) == 1


@pytest.mark.parametrize("collected_by", ["shards", "whole"])
def test_shards_submit_their_own_requests_and_collect_them(
    server: ScriptedServer, tmp_path: Path, collected_by: str
) -> None:
    server.reset({"batches": {"takes_s": 1.5}})
    spec = spec_of(tmp_path, server, items=12)
    left = [run(spec, shard=f"{number}/3", detach=True) for number in (1, 2, 3)]
    assert [(each.status, each.exit_code) for each in left] == [("waiting", 75)] * 3
    batches = [each["custom_ids"] for each in server.batches()]
    assert len(batches) == 3
    assert sum(map(len, batches)) == len({name for each in batches for name in each}) == 12
    if collected_by == "shards":
        ended = [run(spec, shard=f"{number}/3") for number in (1, 2, 3)]
        assert [each.status for each in ended] == ["unfinished", "unfinished", "completed"]
        assert ends(ended[-1]) == ("completed", 12, 0)
    else:
        assert ends(run(spec)) == ("completed", 12, 0)
    assert len(server.batches()) == 3
    assert [each.path for each in server.requests() if "completions" in each.path] == []


def test_what_is_in_a_batch_is_asked_in_no_other_way(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"takes_s": 1.5}})
    spec = spec_of(tmp_path, server)
    run(spec, detach=True)
    result = run(spec, overrides=["project.execution_policy.batches=null"])
    assert ends(result) == ("completed", 6, 0)
    assert [each.path for each in server.requests() if "completions" in each.path] == []


def test_another_run_of_the_store_waits_for_the_batch_that_has_its_requests(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.reset({"batches": {"takes_s": 1.5}})
    spec = spec_of(tmp_path, server)
    run(spec, detach=True)
    some = run(spec, limit=2)
    assert ends(some) == ("completed", 2, 0)
    assert len(server.batches()) == 1
    assert ends(run(spec)) == ("completed", 6, 0)
    assert len(server.batches()) == 1, "its own run still collects the rest"


def test_an_expired_batch_keeps_what_was_answered_and_the_rest_goes_into_the_next(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.reset({"batches": {"ends": ["expired"], "answered": 2}})
    spec = spec_of(tmp_path, server)
    assert ends(run(spec)) == ("completed", 6, 0)
    assert [len(each["custom_ids"]) for each in server.batches()] == [6, 4]
    assert kinds(spec) == ["batch_intended", "batch_submitted", "expired", "batch_intended", "batch_submitted", "ended"]


@pytest.mark.parametrize(("leftover", "end"), [("fail", ("failed", 2, 4)), ("ask", ("completed", 6, 0))])
def test_what_no_round_answered_fails_or_is_asked_by_itself(
    server: ScriptedServer, tmp_path: Path, leftover: str, end: tuple[str, int, int]
) -> None:
    server.reset({"batches": {"ends": ["expired", "expired"], "answered": 1}})
    spec = spec_of(tmp_path, server, batches={"rounds": 2, "leftover": leftover})
    result = run(spec)
    assert ends(result) == end
    asked = [each for each in server.requests() if each.path.endswith("completions")]
    assert len(asked) == (4 if leftover == "ask" else 0)
    if leftover == "fail":
        assert list(result.remedies) == ["batch_unanswered"]
        assert ends(run(spec)) == ("completed", 6, 0), "the next run submits them again"


def test_a_cancelled_batch_is_not_submitted_again_by_the_same_run(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"ends": ["cancelled"], "answered": 5}})
    spec = spec_of(tmp_path, server)
    result = run(spec)
    assert ends(result) == ("failed", 5, 1)
    assert "was cancelled" in result.errors["batch_unanswered"]
    assert len(server.batches()) == 1


def test_failed_requests_have_their_codes_and_those_that_may_pass_get_another_round(
    server: ScriptedServer, tmp_path: Path
) -> None:
    faults = [
        {"match": "say 1", "status": 400, "error": {"message": "no such thing", "code": "invalid_value"}},
        {"match": "say 2", "status": 500},
        {"match": "say 3", "status": 400, "error": {"code": "content_filter", "message": "filtered"}},
    ]
    server.reset({"faults": faults})
    spec = spec_of(tmp_path, server, batches={"rounds": 2})
    result = run(spec)
    assert (result.status, result.ledger["answered"], result.ledger["refused"]) == ("failed", 3, 1)
    assert sorted(result.remedies) == ["bad_request", "server_error"]
    assert [len(each["custom_ids"]) for each in server.batches()] == [6, 1]


def test_a_batch_that_is_turned_down_as_a_whole_says_why(server: ScriptedServer, tmp_path: Path) -> None:
    errors = [{"code": "invalid_json_line", "message": "This line is not parseable", "line": 3}]
    server.reset({"batches": {"ends": ["failed"], "errors": errors}})
    result = run(spec_of(tmp_path, server))
    assert ends(result) == ("failed", 0, 6)
    assert result.errors == {"bad_request": "the batch failed: This line is not parseable (line 3)"}


def test_a_batch_that_finds_no_credit_stops_the_run(server: ScriptedServer, tmp_path: Path) -> None:
    errors = [{"code": "billing_hard_limit_reached", "message": "Billing hard limit has been reached"}]
    server.reset({"batches": {"ends": ["failed"], "errors": errors}})
    spec = spec_of(tmp_path, server)
    result = run(spec)
    assert (result.status, result.exit_code, result.ledger["failed"]) == ("stopped", 6, 0)
    assert "Billing hard limit has been reached" in result.note
    assert ends(run(spec)) == ("completed", 6, 0)


def test_two_models_of_one_name_have_a_batch_each_and_are_read_as_each_of_them_is(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.reset({"answers": {"rule": "constant", "output": "<think>so</think>say 0"}, "batches": {"takes_s": 1.5}})
    other = {
        "model_id": "thinks",
        "model": "m",
        "provider": "openai/chat",
        "extras": {"base_url": server.base_url, "api_key_env": None, "reasoning_tag": "think"},
    }
    spec = spec_of(tmp_path, server, items=1, models=[other])
    run(spec, detach=True)
    result = run(spec)
    assert {row.model_id: row.value for row in result.scores} == {"m": 0.0, "thinks": 1.0}
    assert len(server.batches()) == 2


def test_too_many_waiting_tokens_have_the_batch_submitted_again(server: ScriptedServer, tmp_path: Path) -> None:
    errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]
    server.reset({"batches": {"ends": ["failed"], "errors": errors}})
    assert ends(run(spec_of(tmp_path, server))) == ("completed", 6, 0)
    assert len(server.batches()) == 2


@pytest.mark.parametrize("lost", [{"dropped": 1}, {"dropped": 1, "hidden_s": 0.3}])
def test_a_batch_whose_ticket_was_lost_on_the_wire_is_found(
    server: ScriptedServer, tmp_path: Path, lost: dict[str, Any]
) -> None:
    server.reset({"batches": lost})
    assert ends(run(spec_of(tmp_path, server, batches={"grace_s": 3}))) == ("completed", 6, 0)
    assert len(server.batches()) == 1


def test_a_provider_that_does_not_take_the_batch_is_asked_again(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"refused": 2}})
    assert ends(run(spec_of(tmp_path, server))) == ("completed", 6, 0)
    assert len(server.batches()) == 1


def test_batches_are_no_larger_than_they_may_be(server: ScriptedServer, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, server, items=7, batches={"max_requests": 3})
    assert plan(spec).per_model[0]["batches"] == 3
    assert ends(run(spec)) == ("completed", 7, 0)
    assert [len(each["custom_ids"]) for each in server.batches()] == [3, 3, 1]


def test_max_cost_is_reserved_before_a_batch_is_submitted(server: ScriptedServer, tmp_path: Path) -> None:
    # A request may cost 0.0065 (5 and 8 tokens at half of 0.001), so three are within 0.02. They cost 0.002 each.
    spec = spec_of(tmp_path, server, policy={"max_cost": 0.02})
    result = run(spec)
    assert ends(result) == ("completed", 6, 0)
    sizes = [len(each["custom_ids"]) for each in server.batches()]
    assert (sizes[0], sum(sizes)) == (3, 6)
    assert result.cost == pytest.approx(0.012)


def test_max_calls_counts_the_requests_of_batches(server: ScriptedServer, tmp_path: Path) -> None:
    result = run(spec_of(tmp_path, server, policy={"max_calls": 4}))
    assert (result.status, result.exit_code) == ("stopped", 6)
    assert [len(each["custom_ids"]) for each in server.batches()] == [4]


def test_two_runs_at_the_same_time_submit_no_request_twice(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"takes_s": 1}})
    spec = spec_of(tmp_path, server, items=30)
    results: dict[int, RunResult] = {}
    threads = [threading.Thread(target=lambda n=n: results.update({n: run(spec, limit=n)})) for n in (20, 30)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {n: ends(each) for n, each in results.items()} == {20: ("completed", 20, 0), 30: ("completed", 30, 0)}
    asked = [key for each in server.batches() for key in each["custom_ids"]]
    assert len(asked) == len(set(asked)) == 30


def test_models_that_are_asked_call_by_call_wait_for_no_batch(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"takes_s": 60}})
    other = {
        "model_id": "other",
        "provider": "openai/chat",
        "extras": {"base_url": server.base_url, "api_key_env": None},
    }
    spec = spec_of(tmp_path, server, models=[other], batches={"models": ["m"]})
    result = run(spec, detach=True)
    assert ends(result) == ("waiting", 6, 0)
    assert {row.model_id: row.n for row in result.scores} == {"other": 6}


@pytest.mark.parametrize(
    ("batches", "more", "problem"),
    [
        ({"models": ["n"]}, {}, "no model 'n'; there are m."),
        ({}, {"model": {"provider": "replay/file", "extras": {"path": "x.jsonl"}}}, "takes no batches"),
        (
            {},
            {"policy": {"max_cost": 1}, "model": {"price": {"input_per_million": 1, "output_per_million": 1}}},
            "`batch`",
        ),
        (
            {},
            {
                "benchmark": {
                    "prompt_variants": [
                        {
                            "id": "p",
                            "messages": [{"role": "user", "content": "a"}],
                            "follow_ups": [{"role": "user", "content": "b"}],
                        }
                    ]
                }
            },
            "talks with m in several turns",
        ),
    ],
)
def test_what_batches_can_not_do_is_refused_before_the_first_call(
    server: ScriptedServer, tmp_path: Path, batches: dict[str, Any], more: dict[str, Any], problem: str
) -> None:
    (tmp_path / "x.jsonl").write_text("")
    spec = spec_of(tmp_path, server, batches=batches, **more)
    with pytest.raises(SpecError, match=r"spec\.yaml") as caught:
        run(spec)
    assert problem in str(caught.value)
    assert server.count == 0


def test_an_interrupt_leaves_the_batch_at_its_provider(server: ScriptedServer, tmp_path: Path) -> None:
    server.reset({"batches": {"takes_s": 6}})
    spec = spec_of(tmp_path, server, batches={"poll_s": 60})
    # A check in the background ignores SIGINT, and a run leaves ignored what was.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", f"{listening}from themis_core.cli import main; main()", "run", str(spec)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not [each for each in server.requests() if each.path.startswith("/v1/batches/")]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 130, said
    told = f"1 batch goes on at {server.origin} with 6 requests; run the same command again, which collects"
    assert told in said
    assert ends(run(spec)) == ("completed", 6, 0)
    assert len(server.batches()) == 1


STRANGE = '''
import os
from themis_core import BatchReply, BatchState, Capabilities, Engine, EngineError, Generation, Ticket, hookimpl

KEYS = []


class Strange(Engine):
    """A provider in memory, which does one thing wrong."""

    capabilities = Capabilities(batches=True)
    how: str = "sound"

    async def generate(self, request):
        raise EngineError("bad_request", "asked by itself")

    async def submit(self, nonce, requests):
        if self.how == "no ticket":
            return {"id": "b1"}
        if self.how == "raises":
            raise ZeroDivisionError("oops")
        KEYS[:] = [(each.key, each.messages[0]["content"]) for each in requests]
        for each in requests:
            each.messages.clear()
        return Ticket("b1")

    async def find(self, nonce):
        if self.how == "untold":
            raise EngineError("server_error", "it can't be told yet", retryable=True)
        return None

    async def collect(self, ticket):
        if self.how == "no state":
            return None
        return BatchState("ended", replies=self.replies())

    async def replies(self):
        for number, (key, text) in enumerate(KEYS):
            if self.how == "failed answers":
                yield BatchReply(key, Generation("failed", error_code="bad_request", error="no"))
            elif self.how == "no replies":
                yield "not a reply"
            elif self.how == "ill-typed answer" and not number:
                yield BatchReply(key, Generation("answered", text=7))
            else:
                yield BatchReply(key, Generation("answered", text))
                yield BatchReply(key, Generation("answered", "again"))
                yield BatchReply("0" * 64, Generation("answered", "whose?"))


@hookimpl
def themis_register_engines(register):
    register("strange", Strange)
'''


@pytest.mark.parametrize(
    ("how", "end", "told"),
    [
        ("sound", ("completed", 6, 0), ""),
        ("failed answers", ("failed", 0, 6), "no"),
        ("ill-typed answer", ("failed", 5, 1), "Generation.text"),
        ("no ticket", ("failed", 0, 6), "not a Ticket"),
        ("raises", ("failed", 0, 6), "ZeroDivisionError: oops"),
        ("no state", ("stopped", 0, 0), "not a BatchState"),
        ("no replies", ("stopped", 0, 0), "not a BatchReply"),
    ],
)
def test_what_a_strangers_engine_does_wrong_costs_its_requests_or_stops_and_is_told(
    server: ScriptedServer, tmp_path: Path, how: str, end: tuple[str, int, int], told: str
) -> None:
    result = run(strange_spec(tmp_path, server, how))
    assert ends(result) == end
    assert told in result.note + "".join(result.errors.values())


def strange_spec(folder: Path, server: ScriptedServer, how: str) -> Path:
    (folder / "strange.py").write_text(STRANGE)
    model = {"provider": "mine/strange", "extras": {"how": how}}
    spec = spec_of(folder, server, model=model, policy={"max_retries": 1})
    data = yaml.safe_load(spec.read_text())
    spec.write_text(yaml.safe_dump(data | {"project": data["project"] | {"plugins": {"mine": "./strange.py"}}}))
    return spec


def test_a_detached_run_does_not_wait_for_a_provider_that_can_not_tell_yet(
    server: ScriptedServer, tmp_path: Path
) -> None:
    spec = strange_spec(tmp_path, server, "untold")
    at = "2026-01-02T03:04:05.000006+00:00"
    intended = BatchIntended("killed", at, "themis-20260102030405-0", "Strange", "m", ("a" * 64,))
    with closing(opened(spec)) as store:
        store.append([intended])
    assert ends(run(spec, detach=True)) == ("completed", 6, 0)
    with closing(opened(spec)) as store:
        assert [each.nonce for each in store.open_batches()] == [intended.nonce], "it may be there, so it stays open"


def test_looking_for_open_batches_reads_no_log(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise AssertionError("the log of a large store takes long to read")

    monkeypatch.setattr(SqlReader, "events", refused)
    spec = spec_of(tmp_path, server)
    assert ends(run(spec)) == ("completed", 6, 0)
    assert plan(spec).stored == 6
