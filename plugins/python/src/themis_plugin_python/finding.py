"""Finds what `call` names, imports it by its content, and knows the digest of its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from themis_core import SpecError, digest, path_kind, resolve_path, shown_path
from themis_loose import content_of, content_of_one, import_loose, neighbours

__all__ = ["Found", "find"]


_imported: dict[str, str] = {}
"""The source of each installed module when it was imported here: Python imports it once."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where the code is, and what it was when it was found. Plain, so that other processes can load it as well."""

    name: str
    """The attribute, dotted if it is within another."""
    module: str | None
    """An installed module; None for a file."""
    path: str
    """The file; that of the module, if it is installed."""
    source: str
    """SHA-256 of the source: the file with what it imports from its folder, or all files of the module's package."""
    content: str
    """SHA-256 of the source, and of the further files that the code reads."""
    files: Mapping[str, str]
    """Name to SHA-256."""

    def load(self) -> Any:
        """The object itself. Raises what importing raises, ImportError if a file has changed, AttributeError."""
        module: ModuleType
        if self.module is not None:
            module = import_module(self.module)
            if _imported.setdefault(self.module, self.source) != self.source:
                raise ImportError(f"{self.module} has changed since this process imported it: start anew")
        else:
            module = import_loose("python", Path(self.path), self.source)
        return reduce(getattr, self.name.split("."), module)


def find(call: str, further: Sequence[str], base_dir: Path) -> Found:
    """What `module:name` or `path/to/file.py:name` means; nothing is imported but the packages of a module.

    `further` are files, or globs, whose content counts as well. Raises SpecError.
    """
    where, colon, name = call.rpartition(":")
    if not colon or not where or not all(each.isidentifier() for each in name.split(".")):
        raise SpecError(
            f"call: {call!r} is neither module:name nor path/to/file.py:name; write the name of a function or class "
            "after the colon"
        )
    more = _further(further, base_dir)
    path = _file(where, base_dir)
    if path is not None:
        beside = {file.relative_to(path.parent).as_posix(): file for file in neighbours(path).values()}
        files = {path.name: content_of_one(path), **{each: content_of_one(file) for each, file in beside.items()}}
        return _found(name, None, path, content_of(path), files, more)
    spec = _module(where, call)
    sources = _sources(where, spec)
    files = {each: content_of_one(file) for each, file in sorted(sources.items())}
    return _found(name, where, Path(spec.origin or ""), digest(files), files, more)


def _found(
    name: str, module: str | None, path: Path, content: str, files: dict[str, str], more: dict[str, str]
) -> Found:
    return Found(name, module, str(path), content, digest([content, more]) if more else content, {**files, **more})


def _file(where: str, base_dir: Path) -> Path | None:
    """The file that is meant: one that is named, or the module of that name beside the spec."""
    if where.endswith(".py") or "/" in where:
        path = resolve_path(where, base_dir).absolute()
        if not path.is_file():
            raise SpecError(f"call: {shown_path(path)} is {path_kind(path)}; a Python file was expected")
        return path
    beside = base_dir.joinpath(*where.split("."))
    for path in (beside.with_name(f"{beside.name}.py"), beside / "__init__.py"):
        if path.is_file():
            return path.absolute()
    return None


def _module(where: str, call: str) -> ModuleSpec:
    try:
        spec = find_spec(where) if all(each.isidentifier() for each in where.split(".")) else None
    except ImportError as error:
        raise SpecError(f"call: the package of {call!r} can't be imported: {error}") from error
    if spec is None:
        raise SpecError(
            f"call: there is no module {where!r}, neither installed nor beside the spec. For a file, write its path, "
            "such as app.py:answer"
        )
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise SpecError(
            f"call: {where!r} has no source in Python, so nobody can see when it changes: call it from a file of yours"
        )
    return spec


def _sources(where: str, spec: ModuleSpec) -> dict[str, Path]:
    """All Python files of the top package of a module, or its own file if it is in none."""
    top = find_spec(where.partition(".")[0])
    folders = list(top.submodule_search_locations or ()) if top is not None else []
    if not folders:
        return {Path(spec.origin or "").name: Path(spec.origin or "")}
    return {
        file.relative_to(Path(folder).parent).as_posix(): file
        for folder in folders
        for file in Path(folder).rglob("*.py")
        if file.is_file()
    }


def _further(patterns: Sequence[str], base_dir: Path) -> dict[str, str]:
    """The content of files that the code reads, by their names relative to the spec."""
    found: dict[str, str] = {}
    for pattern in patterns:
        whole = resolve_path(pattern, base_dir)
        paths = [whole] if whole.is_file() else sorted(each for each in _globbed(whole) if each.is_file())
        if not paths:
            raise SpecError(f"files: nothing matches {pattern!r}")
        for path in paths:
            name = path.relative_to(base_dir).as_posix() if path.is_relative_to(base_dir) else path.name
            found[name] = content_of_one(path)
    return found


def _globbed(whole: Path) -> list[Path]:
    if whole.is_dir():
        return list(whole.rglob("*"))
    anchor = Path(whole.anchor)
    return list(anchor.glob(str(whole.relative_to(anchor)))) if whole.anchor else list(Path().glob(str(whole)))
