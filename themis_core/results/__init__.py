"""Reading what is stored: results, ledgers, trials; exporting it, and adding one store to another. It runs nothing."""

from themis_core.results.reading import Results
from themis_core.results.summary import ResultRow, RunResult, summarise

__all__ = ["ResultRow", "Results", "RunResult", "summarise"]
