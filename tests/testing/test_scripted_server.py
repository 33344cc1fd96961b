"""The scripted model server: what it answers, how it fails, what its ledger says."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from themis_core.testing.script import Fault, Script
from themis_core.testing.server import ScriptedServer


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def server(running: ScriptedServer) -> ScriptedServer:
    running.reset({})
    return running


def post(server: ScriptedServer, body: dict[str, Any], path: str = "/chat/completions") -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection(server.origin.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", "/v1" + path, json.dumps(body), {"X-Test": "1"})
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


def chat(text: str) -> dict[str, Any]:
    return {"model": "small-1", "messages": [{"role": "user", "content": text}]}


def test_the_ledger_has_every_request(server: ScriptedServer) -> None:
    server.reset({"faults": [{"at": 2, "status": 500}]})
    assert [post(server, chat(text))[0] for text in "ab"] == [200, 500]
    first, second = server.requests()
    assert (first.ordinal, first.path, first.model, first.prompt) == (1, "/v1/chat/completions", "small-1", "a")
    assert (first.body, first.messages, first.headers["x-test"]) == (chat("a"), chat("a")["messages"], "1")
    assert (first.status, second.status) == (200, 500)
    assert first.finished is not None
    assert first.started <= first.finished <= second.started <= time.monotonic()
    assert (server.count, server.peak) == (2, 1)


def test_a_reset_empties_the_ledger_and_keeps_the_script(server: ScriptedServer) -> None:
    server.reset({"faults": [{"at": 1, "status": 500}]})
    post(server, chat("a"))
    server.reset()
    assert server.count == 0
    assert [post(server, chat("a"))[0] for _ in range(2)] == [500, 200]


def test_a_text_completion_echoes_its_prompt(server: ScriptedServer) -> None:
    status, _, body = post(server, {"model": "m", "prompt": "once upon", "n": 2}, "/completions")
    assert status == 200
    assert [choice["text"] for choice in body["choices"]] == ["once upon", "once upon"]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}


def test_models_are_those_of_the_table(server: ScriptedServer) -> None:
    server.reset({"answers": {"rule": "table", "rows": [{"model": "m", "prompt": "a", "output": "b"}]}})
    connection = http.client.HTTPConnection(server.origin.removeprefix("http://"), timeout=10)
    connection.request("GET", "/v1/models")
    assert json.loads(connection.getresponse().read()) == {"object": "list", "data": [{"id": "m", "object": "model"}]}
    connection.close()


def test_the_bucket_lets_its_capacity_through_and_then_its_rate(server: ScriptedServer) -> None:
    server.reset({"bucket": {"rate": 4, "capacity": 3}})
    statuses, headers = [], None
    for _ in range(4):
        status, headers, _ = post(server, chat("a"))
        statuses.append(status)
    assert statuses == [200, 200, 200, 429]
    assert headers is not None
    assert headers["Retry-After"] == "1"
    assert 0 < int(headers["retry-after-ms"]) <= 250
    time.sleep(0.3)
    assert post(server, chat("a"))[0] == 200


def test_latency_is_kept_and_requests_overlap(server: ScriptedServer) -> None:
    server.reset({"latency_s": 0.1})
    post(server, chat("a"))
    (served,) = server.requests()
    assert served.finished is not None
    assert served.finished - served.started == pytest.approx(0.1, abs=0.09)


@pytest.mark.parametrize(
    ("fault", "ordinals"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"at": 2}, [2]),
        ({"at": [1, 4]}, [1, 4]),
        ({"every": 3}, [3, 6]),
        ({"first": 2}, [1, 2]),
        ({"match": "p5"}, [5]),
        ({"every": 2, "first": 3}, [2]),
    ],
)
def test_a_fault_applies_to_the_requests_it_names(
    fault: dict[str, Any], ordinals: list[int], server: ScriptedServer
) -> None:
    server.reset({"faults": [{"status": 503, **fault}]})
    statuses = [post(server, chat(f"p{ordinal}"))[0] for ordinal in range(1, 7)]
    assert [index for index, status in enumerate(statuses, 1) if status == 503] == ordinals


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"latency": 1}, "a script has no latency; it has answers, api_key, batches, bucket"),
        ({"faults": [{"stat": 1}]}, "a fault has no stat"),
        ({"answers": {"rule": "judge", "row": []}}, "the rule judge has no row"),
        ({"answers": {"rule": "random"}}, "no rule 'random': echo, constant, table or judge"),
    ],
)
def test_a_script_that_makes_no_sense_is_refused(script: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ScriptedServer(script).start()


def test_a_judge_repeats_what_it_found_in_the_request(server: ScriptedServer) -> None:
    rows = [
        {"pattern": "Paris", "model": "m", "again": False, "output": "yes {tag}"},
        {"again": True, "output": {"content": "again {tag}", "finish_reason": "length"}},
    ]
    find = {"tag": r"tag=(\w+)", "said": "(?s)^(.*) tag"}
    server.reset({"answers": {"rule": "judge", "find": find, "rows": rows, "output": "{said} is {said.json} {other}"}})
    first = {"role": "user", "content": "Paris tag=ab12"}
    asked = [
        ("m", [first]),
        ("n", [first]),
        ("m", [{"role": "user", "content": 'a "b"\n tag=c'}]),
        ("m", [first, {"role": "assistant", "content": "?"}, {"role": "user", "content": "Again."}]),
    ]
    said = [post(server, {"model": model, "messages": messages})[2]["choices"][0] for model, messages in asked]
    assert [(each["message"]["content"], each["finish_reason"]) for each in said] == [
        ("yes ab12", "stop"), ('Paris is "Paris" {other}', "stop"), ('a "b"\n is "a \\"b\\"\\n" {other}', "stop"),
        ("again ab12", "length"),
    ]  # fmt: skip


def test_the_process_ends_with_its_owner_and_stops_once() -> None:
    server = ScriptedServer(cpu=min(os.sched_getaffinity(0))).start()
    assert post(server, chat("a"))[0] == 200
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        post(server, chat("a"))


def test_it_serves_in_the_foreground_until_its_input_ends() -> None:
    command = [sys.executable, "-m", "themis_core.testing.server"]
    ran = subprocess.run(command, input="{}\n", capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(ran.stdout)["origin"].startswith("http://127.0.0.1:")


def test_a_fault_is_plain_by_default() -> None:
    assert Fault.from_dict({"at": 3}) == Fault(at=(3,))
    assert Script().latency_s == 0
