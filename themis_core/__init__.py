"""Themis: reproducible evaluations of language models, composed from plugins.

Everything public is importable from here and loaded on first use; what is not in `__all__` may change.
"""

from __future__ import annotations

# A name is public if it stands in `_ROOMS`, and is told to type checkers by `as`. It stands in its room's `__all__` as
# well, and none of the three lists can be made of another: type checkers read only what is written out, and the list of
# a room can't be had without importing it. A test compares them.
# Nothing is imported here: until the command handles signals, Ctrl-C would show a traceback of the import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    __version__: str
    from themis_core.cli import CommandWithOutputs as CommandWithOutputs
    from themis_core.cli import asked_outputs as asked_outputs
    from themis_core.cli import run_and_show as run_and_show
    from themis_core.cli import run_options as run_options
    from themis_core.components import BATCH_KEY_LENGTH as BATCH_KEY_LENGTH
    from themis_core.components import CONTRACT_VERSION as CONTRACT_VERSION
    from themis_core.components import BatchLimits as BatchLimits
    from themis_core.components import BatchReply as BatchReply
    from themis_core.components import BatchState as BatchState
    from themis_core.components import Capabilities as Capabilities
    from themis_core.components import Code as Code
    from themis_core.components import Component as Component
    from themis_core.components import Conclusion as Conclusion
    from themis_core.components import Damage as Damage
    from themis_core.components import DatasetLoader as DatasetLoader
    from themis_core.components import Engine as Engine
    from themis_core.components import Exporter as Exporter
    from themis_core.components import Extractor as Extractor
    from themis_core.components import Finding as Finding
    from themis_core.components import Holder as Holder
    from themis_core.components import Judge as Judge
    from themis_core.components import JudgedAnswer as JudgedAnswer
    from themis_core.components import JudgeReply as JudgeReply
    from themis_core.components import JudgeRequest as JudgeRequest
    from themis_core.components import LiveChange as LiveChange
    from themis_core.components import Metric as Metric
    from themis_core.components import Needs as Needs
    from themis_core.components import OnlyHere as OnlyHere
    from themis_core.components import PartsRecord as PartsRecord
    from themis_core.components import PriceTable as PriceTable
    from themis_core.components import StorageBackend as StorageBackend
    from themis_core.components import Store as Store
    from themis_core.components import ToScore as ToScore
    from themis_core.components import UnusedFile as UnusedFile
    from themis_core.components import locked_by as locked_by
    from themis_core.components import shuts_out as shuts_out
    from themis_core.errors import BudgetExceeded as BudgetExceeded
    from themis_core.errors import EngineError as EngineError
    from themis_core.errors import PluginError as PluginError
    from themis_core.errors import RunLocked as RunLocked
    from themis_core.errors import SpecError as SpecError
    from themis_core.errors import StorageError as StorageError
    from themis_core.errors import StoreMissing as StoreMissing
    from themis_core.errors import StoreOutdated as StoreOutdated
    from themis_core.errors import ThemisError as ThemisError
    from themis_core.execution import failure_with_steps as failure_with_steps
    from themis_core.execution import generation_of as generation_of
    from themis_core.hookspecs import hookimpl as hookimpl
    from themis_core.planning import NO_PROMPT as NO_PROMPT
    from themis_core.planning import PromptTemplate as PromptTemplate
    from themis_core.plugins import Installed as Installed
    from themis_core.plugins import LoadedPlugin as LoadedPlugin
    from themis_core.plugins import Plugins as Plugins
    from themis_core.plugins import discover as discover
    from themis_core.plugins import own_exit as own_exit
    from themis_core.reading import counted as counted
    from themis_core.reading import current_folder as current_folder
    from themis_core.reading import path_kind as path_kind
    from themis_core.reading import resolve_path as resolve_path
    from themis_core.reading import shown_path as shown_path
    from themis_core.records import ERROR_CODES as ERROR_CODES
    from themis_core.records import ERROR_REMEDIES as ERROR_REMEDIES
    from themis_core.records import HANDED_BACK as HANDED_BACK
    from themis_core.records import SCORE_FAULTS as SCORE_FAULTS
    from themis_core.records import SIMULATED_USER as SIMULATED_USER
    from themis_core.records import UNKNOWN_COST as UNKNOWN_COST
    from themis_core.records import WARNING as WARNING
    from themis_core.records import BatchEnded as BatchEnded
    from themis_core.records import BatchIntended as BatchIntended
    from themis_core.records import BatchRecord as BatchRecord
    from themis_core.records import BatchSubmitted as BatchSubmitted
    from themis_core.records import Event as Event
    from themis_core.records import ExecutionRecord as ExecutionRecord
    from themis_core.records import Extraction as Extraction
    from themis_core.records import Generation as Generation
    from themis_core.records import GenerationRecorded as GenerationRecorded
    from themis_core.records import Item as Item
    from themis_core.records import ItemRecorded as ItemRecorded
    from themis_core.records import Latency as Latency
    from themis_core.records import OutcomeCount as OutcomeCount
    from themis_core.records import Part as Part
    from themis_core.records import Request as Request
    from themis_core.records import RequestFailed as RequestFailed
    from themis_core.records import RequestFinished as RequestFinished
    from themis_core.records import RequestStarted as RequestStarted
    from themis_core.records import Row as Row
    from themis_core.records import RunCost as RunCost
    from themis_core.records import RunFinished as RunFinished
    from themis_core.records import RunRecord as RunRecord
    from themis_core.records import RunStarted as RunStarted
    from themis_core.records import Score as Score
    from themis_core.records import ScoreCell as ScoreCell
    from themis_core.records import ScoreEnds as ScoreEnds
    from themis_core.records import ScoreEntry as ScoreEntry
    from themis_core.records import ScorePlace as ScorePlace
    from themis_core.records import ScoreRow as ScoreRow
    from themis_core.records import ScoreSums as ScoreSums
    from themis_core.records import Step as Step
    from themis_core.records import StepKind as StepKind
    from themis_core.records import Ticket as Ticket
    from themis_core.records import TrialFinished as TrialFinished
    from themis_core.records import TrialPlace as TrialPlace
    from themis_core.records import TrialRow as TrialRow
    from themis_core.records import Usage as Usage
    from themis_core.records import event_from as event_from
    from themis_core.results import Gate as Gate
    from themis_core.results import GroupRow as GroupRow
    from themis_core.results import ItemMean as ItemMean
    from themis_core.results import PartRow as PartRow
    from themis_core.results import ResultRow as ResultRow
    from themis_core.results import Results as Results
    from themis_core.results import RunResult as RunResult
    from themis_core.results import gates_of as gates_of
    from themis_core.session import PlanReport as PlanReport
    from themis_core.session import Progress as Progress
    from themis_core.session import Reread as Reread
    from themis_core.session import WorkOrder as WorkOrder
    from themis_core.session import cancel_batch as cancel_batch
    from themis_core.session import export as export
    from themis_core.session import find_storage as find_storage
    from themis_core.session import open_results as open_results
    from themis_core.session import plan as plan
    from themis_core.session import rereading as rereading
    from themis_core.session import run as run
    from themis_core.session import run_async as run_async
    from themis_core.session.launching import Launcher as Launcher
    from themis_core.session.launching import LocalLauncher as LocalLauncher
    from themis_core.session.launching import worker_command as worker_command
    from themis_core.specs import AggregateSpec as AggregateSpec
    from themis_core.specs import BatchesSpec as BatchesSpec
    from themis_core.specs import BenchmarkSpec as BenchmarkSpec
    from themis_core.specs import ConclusionSpec as ConclusionSpec
    from themis_core.specs import ConversationSpec as ConversationSpec
    from themis_core.specs import DatasetQuerySpec as DatasetQuerySpec
    from themis_core.specs import DatasetSpec as DatasetSpec
    from themis_core.specs import ExecutionPolicySpec as ExecutionPolicySpec
    from themis_core.specs import ExtractorSpec as ExtractorSpec
    from themis_core.specs import FewShotSpec as FewShotSpec
    from themis_core.specs import FieldMappingSpec as FieldMappingSpec
    from themis_core.specs import GenerationSpec as GenerationSpec
    from themis_core.specs import InferenceGridSpec as InferenceGridSpec
    from themis_core.specs import InferenceParamsSpec as InferenceParamsSpec
    from themis_core.specs import JudgeInferenceSpec as JudgeInferenceSpec
    from themis_core.specs import LoosePluginSpec as LoosePluginSpec
    from themis_core.specs import MetricSpec as MetricSpec
    from themis_core.specs import ModelParamsSpec as ModelParamsSpec
    from themis_core.specs import ModelSpec as ModelSpec
    from themis_core.specs import ParseSpec as ParseSpec
    from themis_core.specs import PriceSpec as PriceSpec
    from themis_core.specs import PricesSpec as PricesSpec
    from themis_core.specs import PriceTableSpec as PriceTableSpec
    from themis_core.specs import PriceTierSpec as PriceTierSpec
    from themis_core.specs import ProjectSpec as ProjectSpec
    from themis_core.specs import PromptMessage as PromptMessage
    from themis_core.specs import PromptPart as PromptPart
    from themis_core.specs import PromptToolCall as PromptToolCall
    from themis_core.specs import PromptVariantSpec as PromptVariantSpec
    from themis_core.specs import ScoreSpec as ScoreSpec
    from themis_core.specs import SimulatedUserSpec as SimulatedUserSpec
    from themis_core.specs import SliceSpec as SliceSpec
    from themis_core.specs import Spec as Spec
    from themis_core.specs import StorageConfig as StorageConfig
    from themis_core.specs import ThresholdSpec as ThresholdSpec
    from themis_core.specs import TransformSpec as TransformSpec
    from themis_core.specs import TurnRuleSpec as TurnRuleSpec
    from themis_core.specs import canonical_json as canonical_json
    from themis_core.specs import digest as digest
    from themis_core.specs import looks_like_a_key as looks_like_a_key
    from themis_core.specs import settings_of as settings_of

