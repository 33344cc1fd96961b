"""Secrets in every place that may hold one, looked for in everything that a run leaves or says."""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import zstandard
from lab.benchmark import Benchmark, make_benchmark
from lab.checking import opened
from lab.workers import Workers

from themis_core.testing.server import ScriptedServer

Figures = Callable[..., None]
HEADERS = 9
ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda secret: secret,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    "hex": lambda secret: secret.encode().hex(),
    "URL": lambda secret: quote(secret, safe=""),
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "backwards": lambda secret: secret[::-1],
}


def secrets_of(kind: str, count: int) -> list[str]:
    """Texts that occur nowhere by chance; some with signs that encodings change."""
    return [f"canary{kind}{number}" + ("/+=%" if number % 2 else "Zq") + f"7f3a{number:04d}" for number in range(count)]


@pytest.fixture(scope="module")
def told(
    session_workers: Workers, tmp_path_factory: pytest.TempPathFactory, count: Callable[[int, int], int]
) -> dict[str, bytes]:
    """Everything that runs with secrets left or said, by sink; the secrets are in `secrets`."""
    keys, headers = secrets_of("key", count(10, 2)), secrets_of("header", HEADERS)
    bystander, passwords = secrets_of("env", 1), secrets_of("password", 2)
    folder = tmp_path_factory.mktemp("secrets")
    sinks: dict[str, bytes] = {}
    with ScriptedServer() as server:
        for number, key in enumerate(keys):
            server.reset(script(number, key))
            benchmark = with_secrets(folder / str(number), server.base_url)
            environment = {"CHAOS_KEY": key, "CHAOS_BYSTANDER": bystander[0]}
            environment |= {f"CHAOS_HEADER_{index}": header for index, header in enumerate(headers)}
            worker = session_workers.start(benchmark, environment=environment, arguments=("--format", "json"))
            assert worker.wait() in (0, 5), worker.said
            assert server.requests()[0].headers["authorization"] == f"Bearer {key}", "it was in use"
            sinks |= sinks_of(benchmark, number)
            if number < count(5, 1):  # one of each script
                sinks[f"{number} commands"] = shown(benchmark, environment)
        for number, password in enumerate(passwords):
            sinks |= through_a_proxy(session_workers, folder / f"proxy {number}", server, password, number)
    sinks["secrets"] = json.dumps([*keys, *headers, *bystander, *passwords]).encode()
    return sinks


def through_a_proxy(
    workers: Workers, folder: Path, proxy: ScriptedServer, password: str, number: int
) -> dict[str, bytes]:
    """Sinks of a run whose proxy refuses the password and repeats it: as it is, in Basic form, in its URL."""
    pair = base64.b64encode(f"someone:{password}".encode()).decode()
    said = {"message": f"no entry for someone:{password} ({pair}) of {quote(password, safe='')}"}
    proxy.reset({"faults": [{"status": 407, "error": said}]})
    benchmark = make_benchmark(
        folder,
        "http://models.invalid/v1",
        trials=5,
        policy={"max_retries": 0},
        extras={"api_key_env": None, "trust_env": True},
    )
    url = f"http://someone:{quote(password, safe='')}@{proxy.origin.removeprefix('http://')}"
    environment = {"http_proxy": url, "no_proxy": ""}
    worker = workers.start(benchmark, environment=environment, arguments=("--format", "json"))
    assert worker.wait() == 5, worker.said
    assert proxy.requests()[0].headers["proxy-authorization"] == f"Basic {pair}", "it was in use"
    found = sinks_of(benchmark, number) | {"commands": shown(benchmark, environment)}
    return {f"proxy {name}": data for name, data in found.items()}


