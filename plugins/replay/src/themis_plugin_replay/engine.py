"""The engine that answers with recorded outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator

from themis_core import Capabilities, Engine, EngineError, Generation, Request, SpecError, digest
from themis_plugin_replay.columns import Columns, ReplayFields
from themis_plugin_replay.recording import Recording
from themis_rows import matching_files

__all__ = ["FileEngine", "files_of"]

_MODEL = "{model_id}"


class FileEngine(Engine):
    """Answers with outputs that were recorded in files, found by item id, model and sample.

    What the files hold is part of the identity, so a changed recording is replayed anew. A run that is complete reads
    no row; any other has every row checked and indexed before its first call. Inference parameters are not looked at.
    """

    path: str = Field(
        description="Recorded outputs: JSON Lines, JSON or CSV, also with `.gz` or `.zst`, or a glob. Relative to the "
        "spec file. `{model_id}` stands for the model as it is sent, with `__` for each slash in it; other files are "
        "not read.",
        min_length=1,
    )
    fields: ReplayFields = Field(
        default_factory=ReplayFields, description="Which columns hold id, output, model and the rest."
    )
    missing: Literal["failed", "absent"] = Field(
        "failed",
        description="What an output that was never recorded is: a failure, tried again by the next run, or absent, "
        "because that is right.",
    )

    # Where the files are changes no answer; what is in them does, see `identity`.
    not_identity: ClassVar[frozenset[str]] = frozenset({"path"})
    # A recording made with tools or images needs no support for them when it is replayed.
    capabilities: ClassVar[Capabilities] = Capabilities(
        local=True, tools=True, images=True, audio=True, files=True, structured=True
    )

    _recording: Recording | None = PrivateAttr(None)
    _models: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _says_the_model_once(self) -> FileEngine:
        if _MODEL in self.path and self.fields.model is not None:
            raise ValueError(f"fields.model: path has {_MODEL} already, which says the model")
        return self

    def for_models(self, model_ids: Sequence[str]) -> FileEngine:
        if _MODEL not in self.path:
            return self
        fitted = self.model_copy()
        fitted._models = tuple(model_ids)
        return fitted

    @property
    def endpoint(self) -> str:
        return "replay"

    def check(self, base_dir: Path) -> None:
        """Find the files, and take their digests. Raises SpecError for one that is not there."""
        self._recording = Recording(
            files_of(self.path, base_dir, self._models), Columns(self.fields), f"the recording {self.path!r}"
        )
        self.__dict__.pop("recording", None)

    def check_content(self) -> None:
        """Index the files. Raises SpecError that names file and line for the first thing that is wrong in them."""
        self.recording  # noqa: B018 - which is made here

    def check_params(self, params: dict[str, Any]) -> None:
        """Take any: a recording says itself with which settings it was made."""

    def identity(self) -> dict[str, Any]:
        """The config without the path, and a digest of what the files hold. Needs `check` before it."""
        return {**super().identity(), "content": digest(self._checked().content)}

    async def start(self) -> None:
        """Index the files, where their content was checked elsewhere."""
        self.check_content()

    async def generate(self, request: Request) -> Generation:
        model = request.model_id if self.fields.model is not None or _MODEL in self.path else ""
        generation = self.recording.find(model, request, or_none=self.missing == "absent")
        if generation is None:
            return Generation("absent")
        if generation.status == "failed":
            said = f"{self.recording.source} has item {request.item_id!r} as failed: {generation.error}"
            raise EngineError("missing", said)
        return generation

    @cached_property
    def recording(self) -> Recording:
        """The files with an index; cached, because a private attribute of pydantic costs 1.7 µs at every look."""
        return self._checked().indexed()

    def _checked(self) -> Recording:
        if self._recording is None:
            raise RuntimeError("replay/file is used before `check`, which finds the recording")
        return self._recording


def files_of(path: str, base_dir: Path, models: Sequence[str]) -> list[tuple[str, Path]]:
    """Return the files that a path means, in sorted order, each with the model whose id stands in the path, or ``.

    Raises SpecError for a file that is not there.
    """
    if _MODEL not in path:
        return [("", file) for file in matching_files(path, base_dir)]
    if not models:
        raise SpecError(
            f"path: {_MODEL} stands for the models that are asked, and none is; name the model in fields.model"
        )
    return [
        (model, file) for model in models for file in matching_files(path, base_dir, {_MODEL: model.replace("/", "__")})
    ]
