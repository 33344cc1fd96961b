"""Reading what is stored: results, ledgers, gates, trials. It runs nothing."""

from themis_core.results.gates import Gate, gates_of
from themis_core.results.reading import Results
from themis_core.results.row import ResultRow
from themis_core.results.summary import RunResult, summarise

__all__ = ["Gate", "ResultRow", "Results", "RunResult", "gates_of", "summarise"]
