"""Runs every case in its own process, prints the figures with their ratios, writes them to docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def case(*arguments: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.cases", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def replay() -> list[str]:
    bare, themis = case("replay-bare"), case("replay-themis")
    assert bare["result"] == themis["result"] == 2001, "both find what was published"
    return [
        "| replay, 5,276 trials | CPU s | wall s | CPU, ratio to bare | aim |",
        "|---|---|---|---|---|",
        f"| bare loop | {bare['cpu']:.2f} | {bare['wall']:.2f} | 1 | |",
        f"| themis | {themis['cpu']:.2f} | {themis['wall']:.2f} | {themis['cpu'] / bare['cpu']:.1f} | 4 |",
    ]


def http(quick: bool) -> list[str]:
    rows = [
        "| HTTP, 64 in flight | client | CPU ms a trial | wall s | peak MB | CPU, ratio to aiohttp |",
        "|---|---|---|---|---|---|",
    ]
    for count, latency in ((2000, 50), (5000, 0)) if quick else ((2000, 50), (5000, 0), (20000, 0)):
        base = 0.0
        for client in ("aiohttp", "httpx", "themis"):
            if client == "httpx" and count > 5000:
                continue
            got = case("http", client, str(count), str(latency))
            base = base or got["cpu"]
            rows.append(
                f"| {count:,} at {latency} ms | {client} | {1000 * got['cpu'] / count:.2f} | {got['wall']:.2f} "
                f"| {got['rss']:.0f} | {got['cpu'] / base:.1f} |"
            )
    return rows


def cold_start() -> list[str]:
    spec = str(ROOT / "examples" / "quickstart.yaml")
    with tempfile.TemporaryDirectory() as folder:
        stored = ["run", spec, "--set", f"project.storage.root_dir={folder}"]
        rows = ["| cold start, median of 5 | wall s | aim |", "|---|---|---|"]
        rows.append(f"| `themis --help` | {median(['--help']):.2f} | 0.2 |")
        one = [
            median([*stored, "--limit", "1", "--model", "small", "--set", f"num_samples={i}"], 1) for i in range(1, 6)
        ]
        rows.append(f"| one item from start to exit (4 trials) | {statistics.median(one):.2f} | 0.6 |")
        thousand = [*stored, "--set", "num_samples=7"]
        median(thousand, 1)
        rows.append(f"| re-run of 1,120 stored trials | {median(thousand):.2f} | 0.7 |")
    return rows


def median(arguments: list[str], runs: int = 5) -> float:
    def once() -> float:
        start = time.perf_counter()
        command = [sys.executable, "-c", "from themis_core.cli import main; main()", *arguments]
        subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    return statistics.median(once() for _ in range(runs))


def size_and_memory(quick: bool) -> list[str]:
    size = case("size")
    few, many = 5_000, 20_000 if quick else 100_000
    grown = case("memory", str(many))["rss"] - case("memory", str(few))["rss"]
    return [
        "| size and memory | figure | aim |",
        "|---|---|---|",
        f"| bytes on disk per trial beyond its own text | {size['beyond']:.0f} | 1,000 |",
        f"| peak memory of {many:,} replayed trials beyond that of {few:,} | {grown:.0f} MB | 50 MB |",
    ]


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    tables = [replay(), http(quick), cold_start(), size_and_memory(quick)]
    machine = f"{os.cpu_count()} cores, Python {sys.version.split()[0]}."
    text = "\n\n".join([machine, *("\n".join(table) for table in tables)]) + "\n"
    sys.stdout.write(text)
    if not quick:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


main()
