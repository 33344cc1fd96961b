"""Reading what is stored: results, ledgers, trials. It runs nothing."""

from themis_core.results.reading import Results
from themis_core.results.row import ResultRow
from themis_core.results.summary import RunResult, summarise

__all__ = ["ResultRow", "Results", "RunResult", "summarise"]