_ROOMS = {
    "cli": ("CommandWithOutputs", "asked_outputs", "run_and_show", "run_options"),
    "components": (
        "BATCH_KEY_LENGTH",
        "BatchLimits",
        "BatchReply",
        "BatchState",
        "CONTRACT_VERSION",
        "Capabilities",
        "Code",
        "Component",
        "Conclusion",
        "Damage",
        "DatasetLoader",
        "Engine",
        "Exporter",
        "Extractor",
        "Finding",
        "Holder",
        "Judge",
        "JudgeReply",
        "JudgeRequest",
        "JudgedAnswer",
        "LiveChange",
        "Metric",
        "Needs",
        "OnlyHere",
        "PartsRecord",
        "PriceTable",
        "StorageBackend",
        "Store",
        "ToScore",
        "UnusedFile",
        "locked_by",
        "shuts_out",
    ),
    "errors": (
        "BudgetExceeded",
        "EngineError",
        "PluginError",
        "RunLocked",
        "SpecError",
        "StorageError",
        "StoreMissing",
        "StoreOutdated",
        "ThemisError",
    ),
    "execution": ("failure_with_steps", "generation_of"),
    "hookspecs": ("hookimpl",),
    "planning": ("NO_PROMPT", "PromptTemplate"),
    "plugins": (
        "Installed",
        "LoadedPlugin",
        "Plugins",
        "discover",
        "own_exit",
    ),
    "reading": (
        "counted",
        "current_folder",
        "path_kind",
        "resolve_path",
        "shown_path",
    ),
    "records": (
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
    ),
    "results": (
        "Gate",
        "GroupRow",
        "ItemMean",
        "PartRow",
        "ResultRow",
        "Results",
        "RunResult",
        "gates_of",
    ),
    "session.launching": ("Launcher", "LocalLauncher", "worker_command"),
    "session": (
        "PlanReport",
        "Progress",
        "Reread",
        "WorkOrder",
        "cancel_batch",
        "export",
        "find_storage",
        "open_results",
        "plan",
        "rereading",
        "run",
        "run_async",
    ),
    "specs": (
        "AggregateSpec",
        "BatchesSpec",
        "BenchmarkSpec",
        "ConclusionSpec",
        "ConversationSpec",
        "DatasetQuerySpec",
        "DatasetSpec",
        "ExecutionPolicySpec",
        "ExtractorSpec",
        "FewShotSpec",
        "FieldMappingSpec",
        "GenerationSpec",
        "InferenceGridSpec",
        "InferenceParamsSpec",
        "JudgeInferenceSpec",
        "LoosePluginSpec",
        "MetricSpec",
        "ModelParamsSpec",
        "ModelSpec",
        "ParseSpec",
        "PriceSpec",
        "PriceTableSpec",
        "PriceTierSpec",
        "PricesSpec",
        "ProjectSpec",
        "PromptMessage",
        "PromptPart",
        "PromptToolCall",
        "PromptVariantSpec",
        "ScoreSpec",
        "SimulatedUserSpec",
        "SliceSpec",
        "Spec",
        "StorageConfig",
        "ThresholdSpec",
        "TransformSpec",
        "TurnRuleSpec",
        "canonical_json",
        "digest",
        "looks_like_a_key",
        "settings_of",
    ),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    # On first use (PEP 562), because `themis --help` must not wait for pydantic.
    if name == "__version__":
        from themis_core.version import version

        return version()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
