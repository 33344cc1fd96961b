"""The folder of a store's long texts is left out of git if Themis made it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from themis_blobs import FolderBlobs

TEXT = b"word " * 1_000
DIGEST = hashlib.sha256(TEXT).digest()


@pytest.mark.parametrize("root", ["blobs", ".themis/blobs", "a/b/c"])
def test_a_root_that_was_made_is_left_out_of_git(tmp_path: Path, root: str) -> None:
    files = FolderBlobs(tmp_path / root / "id of the store")
    files.write({DIGEST: TEXT})
    ignored = tmp_path / root / ".gitignore"
    assert ignored.read_text().endswith("*\n")
    assert list(tmp_path.rglob(".gitignore")) == [ignored]
    ignored.unlink()
    other = FolderBlobs(tmp_path / root / "id of another")
    other.write({DIGEST: TEXT})
    assert not ignored.exists()
    assert other.read(DIGEST) == files.read(DIGEST) == TEXT


def test_a_root_that_was_there_stays_as_it_is(tmp_path: Path) -> None:
    FolderBlobs(tmp_path / "id of the store").write({DIGEST: TEXT})
    assert list(tmp_path.rglob(".gitignore")) == []
