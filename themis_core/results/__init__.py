"""Reading what is stored: results, groups, ledgers, trials. It runs nothing."""

from themis_core.results.reading import Results
from themis_core.results.row import GroupRow, ResultRow
from themis_core.results.selecting import ItemMean
from themis_core.results.summary import RunResult, summarise

__all__ = ["GroupRow", "ItemMean", "ResultRow", "Results", "RunResult", "summarise"]
