"""Themis: reproducible evaluations of language models, composed from plugins.

Everything public is importable from here and loaded on first use; what is not in `__all__` may change.
"""

from __future__ import annotations

# Nothing is imported here: until the command handles signals, Ctrl-C would show a traceback of the import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    __version__: str
    from themis_core.components import (
        CONTRACT_VERSION,
        Capabilities,
        Component,
        Damage,
        DatasetLoader,
        Engine,
        Extractor,
        Judge,
        JudgedAnswer,
        JudgeReply,
        JudgeRequest,
        Metric,
        StorageBackend,
        Store,
        UnusedFile,
    )
    from themis_core.errors import (
        BudgetExceeded,
        EngineError,
        PluginError,
        RunLocked,
        SpecError,
        StorageError,
        StoreMissing,
        StoreOutdated,
        ThemisError,
    )
    from themis_core.hookspecs import (
        hookimpl,
    )
    from themis_core.planning import (
        PromptTemplate,
    )
    from themis_core.plugins import (
        own_exit,
    )
    from themis_core.records import (
        ERROR_CODES,
        ERROR_REMEDIES,
        SCORE_FAULTS,
        UNKNOWN_COST,
        WARNING,
        Event,
        Extraction,
        Generation,
        GenerationRecorded,
        Item,
        ItemRecorded,
        OutcomeCount,
        Request,
        Row,
        RunCost,
        RunFinished,
        RunRecord,
        RunStarted,
        Score,
        ScoreEntry,
        ScoreRow,
        TrialFinished,
        TrialRow,
        Usage,
        event_from,
    )
    from themis_core.results import (
        ResultRow,
        Results,
        RunResult,
    )
    from themis_core.session import (
        PlanReport,
        Progress,
        find_storage,
        open_results,
        plan,
        run,
        run_async,
    )
    from themis_core.specs import (
        BenchmarkSpec,
        DatasetQuerySpec,
        DatasetSpec,
        ExecutionPolicySpec,
        ExtractorSpec,
        FewShotSpec,
        FieldMappingSpec,
        GenerationSpec,
        InferenceGridSpec,
        InferenceParamsSpec,
        JudgeInferenceSpec,
        LoosePluginSpec,
        MetricSpec,
        ModelParamsSpec,
        ModelSpec,
        ParseSpec,
        PriceSpec,
        ProjectSpec,
        PromptMessage,
        PromptPart,
        PromptVariantSpec,
        ScoreSpec,
        SliceSpec,
        Spec,
        StorageConfig,
        ThresholdSpec,
        TransformSpec,
        canonical_json,
        current_folder,
        digest,
        looks_like_a_key,
        path_kind,
        resolve_path,
        shown_path,
    )

__all__ = [
    "BenchmarkSpec",
    "BudgetExceeded",
    "CONTRACT_VERSION",
    "Capabilities",
    "Component",
    "Damage",
    "DatasetLoader",
    "DatasetQuerySpec",
    "DatasetSpec",
    "ERROR_CODES",
    "ERROR_REMEDIES",
    "Engine",
    "EngineError",
    "Event",
    "ExecutionPolicySpec",
    "Extraction",
    "Extractor",
    "ExtractorSpec",
    "FewShotSpec",
    "FieldMappingSpec",
    "Generation",
    "GenerationRecorded",
    "GenerationSpec",
    "InferenceGridSpec",
    "InferenceParamsSpec",
    "Item",
    "ItemRecorded",
    "Judge",
    "JudgeInferenceSpec",
    "JudgeReply",
    "JudgeRequest",
    "JudgedAnswer",
    "LoosePluginSpec",
    "Metric",
    "MetricSpec",
    "ModelParamsSpec",
    "ModelSpec",
    "OutcomeCount",
    "ParseSpec",
    "PlanReport",
    "PluginError",
    "PriceSpec",
    "Progress",
    "ProjectSpec",
    "PromptMessage",
    "PromptPart",
    "PromptTemplate",
    "PromptVariantSpec",
    "Request",
    "ResultRow",
    "Results",
    "Row",
    "RunCost",
    "RunFinished",
    "RunLocked",
    "RunRecord",
    "RunResult",
    "RunStarted",
    "SCORE_FAULTS",
    "Score",
    "ScoreEntry",
    "ScoreRow",
    "ScoreSpec",
    "SliceSpec",
    "Spec",
    "SpecError",
    "StorageBackend",
    "StorageConfig",
    "StorageError",
    "Store",
    "StoreMissing",
    "StoreOutdated",
    "ThemisError",
    "ThresholdSpec",
    "TransformSpec",
    "TrialFinished",
    "TrialRow",
    "UNKNOWN_COST",
    "UnusedFile",
    "Usage",
    "WARNING",
    "canonical_json",
    "current_folder",
    "digest",
    "event_from",
    "find_storage",
    "hookimpl",
    "looks_like_a_key",
    "open_results",
    "own_exit",
    "path_kind",
    "plan",
    "resolve_path",
    "run",
    "run_async",
    "shown_path",
]

_ROOMS = {
    "components": (
        "CONTRACT_VERSION",
        "Capabilities",
        "Component",
        "Damage",
        "DatasetLoader",
        "Engine",
        "Extractor",
        "Judge",
        "JudgeReply",
        "JudgeRequest",
        "JudgedAnswer",
        "Metric",
        "StorageBackend",
        "Store",
        "UnusedFile",
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
    "hookspecs": ("hookimpl",),
    "planning": ("PromptTemplate",),
    "plugins": ("own_exit",),
    "records": (
        "ERROR_CODES",
        "ERROR_REMEDIES",
        "Event",
        "Extraction",
        "Generation",
        "GenerationRecorded",
        "Item",
        "ItemRecorded",
        "OutcomeCount",
        "Request",
        "Row",
        "RunCost",
        "RunFinished",
        "RunRecord",
        "RunStarted",
        "SCORE_FAULTS",
        "Score",
        "ScoreEntry",
        "ScoreRow",
        "TrialFinished",
        "TrialRow",
        "UNKNOWN_COST",
        "Usage",
        "WARNING",
        "event_from",
    ),
    "results": (
        "ResultRow",
        "Results",
        "RunResult",
    ),
    "session": (
        "PlanReport",
        "Progress",
        "find_storage",
        "open_results",
        "plan",
        "run",
        "run_async",
    ),
    "specs": (
        "BenchmarkSpec",
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
        "ProjectSpec",
        "PromptMessage",
        "PromptPart",
        "PromptVariantSpec",
        "ScoreSpec",
        "SliceSpec",
        "Spec",
        "StorageConfig",
        "ThresholdSpec",
        "TransformSpec",
        "canonical_json",
        "current_folder",
        "digest",
        "looks_like_a_key",
        "path_kind",
        "resolve_path",
        "shown_path",
    ),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    # On first use (PEP 562), because `themis --help` must not wait for pydantic.
    if name == "__version__":
        return _version()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def _version() -> str:
    from contextlib import suppress

    from importlib_metadata import Distribution

    for found in Distribution.discover(name="themis-core"):
        with suppress(Exception):  # what an installation that was cut off has left, and which comes first on the path
            if version := found.metadata["Version"]:
                return str(version)
    return "unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
