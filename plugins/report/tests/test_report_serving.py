"""Who may ask the server of `themis view`, and what it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from socket import create_connection
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

import themis_core as themis
from themis_core import RunRecord, StorageError
from themis_core.cli import cli
from themis_plugin_report import gathering, serving
from themis_plugin_report import shelf as shelf_module
from themis_plugin_report.shelf import Shelf


@pytest.fixture(scope="module")
def address(spec: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "themis_core", "view", "--spec", str(spec)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert said == ""


@pytest.fixture
def site(spec: Path) -> Iterator[serving.Site]:
    with closing(Shelf(spec, None)) as shelf, closing(serving.Site(spec, None, shelf)) as made:
        yield made


def ask(address: str, path: str = "", method: str = "GET", **headers: str) -> tuple[HTTPResponse, str]:
    parts = urlsplit(address)
    assert parts.port is not None
    connection = HTTPConnection("127.0.0.1", parts.port, timeout=30)
    target = path if path.startswith("/") else f"{parts.path}{path}"
    connection.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply, text


def test_the_address_is_of_this_machine_and_has_a_token(address: str) -> None:
    parts = urlsplit(address)
    assert (parts.scheme, parts.hostname) == ("http", "127.0.0.1")
    assert len(parts.path) == 24
    reply, text = ask(address)
    assert (reply.status, "counts-" in text) == (200, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example:80"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
    ],
)
def test_other_names_and_other_pages_are_refused(headers: dict[str, str], status: int, address: str) -> None:
    assert ask(address, **headers)[0].status == status


@pytest.mark.parametrize("path", ["/", "/x/", "/run", "//", "/%2e%2e/etc/passwd"])
def test_without_its_token_nothing_is_served(path: str, address: str) -> None:
    reply, text = ask(address, path)
    assert (reply.status, "counts" in text) == (404, False)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_only_reads(method: str, address: str) -> None:
    assert ask(address, method=method)[0].status == 405


def test_every_answer_has_the_policy_and_is_kept_by_nobody(address: str) -> None:
    reply, _ = ask(address)
    assert "default-src 'none'; script-src 'sha256-" in str(reply.headers["content-security-policy"])
    assert {name: reply.headers[name] for name in ("x-content-type-options", "referrer-policy", "cache-control")} == {
        "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store",
    }  # fmt: skip


def test_results_come_by_pages_and_searches(address: str, run_id: str) -> None:
    _, all_of_them = ask(address, f"api/results?id={run_id}&shown=all&page=0")
    _, later = ask(address, f"api/results?id={run_id}&shown=all&page=1")
    _, searched = ask(address, f"api/results?id={run_id}&search=no+idea&page=0")
    assert (json.loads(all_of_them)["total"], json.loads(later)) == (8, {"groups": [], "total": 8})
    found = json.loads(searched)
    assert (found["total"], found["more"], found["stopped"]) == (1, False, False)
    assert found["groups"][0]["item"]["id"] == "days"


def test_a_run_that_is_named_twice_is_served_once(address: str, run_id: str) -> None:
    twice = f"id={run_id[:-1]}&id={run_id}"
    assert ask(address, f"run?{twice}")[0].status == 200
    told = json.loads(ask(address, f"api/progress?{twice}")[1])
    assert (told["planned"], told["trials"]) == (8, 8)
    assert [[each["kind"] for each in verdicts] for verdicts in told["verdicts"]] == [["said", "missed", "missed"]]


def test_a_search_that_takes_too_long_is_stopped_and_says_so(
    site: serving.Site, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "LONGEST_SEARCH_S", -1.0)
    assert site.find([run_id], {"search": "pens"}) == {"groups": [], "total": 0, "more": False, "stopped": True}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("run?id=nothing-like-it", 404),
        ("api/results?id=counts&shown=everything", 400),
        ("api/results?id=counts&page=x", 400),
        ("api/alike?id=counts", 400),
        ("api/alike?id=counts&n=999", 200),
        ("api/results?id=counts&system=99&scorer=99&slice=nowhere", 200),
    ],
)
def test_what_can_t_be_answered_is_refused_and_the_server_goes_on(
    path: str, status: int, address: str, run_id: str
) -> None:
    assert ask(address, path.replace("id=counts", f"id={run_id}"))[0].status == status
    assert ask(address)[0].status == 200


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("results?page=99999999999999999999", "page: '99999999999999999999' is no whole number of up to 9 digits"),
        ("results?page=-1", "page: '-1' is no whole number of up to 9 digits"),
        ("results?system=1.5", "system: '1.5' is no whole number of up to 9 digits"),
        ("results?scorer=1e400", "scorer: '1e400' is no whole number of up to 9 digits"),
        ("results?shown=half", "shown: 'half' is none of all, failed, wrong, right, unparsed, unscored, flipped"),
        ("results?metadata=7", 'metadata: \'7\' is no JSON list of two texts, such as ["level", "a"]'),
        ("results?metadata=[1]", 'metadata: \'[1]\' is no JSON list of two texts, such as ["level", "a"]'),
        (
            f"results?metadata={'[' * 20000}",
            f'metadata: \'{"[" * 60}\' is no JSON list of two texts, such as ["level", "a"]',
        ),
        ("alike?n=99999999999999999999", "n: '99999999999999999999' is no whole number of up to 9 digits"),
        ("alike?", "n: the number of a result is missing"),
    ],
)
def test_a_wrong_parameter_is_told_in_words(asked: str, said: str, address: str, run_id: str) -> None:
    reply, text = ask(address, f"api/{asked}&id={run_id}")
    assert (reply.status, text) == (400, said)


@pytest.mark.parametrize("line", ["OPTIONS *", "GET abc", "GET *"])
def test_a_path_of_no_kind_is_refused_before_it_can_fail(line: str, address: str) -> None:
    port = urlsplit(address).port
    with create_connection(("127.0.0.1", port or 0), timeout=30) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] in (b"404", b"400")


def test_what_is_kept_of_a_run_that_goes_on_is_never_shown_once_it_has_ended(
    spec: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "SHARE", 1e9)
    monkeypatch.setattr(shelf_module, "PATIENCE_S", 60)
    states: list[RunRecord] = []
    with closing(Shelf(spec, None)) as shelf:
        monkeypatch.setattr(gathering, "runs_of", lambda results, ids: states[-1:])
        with themis.open_results(spec) as results:
            ended = results.run(run_id)
        seen = []
        for state in (
            replace(ended, status="running", finished_at=None, trials=6),
            replace(ended, status="running", finished_at=None, trials=7),
            replace(ended, trials=7),
            ended,
            ended,
        ):
            states.append(state)
            made = shelf.told_of([state])
            assert made is not None
            seen.append((made.runs[0].status, made.runs[0].trials, made.whole))
    expected = [("running", 6), ("running", 6), ("failed", 7), ("failed", 8), ("failed", 8)]
    assert seen == [(*each, True) for each in expected]


@pytest.fixture
def slow(site: serving.Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, Event]]:
    """Two events that reading waits for: before the numbers, and before single results."""
    numbers, singles = Event(), Event()

    def waiting_for(event: Event, made: Any) -> Any:
        def wait(*given: Any) -> Any:
            assert event.wait(60)
            return made(*given)

        return wait

    monkeypatch.setattr(shelf_module, "numbers_of", waiting_for(numbers, shelf_module.numbers_of))
    monkeypatch.setattr(shelf_module, "with_singles", waiting_for(singles, shelf_module.with_singles))
    monkeypatch.setattr(shelf_module, "PATIENCE_S", 0.01)
    yield numbers, singles
    numbers.set()
    singles.set()


def test_a_page_does_not_wait_until_a_large_run_is_read(
    site: serving.Site, run_id: str, slow: tuple[Event, Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers, singles = slow
    assert f"{run_id}" in site.runs()
    page = site.page([run_id])
    assert ('http-equiv="refresh"' in page, "8 of 8 trials" in page) == (True, True)
    assert site.find([run_id], {}) == {"groups": [], "total": 0, "reading": True}
    numbers.set()
    monkeypatch.setattr(shelf_module, "PATIENCE_S", 0.01)
    while 'http-equiv="refresh"' in (page := site.page([run_id])):
        pass
    assert ('id="table-scores"' in page, 'id="reading"' in page) == (True, True)
    told = site.progress([run_id])
    assert (told["whole"], told["told"], bool(told["scores"])) == (False, None, True)
    singles.set()
    monkeypatch.setattr(shelf_module, "PATIENCE_S", 60)
    page = site.page([run_id])
    assert ('id="table-scores"' in page, 'id="reading"' in page) == (True, False)
    assert (site.progress([run_id])["whole"], site.find([run_id], {})["total"]) == (True, 8)


def test_what_is_being_read_does_not_hold_up_the_end(
    spec: Path, run_id: str, slow: tuple[Event, Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "CLOSES_S", 0.01)
    shelf = Shelf(spec, None)
    with themis.open_results(spec) as results:
        assert shelf.told_of([results.run(run_id)]) is None
    shelf.close()
    assert not slow[0].is_set()
    with pytest.raises(RuntimeError, match="shutdown"), themis.open_results(spec) as results:
        shelf.told_of([replace(results.run(run_id), run_id="another")])


def test_what_fails_while_it_is_read_is_told_and_tried_again(
    site: serving.Site, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("the store is busy")

    with monkeypatch.context() as patched:
        patched.setattr(shelf_module, "with_singles", fail)
        with pytest.raises(StorageError, match="busy"):
            site.page([run_id])
    assert 'id="table-scores"' in site.page([run_id])


def test_a_long_search_holds_up_no_page(spec: Path, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = Event(), Event()
    found = serving.Site._searched

    def searched(*given: Any) -> Any:
        begun.set()
        assert may_end.wait(60)
        return found(*given)

    monkeypatch.setattr(serving.Site, "_searched", searched)
    app = serving.application(spec, None, "token", ["testserver"])
    with TestClient(app) as client, ThreadPoolExecutor(1) as other:
        searching = other.submit(client.get, f"/token/api/results?id={run_id}&search=pens&page=0")
        assert begun.wait(60)
        assert client.get(f"/token/run?id={run_id}").status_code == 200
        assert client.get(f"/token/api/results?id={run_id}&page=0").json()["total"] == 8
        assert not searching.done()
        may_end.set()
        assert searching.result(60).status_code == 200


def test_groups_that_were_asked_for_are_on_each_page_and_what_can_not_be_had_is_a_note(spec: Path, run_id: str) -> None:
    def page(*by: str) -> str:
        app = serving.application(spec, None, "token", ["testserver"], gathering.Wanted(by))
        with TestClient(app) as client:
            return client.get(f"/token/run?id={run_id}").text

    asked = page("prompt")
    assert ("by prompt" in asked, "by level" in asked, "Not as asked for" in asked) == (True, False, False)
    lacking = page("metadata.nothing")
    assert "Not as asked for: " in lacking
    assert 'id="table-scores"' in lacking


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--by", "metadata.nothing"), "nothing"),
        (("--label", "human"), "has no score by a judge"),
        (("--threshold", "1"), "add --label NAME"),
    ],
)
def test_what_a_named_run_lacks_is_told_before_anything_is_served(
    spec: Path, run_id: str, options: tuple[str, ...], said: str
) -> None:
    done = CliRunner().invoke(cli, ["view", run_id, "--spec", str(spec), *options])
    assert (done.exit_code, said in done.stderr) == (2, True), done.output