def script(number: int, key: str) -> dict[str, object]:
    """Servers that accept the key, refuse it and repeat it in their error, say it in headers or in a page."""
    said = {"message": f"key {key} of {base64.b64encode(key.encode()).decode()}", "type": "x", "code": None}
    faults = [
        [],
        [{"every": 2, "status": 500, "echo_authorization": True}],
        [{"every": 2, "status": 401, "error": said, "echo_authorization": True}],
        [{"every": 2, "status": 400, "error": said}],
        [{"every": 2, "status": 200, "body": f"<html>Authorization: Bearer {key}</html>"}],
    ]
    return {"faults": faults[number % len(faults)]}


def with_secrets(folder: Path, base_url: str) -> Benchmark:
    headers = {f"X-Secret-{index}": f"CHAOS_HEADER_{index}" for index in range(HEADERS)}
    return make_benchmark(
        folder,
        base_url,
        trials=20,
        policy={"max_retries": 0},
        extras={"api_key_env": "CHAOS_KEY", "headers_env": headers},
    )


def sinks_of(benchmark: Benchmark, number: int) -> dict[str, bytes]:
    """The files of the store (payloads unpacked as well), what was printed."""
    files = [each for each in benchmark.folder.rglob("*") if each.is_file() and each.name != "items.jsonl"]
    found = {f"{number} {each.relative_to(benchmark.folder)}": each.read_bytes() for each in files}
    for each in (benchmark.folder / "store").rglob("*.zst"):
        found[f"{number} {each.name}, unpacked"] = zstandard.ZstdDecompressor().decompress(each.read_bytes())
    with closing(sqlite3.connect(benchmark.folder / "store" / "themis.sqlite3")) as connection:
        for encoding, body in connection.execute("SELECT encoding, body FROM events"):
            text = zstandard.ZstdDecompressor().decompress(body) if encoding else body
            found[f"{number} events"] = found.get(f"{number} events", b"") + text
    return found


def shown(benchmark: Benchmark, environment: dict[str, str]) -> bytes:
    """What the commands print about the run, for people and for programs."""
    spec = str(benchmark.spec)
    with opened(benchmark) as store:
        (run,) = store.runs()
        trial = next(store.trial_rows(run.run_id)).trial_id
    commands = (
        ["runs", "--spec", spec],
        ["show", "run", run.run_id, "--spec", spec],
        ["show", "trial", run.run_id, trial, "--spec", spec],
        ["plan", spec],
    )
    said = b""
    for command in commands:
        for form in ("text", "json"):
            start = [sys.executable, "-c", "from themis_core.cli import main; main()"]
            done = subprocess.run(
                [*start, *command, "--format", form], capture_output=True, env={**os.environ, **environment}
            )
            assert done.returncode == 0, done.stderr
            said += done.stdout + done.stderr
    return said


def test_no_secret_is_in_anything_that_a_run_leaves_or_says(told: dict[str, bytes], figures: Figures) -> None:
    secrets = json.loads(told["secrets"])
    leaks, looked = leaks_in({name: data for name, data in told.items() if name != "secrets"}, secrets)
    assert leaks == []
    figures(secrets=len(secrets), sinks=len(told) - 1, encodings=len(ENCODINGS), searches=looked, found=0)


def test_a_planted_secret_is_found_in_every_encoding(told: dict[str, bytes]) -> None:
    secrets = json.loads(told["secrets"])
    sinks = {name: f"before {encode(secrets[1])} after".encode() for name, encode in ENCODINGS.items()}
    leaks, _ = leaks_in(sinks, secrets)
    assert {leak.partition(":")[0] for leak in leaks} == set(ENCODINGS)


def leaks_in(sinks: dict[str, bytes], secrets: list[str]) -> tuple[list[str], int]:
    """Every sink that holds a secret in some encoding, and the number of searches."""
    forms = [(name, form(secret).encode(), secret) for secret in secrets for name, form in ENCODINGS.items()]
    any_form = re.compile(b"|".join(re.escape(form) for _, form, _ in forms))
    found = []
    for sink, data in sinks.items():
        for match in any_form.findall(data):
            encoding, _, secret = next(each for each in forms if each[1] == match)
            found.append(f"{sink}: {secret} as {encoding}")
    return found, len(sinks) * len(forms)
