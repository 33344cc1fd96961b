"""Prints the tables: `python -m benchmarks.scaling`; with `--write`, puts them into docs/scaling.md."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from benchmarks.scaling.sizes import Figures
from benchmarks.scaling.tables import tables

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def filled(page: str, made: dict[str, str]) -> str:
    """The page with each table between its marks. Raises KeyError for a mark that no table has."""
    marked = re.compile(r"<!-- table: ([\w ]+) -->\n.*?<!-- end -->", re.DOTALL)
    return marked.sub(lambda match: f"<!-- table: {match[1]} -->\n\n{made[match[1]]}\n<!-- end -->", page)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description="How far a run can be spread.")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scaling.md")
    made = tables(Figures.read())
    if parser.parse_args().write:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
        return
    for name, table in made.items():
        print(f"{name}\n\n{table}")


if __name__ == "__main__":
    main()
