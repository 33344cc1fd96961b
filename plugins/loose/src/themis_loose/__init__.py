"""Imports loose files, each under a name that says where it is, so that other processes can import it as well.

    themis_loose.mine_3f2a91c04b7d_2f686f6d65…   namespace, hash of the content, path in hexadecimal

A worker process that is handed an object of such a module imports this one first, which teaches it to find the rest.
What a loose file imports from its own folder is found as for a script; `content_of` knows it without importing.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

__all__ = ["content_of", "content_of_one", "import_loose", "neighbours"]

_HASH = 12
_beside: dict[str, Path] = {}
"""Modules that loose files import from their folders, by their names."""
_brought: dict[str, str] = {}
"""The hashes of their files when they were imported."""


def content_of(path: Path) -> str:
    """SHA-256 in hexadecimal of a loose file and all that it imports from its own folder. Raises OSError."""
    content = path.read_bytes()
    beside = neighbours(path)
    if not beside:
        return hashlib.sha256(content).hexdigest()
    total = hashlib.sha256(content)
    for name, file in sorted(beside.items()):
        total.update(f"\n{name} {content_of_one(file)}".encode())
    return total.hexdigest()


def content_of_one(path: Path) -> str:
    """SHA-256 in hexadecimal of one file. Raises OSError."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def neighbours(path: Path) -> dict[str, Path]:
    """The modules beside a Python file that it imports, anywhere in its code and however indirectly, by their names."""
    found: dict[str, Path] = {}
    waiting = [path]
    while waiting:
        for name in _imported(waiting.pop(), path.parent, found):
            file = _file_of(path.parent, name)
            if file is not None and name not in found and file != path:
                found[name] = file
                waiting.append(file)
    return found


def import_loose(namespace: str, path: Path, content: str) -> ModuleType:
    """Import a loose file as it is now; `content` is what `content_of` gave. Raises what its code raises."""
    own = f"{namespace.replace('-', '_')}_{content[:_HASH]}_{str(path.absolute()).encode().hex()}"
    return import_module(f"{__name__}.{own}")


class _Loader(SourceFileLoader):
    """Reads the source each time: compiled files are told by second and size only, and edits can be faster."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


class _Finder:
    """Finds loose files by the path in their names, and what they import beside them."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in _beside:
            return _spec_of(name, _beside[name])
        parent, _, own = name.rpartition(".")
        if parent != __name__:
            return None
        _, content, encoded = own.rsplit("_", 2)
        file = Path(bytes.fromhex(encoded).decode())
        if content_of(file)[:_HASH] != content:
            raise ImportError(f"{file} has changed since the run began")
        _prepare(file)
        return _spec_of(name, file)


def _prepare(path: Path) -> None:
    """Make what a file imports from its folder importable, as it is now; refuse names that are taken already."""
    beside = {name: file.absolute() for name, file in neighbours(path).items()}
    digests = {name: content_of_one(file) for name, file in beside.items()}
    if any(
        (_beside.get(name, file), _brought.get(name, digests[name])) != (file, digests[name])
        for name, file in beside.items()
    ):
        for name in beside.keys() & _brought.keys():
            sys.modules.pop(name, None)
    for name, file in beside.items():
        there = getattr(sys.modules.get(name), "__file__", None)
        if name in sys.modules and (there is None or Path(there) != file):
            raise ImportError(f"{name!r} is imported from {there or 'Python itself'} already: rename {file}")
    _brought.update(digests)
    _beside.update(beside)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for names that the code makes up while it runs


def _spec_of(name: str, file: Path) -> ModuleSpec | None:
    inside = [str(file.parent)] if file.name == "__init__.py" else None
    return spec_from_file_location(name, file, loader=_Loader(name, str(file)), submodule_search_locations=inside)


def _imported(path: Path, folder: Path, found: dict[str, Path]) -> Iterator[str]:
    """Names of modules that a file's code imports, and of their packages."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return  # importing it says so
    package = _package_of(path, folder)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_packages(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            yield from _with_packages(whole)
            yield from (f"{whole}.{alias.name}" if whole else alias.name for alias in node.names)


def _package_of(path: Path, folder: Path) -> list[str]:
    return list(path.parent.relative_to(folder).parts)


def _with_packages(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[: length + 1]) for length in range(len(parts)) if name)


def _file_of(folder: Path, name: str) -> Path | None:
    base = folder.joinpath(*name.split("."))
    for file in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if file.is_file():
            return file
    return None


sys.meta_path.insert(0, _Finder)
