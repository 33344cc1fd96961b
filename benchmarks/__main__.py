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

from benchmarks.cases import made_spec

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def case(*arguments: str, module: str = "benchmarks.cases") -> Any:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def replay() -> list[str]:
    narrow, same, themis = (case("replay", loop) for loop in ("narrow", "same-rows", "themis"))
    assert narrow["result"] == same["result"] == themis["result"] == 2001, "all find what was published"
    rows = [
        "| replay, 5,276 trials | CPU s | wall s | CPU, ratio to the same rows | aim |",
        "|---|---|---|---|---|",
    ]
    loops = {"bare loop, four narrow rows a trial": narrow, "bare loop, the same rows": same, "themis": themis}
    for name, got in loops.items():
        aim = "4" if got is themis else ""
        rows.append(f"| {name} | {got['cpu']:.2f} | {got['wall']:.2f} | {got['cpu'] / same['cpu']:.1f} | {aim} |")
    return rows


def http(quick: bool) -> list[str]:
    rows = [
        "| HTTP, 64 in flight | client | CPU ms a trial | wall s | peak MB | CPU, ratio to aiohttp |",
        "|---|---|---|---|---|---|",
    ]
    for count, latency in ((2000, 50), (5000, 0)) if quick else ((2000, 50), (5000, 0), (20000, 0)):
        base = 0.0
        for client in ("aiohttp", "pyreqwest", "httpx", "themis"):
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
    with tempfile.TemporaryDirectory() as folder:
        spec = str(made_spec(Path(folder), 1_000))
        one = [median(["run", spec, "--limit", "1", "--set", f"benchmark_id=one-{i}"], 1) for i in range(1, 6)]
        median(["run", spec], 1)
        return [
            "| cold start, median of 5 | wall s | aim |",
            "|---|---|---|",
            f"| `themis --help` | {median(['--help']):.2f} | 0.2 |",
            f"| one trial from start to exit | {statistics.median(one):.2f} | 0.6 |",
            f"| a complete re-run of 1,000 stored trials | {median(['run', spec]):.2f} | 0.7 |",
        ]


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


def storage(quick: bool) -> list[str]:
    count = 6_400 if quick else 19_200
    rows = [
        "| rows saved a second, batches of 64 trials | store | bare `executemany` | ratio | aim |",
        "|---|---|---|---|---|",
    ]
    for backend in ("sqlite", "postgres"):
        got = case("append", backend, str(count), module="benchmarks.storage")
        rows.append(
            f"| {backend} | {got['themis']:,.0f} | {got['bare']:,.0f} | {got['themis'] / got['bare']:.2f} | 0.5 |"
        )
    many = 20_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        filled = case("fill", str(many), folder, module="benchmarks.storage")
        read = case("large", str(many), folder, module="benchmarks.storage")
    return [
        *rows,
        "",
        f"| a store of {many:,} trials ({filled['bytes'] / 1e6:,.0f} MB) | seconds |",
        "|---|---|",
        f"| open it | {read['open']:.2f} |",
        f"| look up {many:,} generation keys, 256 at a time | {read['look up']:.2f} |",
        f"| one grouped aggregate over its scores, in SQL | {read['aggregate']:.2f} |",
        f"| stream all its scores as records | {read['stream']:.2f} |",
        f"| peak memory of all that | {read['rss']:.0f} MB |",
    ]


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    tables = [replay(), http(quick), cold_start(), size_and_memory(quick), storage(quick)]
    machine = f"{os.cpu_count()} cores, Python {sys.version.split()[0]}."
    text = "\n\n".join([machine, *("\n".join(table) for table in tables)]) + "\n"
    sys.stdout.write(text)
    if not quick:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
