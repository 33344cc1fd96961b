"""Datasets of the Hugging Face Hub, and whatever else the `datasets` library loads without running foreign code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeAlias

from pydantic import Field, PrivateAttr

from themis_core import DatasetLoader, DatasetQuerySpec, DatasetSpec, Row, SpecError, path_kind, resolve_path
from themis_plugin_huggingface.problems import explained
from themis_plugin_huggingface.sources import BUILDERS, data_paths, fingerprints
from themis_plugin_huggingface.values import NoJson, class_names, plain, undecoded

__all__ = ["HubLoader"]

DataFiles: TypeAlias = str | list[str] | dict[str, str | list[str]]

_COMMIT: Final = re.compile("[0-9a-f]{40}")


class HubLoader(DatasetLoader):
    """Streams a dataset through the `datasets` library. Scripts of a dataset are never run.

    `dataset_id` is a name on the hub, a folder (relative to the spec file), or one of the library's own readers
    (arrow, csv, json, parquet, text) with `data_files`. `split` must be given.
    """

    data_files: DataFiles | None = Field(
        None,
        description="Files to read: a pattern, a list, or either by split. Relative to the spec file for the library's "
        "own readers (`dataset_id: json`), to the dataset otherwise.",
    )
    columns: list[str] | None = Field(
        None, description="Read only these columns; the way around images, audio and bytes.", min_length=1
    )
    class_names: bool = Field(False, description="Give class labels as their names instead of their numbers.")
    nan: Literal["refuse", "null"] = Field(
        "refuse",
        description="What a number that is not finite becomes: an error that names the row, or null, which can't be "
        "told from a missing value.",
    )
    streaming: bool = Field(
        True, description="Read while it downloads; false downloads and prepares the whole dataset first."
    )
    token_env: str = Field(
        "HF_TOKEN", description="Environment variable with the access token, for gated and private datasets."
    )

    not_identity: ClassVar[frozenset[str]] = frozenset({"streaming", "token_env"})

    # A branch may move while a run goes on: each is looked up once, so that all calls read the same commit.
    _commits: dict[tuple[str, str | None], str | None] = PrivateAttr(default_factory=dict)

    def rows(self, dataset: DatasetSpec, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
        number = 0
        try:
            stream = self._open(dataset, base_dir)
            names = class_names(stream.features) if self.class_names else None
            for data in stream:
                number += 1
                row = {name: plain(value, nan_is_null=self.nan == "null") for name, value in data.items()}
                yield Row(names(row) if names else row, f"{dataset.dataset_id}[{dataset.split}]:row {number}")
        except NoJson as error:
            raise SpecError(f"dataset {dataset.dataset_id!r}, row {number}: {error}") from error
        except SpecError:
            raise
        except Exception as error:
            # The library and those beneath it raise what they like; the cause stays attached.
            message = explained(error, token_env=self.token_env)
            raise SpecError(f"dataset {dataset.dataset_id!r}: {message}") from error

    def fingerprint(self, dataset: DatasetSpec, base_dir: Path) -> dict[str, Any]:
        """The commit that is read, if the hub can be reached; for local data, size and SHA-256 of each file."""
        if _is_local(dataset, base_dir):
            return {"files": fingerprints(dataset.dataset_id, self.data_files, base_dir)}
        return {"requested_revision": dataset.revision, "revision": self._revision(dataset)}

    def _open(self, dataset: DatasetSpec, base_dir: Path) -> Any:
        import datasets

        if not dataset.dataset_id:
            raise SpecError("dataset_id is empty: give a name on the hub, a folder, or a reader such as json")
        datasets.disable_progress_bars()
        local = _is_local(dataset, base_dir)
        if local and dataset.revision is not None:
            raise SpecError("revision: files of your own have none, the hub's datasets do: leave it out")
        folder = resolve_path(dataset.dataset_id, base_dir)
        found = datasets.load_dataset(
            str(folder.resolve()) if path_kind(folder) == "folder" else dataset.dataset_id,
            dataset.config_name,
            data_files=data_paths(dataset.dataset_id, self.data_files, base_dir),
            split=dataset.split,
            revision=None if local else self._revision(dataset),
            streaming=self.streaming,
            token=os.environ.get(self.token_env) or None,
        )
        if dataset.split is None:
            raise SpecError(f"dataset {dataset.dataset_id!r}: name a split; there are: {', '.join(found)}")
        return self._chosen(found, dataset)

    def _chosen(self, found: Any, dataset: DatasetSpec) -> Any:
        if found.features is None:  # a stream of files without a schema: its first rows tell
            found = found._resolve_features() if hasattr(found, "_resolve_features") else found
        known = list(found.features or ())
        for column in self.columns or ():
            if known and column not in known:
                message = f"dataset {dataset.dataset_id!r}: no column {column!r}; there are: {', '.join(known)}"
                raise SpecError(message)
        if self.columns is not None:
            found = found.select_columns(self.columns)
        for column, kind in undecoded(found.features or {}):
            message = f"the column {column!r} holds {kind}, which JSON can't hold; name the others in extras.columns"
            raise SpecError(f"dataset {dataset.dataset_id!r}: {message}")
        return found

    def _revision(self, dataset: DatasetSpec) -> str | None:
        """The commit that a branch, a tag or the default stands for, or what was given if the hub can't tell."""
        if dataset.revision is not None and _COMMIT.fullmatch(dataset.revision):
            return dataset.revision
        wanted = (dataset.dataset_id, dataset.revision)
        if wanted not in self._commits:
            self._commits[wanted] = self._looked_up(dataset) or dataset.revision
        return self._commits[wanted]

    def _looked_up(self, dataset: DatasetSpec) -> str | None:
        import huggingface_hub

        try:
            hub = huggingface_hub.HfApi(token=os.environ.get(self.token_env) or None)
            sha: str | None = hub.dataset_info(dataset.dataset_id, revision=dataset.revision, timeout=10).sha
        except Exception:  # noqa: BLE001
            # Offline, gated or misspelt, in the terms of whichever HTTP library the client uses: what is in the cache
            # may do, and if it does not, loading says what is wrong.
            return None
        return sha


def _is_local(dataset: DatasetSpec, base_dir: Path) -> bool:
    return dataset.dataset_id in BUILDERS or path_kind(resolve_path(dataset.dataset_id, base_dir)) == "folder"
