"""What is passed between rooms and what is stored: plain values, serialisable, equal by content.

No behaviour beyond turning a record into plain data and back; no I/O.

One trial's records, in the order in which they come to be:

    Item ─ Trial ─ Request ─ Generation ─ Extraction ─ Score
    events: RunStarted · ItemRecorded · GenerationRecorded · TrialFinished (with its scores) · RunFinished
    of batches: BatchIntended · BatchSubmitted · GenerationRecorded · BatchEnded
"""

from themis_core.records.batches import (
    BatchEnded,
    BatchIntended,
    BatchRecord,
    BatchSubmitted,
    Ticket,
    open_batches_of,
)
from themis_core.records.codes import ERROR_CODES, ERROR_REMEDIES, SCORE_FAULTS
from themis_core.records.events import (
    Event,
    GenerationRecorded,
    ItemRecorded,
    RunFinished,
    RunStarted,
    TrialFinished,
    event_from,
)
from themis_core.records.parts import Part
from themis_core.records.requests import RequestFailed, RequestFinished, RequestStarted
from themis_core.records.steps import Step, StepKind
from themis_core.records.stored import (
    ExecutionRecord,
    Latency,
    OutcomeCount,
    RunRecord,
    ScoreCell,
    ScoreEnds,
    ScorePlace,
    ScoreRow,
    ScoreSums,
    TrialPlace,
    TrialRow,
    summed,
)
from themis_core.records.trial import (
    HANDED_BACK,
    SIMULATED_USER,
    WARNING,
    Extraction,
    Generation,
    GenerationStatus,
    Item,
    Request,
    Row,
    Score,
    ScoreEntry,
)
from themis_costs import UNKNOWN_COST, RunCost, Usage

__all__ = [
    "BatchEnded",
    "BatchIntended",
    "BatchRecord",
    "BatchSubmitted",
    "ERROR_CODES",
    "ERROR_REMEDIES",
    "Event",
    "ExecutionRecord",
    "Extraction",
    "Generation",
    "GenerationRecorded",
    "GenerationStatus",
    "HANDED_BACK",
    "Item",
    "ItemRecorded",
    "Latency",
    "OutcomeCount",
    "Part",
    "Request",
    "RequestFailed",
    "RequestFinished",
    "RequestStarted",
    "Row",
    "RunCost",
    "RunFinished",
    "RunRecord",
    "RunStarted",
    "SCORE_FAULTS",
    "SIMULATED_USER",
    "Score",
    "ScoreCell",
    "ScoreEnds",
    "ScoreEntry",
    "ScorePlace",
    "ScoreRow",
    "ScoreSums",
    "Step",
    "StepKind",
    "Ticket",
    "TrialFinished",
    "TrialPlace",
    "TrialRow",
    "UNKNOWN_COST",
    "Usage",
    "WARNING",
    "event_from",
    "open_batches_of",
    "summed",
]
