"""Local files of a dataset: where they are, and what pins them."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path
from typing import Any, Final

from themis_core import SpecError, resolve_path

__all__ = ["BUILDERS", "data_paths", "fingerprints"]

BUILDERS: Final = frozenset({"arrow", "csv", "json", "parquet", "text"})
"""The library's own readers, which need `data_files`."""


def data_paths(dataset_id: str, data_files: Any, base_dir: Path) -> Any:
    """Return `data_files` with paths that start at `base_dir`, for the library's own readers; else as given."""
    if dataset_id not in BUILDERS:
        return data_files
    if data_files is None:
        raise SpecError(f"dataset_id {dataset_id!r} is a reader of files: name them in extras.data_files")
    if isinstance(data_files, dict):
        return {split: data_paths(dataset_id, each, base_dir) for split, each in data_files.items()}
    if isinstance(data_files, list):
        return [data_paths(dataset_id, each, base_dir) for each in data_files]
    return data_files if "://" in data_files else str(resolve_path(data_files, base_dir.resolve()))


def fingerprints(dataset_id: str, data_files: Any, base_dir: Path) -> list[dict[str, Any]]:
    """Path, size in bytes and SHA-256 of every local file of the dataset, sorted by path; no addresses."""
    if dataset_id in BUILDERS:
        paths = _matches(data_paths(dataset_id, data_files, base_dir))
    else:
        folder = resolve_path(dataset_id, base_dir).resolve()
        paths = {path for path in folder.rglob("*") if not _is_hidden(path.relative_to(folder))}
    return [_fingerprint(path, base_dir.resolve()) for path in sorted(paths) if path.is_file()]


def _matches(patterns: Any) -> set[Path]:
    if isinstance(patterns, str):
        if "://" in patterns:
            return set()
        # `Path.glob` takes no absolute patterns.
        return {Path(name) for name in [patterns, *glob.glob(patterns, recursive=True)]}  # noqa: PTH207
    return set().union(*map(_matches, patterns.values() if isinstance(patterns, dict) else patterns))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _fingerprint(path: Path, base_dir: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.tell()
    name = path.relative_to(base_dir) if path.is_relative_to(base_dir) else path
    return {"path": name.as_posix(), "size": size, "sha256": sha256}
