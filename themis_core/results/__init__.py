"""Reading what is stored: results, groups, ledgers, gates, trials. It runs nothing."""

from themis_core.results.gates import Gate, gates_of
from themis_core.results.groups import check_groups
from themis_core.results.parts import PartRow
from themis_core.results.reading import Results
from themis_core.results.row import GroupRow, ResultRow
from themis_core.results.selecting import ItemMean
from themis_core.results.summary import RunResult, summarise

__all__ = [
    "Gate",
    "GroupRow",
    "ItemMean",
    "PartRow",
    "ResultRow",
    "Results",
    "RunResult",
    "check_groups",
    "gates_of",
    "summarise",
]
