"""What becomes of the file, device, pipe, socket or link that an export is written to."""

from __future__ import annotations

import os
import pty
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from themis_output import CannotWrite, atomic_output, whole_folder

TEXT = "what was exported\n"


def write(path: Path) -> None:
    with atomic_output(path) as part:
        part.write_text(TEXT)


def test_a_new_file_is_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write(tmp_path / "new.csv")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"new.csv": TEXT}


def test_a_plain_file_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("before")
    path.chmod(0o600)
    write(path)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (TEXT, 0o600)


def test_a_file_is_as_before_when_the_export_fails(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError), atomic_output(path) as part:
        part.write_text("half \ud800", encoding="utf-8")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"old.csv": "before"}


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path: Path, *, there: bool) -> None:
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "target.csv"
    if there:
        target.write_text("before")
    link, chain = tmp_path / "link.csv", tmp_path / "chain.csv"
    link.symlink_to(target)
    chain.symlink_to("link.csv")
    write(chain)
    assert (link.is_symlink(), chain.is_symlink(), target.read_text()) == (True, True, TEXT)
    assert [each.name for each in (tmp_path / "far").iterdir()] == ["target.csv"]


def test_a_named_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join(10)
    assert (read, stat.S_ISFIFO(pipe.stat().st_mode)) == ([TEXT], True)


def test_a_socket_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        write(path)
        connection, _ = server.accept()
        with connection:
            assert connection.makefile().read() == TEXT
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_terminal_is_written_to() -> None:
    near, far = pty.openpty()
    try:
        write(Path(os.ttyname(far)))
        assert os.read(near, 100).decode().replace("\r", "") == TEXT
    finally:
        os.close(near)
        os.close(far)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root can make a device")
def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        null.write_text("")
    except OSError as error:
        pytest.skip(f"NOT RUN: this machine makes no devices in {tmp_path}: {error}")
    write(null)
    write(Path(os.devnull))
    assert stat.S_ISCHR(null.stat().st_mode)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_a_full_device_is_an_error() -> None:
    with pytest.raises(CannotWrite, match=r"can't write /dev/full: No space left on device"):
        write(Path("/dev/full"))


@pytest.mark.parametrize("target", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("mode", ["w", "a"])
def test_an_open_file_is_written_to_where_a_shell_has_redirected_it(tmp_path: Path, target: str, mode: str) -> None:
    out = tmp_path / "out.txt"
    out.write_text("before\n")
    code = (
        "from pathlib import Path; from themis_output import atomic_output\n"
        f"with atomic_output(Path({target!r})) as part: part.write_text({TEXT!r})"
    )
    with out.open(mode) as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
        file.write("after\n") if mode == "a" else None
    assert out.read_text() == ("before\n" if mode == "a" else "") + TEXT + ("after\n" if mode == "a" else "")
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert piped.stdout == TEXT


def a_folder(path: Path) -> Path:
    path.mkdir()
    return path


def a_ring(path: Path) -> Path:
    path.symlink_to(path)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (a_folder, "it is a folder"),
        (a_ring, "Too many levels of symbolic links"),
        (lambda path: path / "nowhere" / "out.csv", "No such file"),
        (lambda path: path.with_name("target" + "x" * 300), "File name too long"),
        (lambda path: (path.write_text("") and path) or path / "in_a_file", "Not a directory"),
    ],
)
def test_what_can_not_be_written_is_an_error_that_names_it(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    path = make(tmp_path / "target")
    with pytest.raises(CannotWrite, match=rf"can't write .*target.*: {message}"):
        write(path)


def test_what_a_killed_export_left_is_removed_by_the_next_one_to_that_file(tmp_path: Path) -> None:
    target = tmp_path / "out[1].csv"
    old, young, other, stranger = (
        tmp_path / name
        for name in (
            ".out[1].csv.0123abcd.part",
            ".out[1].csv.abcd0123.part",
            ".out1.csv.0123abcd.part",
            ".out[1].csv.part",
        )
    )
    for each in (old, young, other, stranger):
        each.write_text("half")
        if each != young:
            os.utime(each, (0, 0))
    with atomic_output(target) as part:
        part.write_text("whole")
    assert target.read_text() == "whole"
    assert [each.exists() for each in (old, young, other, stranger)] == [False, True, True, True]


def test_a_folder_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "new" / "out") as part:
        (part / "file").write_text("whole")
        assert not (tmp_path / "new" / "out").exists()
    assert (tmp_path / "new" / "out" / "file").read_text() == "whole"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_what_a_killed_export_left_of_a_folder_is_removed_by_the_next_one(tmp_path: Path) -> None:
    names = (".out.0123abcd.part", ".out.abcd0123.part", ".out.aaaaaaaa.part", ".out2.0123abcd.part", ".out.part")
    old, young, busy, other, stranger = (a_folder(tmp_path / name) for name in names)
    (old / "deep").mkdir()
    for each in (old / "deep" / "file", busy / "file"):
        each.write_text("half")
    for each in (old / "deep" / "file", old / "deep", old, busy, other, stranger):  # a file in `busy` is new
        os.utime(each, (0, 0))
    with whole_folder(tmp_path / "out") as part:
        (part / "file").write_text("whole")
    assert (tmp_path / "out" / "file").read_text() == "whole"
    assert [each.exists() for each in (old, young, busy, other, stranger)] == [False, True, True, True, True]


def test_an_empty_folder_stays_empty_if_its_content_fails(tmp_path: Path) -> None:
    def write() -> None:
        with whole_folder(tmp_path / "empty") as part:
            (part / "file").write_text("half")
            raise ZeroDivisionError

    (tmp_path / "empty").mkdir()
    with pytest.raises(ZeroDivisionError):
        write()
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    for path in (tmp_path / "out", tmp_path / "out" / "file"):
        with pytest.raises(CannotWrite, match="is there already: name a new folder"), whole_folder(path):
            pass
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "file"]
