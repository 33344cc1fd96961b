"""Specs of what stays the same across related runs: project, storage, execution policy."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, field_validator, model_validator

from themis_core.specs.base import Spec

__all__ = ["BatchesSpec", "ExecutionPolicySpec", "LoosePluginSpec", "ProjectSpec", "StorageConfig"]


class BatchesSpec(Spec):
    """Which models are asked by batches, at the provider's lower price and within its hours; no identity holds it."""

    models: Literal["all"] | list[str] = Field(
        "all", description="Labels of the models under test that are asked by batches, or `all` of them."
    )
    max_requests: int | None = Field(
        None, ge=1, description="Requests of one batch at most; by default as many as its engine lets one have."
    )
    poll_s: float = Field(
        300, gt=0, description="Seconds between looks at a batch that grow to this; the first look comes far earlier."
    )
    rounds: int = Field(
        3,
        ge=1,
        description="Batches that one request may be in, in one execution: it goes into another where one left it "
        "unanswered, or where it failed with an error that may pass.",
    )
    leftover: Literal["fail", "ask"] = Field(
        "fail",
        description="What becomes of requests that no round answered: `fail`, or `ask` each by an ordinary call at the "
        "full price.",
    )
    grace_s: float = Field(
        60,
        ge=0,
        description="Seconds after a batch was to be submitted in which the provider may still come to list it, if the "
        "run was killed meanwhile.",
    )

    def covers(self, label: str) -> bool:
        """Whether the model of this label is asked by batches."""
        return self.models == "all" or label in self.models


