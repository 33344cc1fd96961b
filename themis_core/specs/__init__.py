"""The classes that users write in YAML, TOML, JSON or Python: the only form of a spec that there is.

No reading of files, no composition, no I/O.
"""

from themis_core.specs.base import Spec
from themis_core.specs.benchmark import BenchmarkSpec, SliceSpec
from themis_core.specs.data import DatasetQuerySpec, DatasetSpec, FieldMappingSpec, TransformSpec
from themis_core.specs.inference import GenerationSpec, InferenceGridSpec, InferenceParamsSpec, settings_of
from themis_core.specs.models import JudgeInferenceSpec, ModelParamsSpec, ModelSpec
from themis_core.specs.prices import PriceSpec, PricesSpec, PriceTableSpec, PriceTierSpec
from themis_core.specs.project import BatchesSpec, ExecutionPolicySpec, LoosePluginSpec, ProjectSpec, StorageConfig
from themis_core.specs.prompts import (
    ConversationSpec,
    FewShotSpec,
    PromptMessage,
    PromptPart,
    PromptToolCall,
    PromptVariantSpec,
    SimulatedUserSpec,
    TurnRuleSpec,
)
from themis_core.specs.scoring import (
    REPEATS,
    AggregateSpec,
    ConclusionSpec,
    Denominator,
    ExtractorSpec,
    MetricSpec,
    ParseSpec,
    ScoreSpec,
    ThresholdSpec,
    kind_and_k,
)
from themis_plain import canonical_json, digest
from themis_secrets import looks_like_a_key

__all__ = [
    "REPEATS",
    "AggregateSpec",
    "BatchesSpec",
    "BenchmarkSpec",
    "ConclusionSpec",
    "ConversationSpec",
    "DatasetQuerySpec",
    "DatasetSpec",
    "Denominator",
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
    "kind_and_k",
    "TransformSpec",
    "TurnRuleSpec",
    "canonical_json",
    "digest",
    "looks_like_a_key",
    "settings_of",
]
