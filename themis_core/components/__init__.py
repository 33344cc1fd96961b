"""The eight base classes that plugins implement, and what each is handed.

A component is a frozen pydantic model: its fields are its config, validated before anything runs. It knows
nothing of specs, runs or stores beyond what its methods are given.
"""

from __future__ import annotations

from typing import Final

from themis_core.components.base import CONTRACT_VERSION, Component, Lane
from themis_core.components.batching import BATCH_KEY_LENGTH, BatchLimits, BatchReply, BatchState
from themis_core.components.concluding import Conclusion, Finding
from themis_core.components.datasets import DatasetLoader
from themis_core.components.engines import Capabilities, Code, Engine, Needs
from themis_core.components.exporting import Exporter
from themis_core.components.holding import DRIVER, Holder, PartsRecord, knows_parts, locked_by, shuts_out
from themis_core.components.judging import Judge, JudgedAnswer, JudgeReply, JudgeRequest
from themis_core.components.pricing import PriceTable
from themis_core.components.scoring import Extractor, Metric, Scoring, ToScore
from themis_core.components.storage import Damage, LiveChange, OnlyHere, StorageBackend, Store, UnusedFile

__all__ = [
    "BATCH_KEY_LENGTH",
    "BatchLimits",
    "BatchReply",
    "BatchState",
    "COMPONENT_KINDS",
    "CONTRACT_VERSION",
    "DRIVER",
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
    "Lane",
    "LiveChange",
    "JudgeReply",
    "JudgeRequest",
    "PriceTable",
    "JudgedAnswer",
    "Metric",
    "Needs",
    "OnlyHere",
    "PartsRecord",
    "Scoring",
    "StorageBackend",
    "Store",
    "ToScore",
    "UnusedFile",
    "knows_parts",
    "locked_by",
    "shuts_out",
]

COMPONENT_KINDS: Final[dict[str, type[Component]]] = {
    "dataset_loader": DatasetLoader,
    "engine": Engine,
    "extractor": Extractor,
    "metric": Metric,
    "judge": Judge,
    "conclusion": Conclusion,
    "storage_backend": StorageBackend,
    "exporter": Exporter,
}
"""Kind, as messages and hooks name it, to base class."""
