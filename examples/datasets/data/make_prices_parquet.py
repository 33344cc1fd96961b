"""Writes prices.parquet: `python make_prices_parquet.py`, with pyarrow installed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet

ROWS = [
    ("p1", "4 notebooks at $1.35 each", Decimal("5.40"), date(2026, 3, 2)),
    ("p2", "2 lamps at $17.50 each", Decimal("35.00"), date(2026, 3, 2)),
    ("p3", "a chair at $64.99 and a cushion at $12.01", Decimal("77.00"), date(2026, 3, 9)),
    ("p4", "half a dozen mugs at $3.25 each", Decimal("19.50"), date(2026, 3, 16)),
]
names = ("id", "goods", "total", "bought_on")
types = (pyarrow.string(), pyarrow.string(), pyarrow.decimal128(10, 2), pyarrow.date32())
columns = [pyarrow.array(values, kind) for values, kind in zip(zip(*ROWS, strict=True), types, strict=True)]
pyarrow.parquet.write_table(
    pyarrow.table(dict(zip(names, columns, strict=True))), Path(__file__).with_name("prices.parquet")
)