class ExecutionPolicySpec(Spec):
    """How hard and how long Themis tries. Changes no answer, so it is in no identity."""

    max_in_flight_work_items: int = Field(
        32, ge=1, description="Calls in flight in all, and per endpoint the trials that are called but not yet saved."
    )
    max_in_flight_per_endpoint: int | None = Field(
        None, ge=1, description="Calls in flight per endpoint; by default as many as in all."
    )
    requests_per_minute: float | None = Field(None, gt=0, description="Calls started per minute and endpoint.")
    tokens_per_minute: float | None = Field(
        None,
        gt=0,
        description="Tokens per minute and endpoint, by estimate when sent and by usage when answered.",
    )
    max_retries: int = Field(
        5,
        ge=0,
        description="Attempts after the first, for errors that may pass. A refusal for coming too soon (429) is no "
        "attempt: it is tried again within the window, unless this is 0.",
    )
    retry_window_s: float = Field(
        900, gt=0, description="Seconds from the start of the first attempt in which retries start."
    )
    max_retry_after_s: float = Field(
        300,
        gt=0,
        description="Seconds that a provider may ask to wait. If it asks for more, the run stops; started again later, "
        "it goes on. To sit it out, raise this and `retry_window_s`.",
    )
    backoff_base_s: float = Field(1, gt=0, description="Seconds of the first wait's upper bound; doubles each time.")
    backoff_max_s: float = Field(60, gt=0, description="Seconds that a wait's upper bound grows to.")
    attempt_timeout_s: float = Field(600, gt=0, description="Seconds that one attempt may take in all.")
    start_timeout_s: float = Field(
        600,
        gt=0,
        description="Seconds that an engine may take to start, such as to load a local model, and each call of a "
        "component before the run, such as for the next row of a dataset.",
    )
    storage_timeout_s: float = Field(
        1800, gt=0, description="Seconds that the store may take for one commit or look-up; then the run ends."
    )
    stop_timeout_s: float = Field(30, gt=0, description="Seconds that an engine may take to stop.")
    seconds_per_call: float = Field(
        60,
        gt=0,
        description="Seconds that one call of an extractor, metric or judge may take, unless it says otherwise.",
    )
    scoring_threads: int = Field(
        8, ge=1, description="Calls of extractors, metrics and judges that run in threads at the same time."
    )
    scoring_processes: int | None = Field(
        None,
        ge=1,
        description="Processes for those that run in processes; by default one for each core, from 4 to 8, of which "
        "more than there are cores start only where calls wait more than they compute.",
    )
    process_memory_mb: int = Field(4096, ge=64, description="Memory, in MB, that the data of such a process may take.")
    breaker_failures: int = Field(
        10,
        ge=1,
        description="Failures in a row (timeouts, connection and server errors) that stop an endpoint's calls.",
    )
    breaker_cooldown_s: float = Field(
        30,
        gt=0,
        description="Seconds before a stopped endpoint gets one probing call; doubles after each failed one.",
    )
    breaker_max_probes: int = Field(
        5,
        ge=0,
        description="Probes that may fail before an endpoint's remaining trials are given up for this run; at most one "
        "if it has not answered once.",
    )
    max_calls: int | None = Field(
        None,
        ge=1,
        description="Engine calls that this execution may start, retries included; engines that answer locally "
        "have no limit.",
    )
    max_cost: float | None = Field(
        None,
        gt=0,
        description="Cost at which no further call starts, in the currency of the prices. What earlier executions of "
        "the run spent counts.",
    )
    share_limits: bool = Field(
        False,
        description="Whether the limits of endpoints and `max_cost` are shared through the store with all processes "
        "that use it and say so too. Without it, each process keeps to its own, and a shard or worker to its part; "
        "only `max_cost` is spent by all workers of a run together.",
    )
    share_limits_as: str = Field(
        "",
        max_length=200,
        description="A name for the account whose limits are shared, of your choice and not secret: processes with "
        "another name share nothing, as two API keys at one address want it.",
    )
    batches: BatchesSpec | None = Field(
        None, description="Models that are asked by batches; without it all are asked call by call."
    )

    def divided(self, of: int) -> ExecutionPolicySpec:
        """The part of the limits that one of `of` processes keeps to by itself.

        Counts are rounded down and are never below one, so more processes than calls allowed make one each. With
        `share_limits`, only what is not shared is divided: `max_calls`. Raises ValueError if `of` is below 1.
        """
        if of < 1:
            raise ValueError(f"limits can't be divided by {of}")
        counts = ("max_calls",) if self.share_limits else (*_COUNTS, "max_calls")
        amounts = () if self.share_limits else _AMOUNTS
        given = {name: getattr(self, name) for name in (*counts, *amounts)}
        parts = {name: max(1, value // of) for name in counts if (value := given[name]) is not None}
        parts |= {name: value / of for name in amounts if (value := given[name]) is not None}
        return self.model_copy(update=parts if of > 1 else {})


_COUNTS: Final = ("max_in_flight_work_items", "max_in_flight_per_endpoint")
_AMOUNTS: Final = ("requests_per_minute", "tokens_per_minute", "max_cost")
"""Limits of a policy that its processes have a part of each: whole numbers, and such as can be any part of one."""


class StorageConfig(Spec):
    """Where runs are stored: `backend` names a storage plugin, the other keys are that backend's own config.

    In Python the class of a backend says the same with types: `SqliteBlobStorageSpec(root_dir=…)` is taken as the
    mapping that a file would hold, with the fields that were given.
    """

    model_config = ConfigDict(extra="allow")

    backend: str = Field(description="Storage backend, such as `sqlite`.", min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _as_a_mapping(cls, value: Any) -> Any:
        if not isinstance(value, BaseModel) or isinstance(value, StorageConfig):
            return value
        backend = getattr(value, "backend", None)
        if not isinstance(backend, str) or not backend:
            name = type(value).__name__
            raise ValueError(
                f"{name} does not say which backend it configures: give the class `backend: ClassVar[str]` with the "
                "backend's name, or write StorageConfig(backend=…) with the same fields"
            )
        return {"backend": backend, **value.model_dump(mode="json", by_alias=True, exclude_unset=True)}


class LoosePluginSpec(Spec):
    """A loose plugin file, and how stored work is told from what another state of the file would give."""

    path: str = Field(description="The Python file, relative to the folder of the project.", min_length=1)
    identity: str = Field(
        "content",
        pattern=r"^(content|version|[0-9a-f]{64})$",
        description="What the keys of its engines' answers hold of the file. `content`: its content, with what it "
        "imports beside it, so what was edited is asked again. `version`: the engine's version alone. A content's "
        "SHA-256: the file counts as that content, as after an edit that changes no answer. Keys of scores always hold "
        "the content.",
    )


def _default_storage() -> StorageConfig:
    return StorageConfig.model_validate({"backend": "sqlite", "root_dir": ".themis"})


class ProjectSpec(Spec):
    """Settings that related runs share; runs that share the storage share stored work."""

    project_name: str = Field("default", min_length=1, description="Name of the project.")
    researcher_id: str | None = Field(None, description="Who runs it; recorded in the manifest.")
    global_seed: int | None = Field(
        None,
        description="Seed from which sampling of items and the seeds of samples derive. Without it items are sampled "
        "with 0, and sample 0 is sent without a seed.",
    )
    storage: SerializeAsAny[StorageConfig] = Field(
        default_factory=_default_storage, description="Where runs are stored; by default SQLite in `.themis`."
    )
    execution_policy: ExecutionPolicySpec = Field(
        default_factory=ExecutionPolicySpec, description="Limits, retries, breaker, deadlines, budget."
    )
    plugins: dict[str, str | LoosePluginSpec] = Field(
        default_factory=dict,
        description="Loose plugin files by namespace: `mine: ./my_metrics.py`, or a mapping of `path` and `identity`.",
    )
    observers: list[str] = Field(
        default_factory=list,
        description="Namespaces of plugins that watch runs; those whose components the spec names watch anyway.",
    )
    metadata: dict[str, Any] = Field(default_factory=dict, description="Anything to record with the runs.")

    @field_validator("plugins")
    @classmethod
    def _namespaces_are_names(cls, value: dict[str, str | LoosePluginSpec]) -> dict[str, str | LoosePluginSpec]:
        for name in value:
            if not name.replace("-", "_").isidentifier():
                raise ValueError(f"{name!r} can't be a namespace: use letters, digits and underscores")
        return value

    def loose_plugins(self) -> dict[str, LoosePluginSpec]:
        """The loose plugin files by namespace, those that are written as a path alone among them."""
        return {
            name: LoosePluginSpec(path=each) if isinstance(each, str) else each for name, each in self.plugins.items()
        }
