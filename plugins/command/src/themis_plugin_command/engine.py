"""The engine that asks a program."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import shutil
import time
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator

from themis_core import (
    Capabilities,
    Code,
    Engine,
    EngineError,
    Generation,
    Request,
    SpecError,
    digest,
    path_kind,
    resolve_path,
)
from themis_pacing import attempt_ends
from themis_plugin_command.lines import answer_of, asked_line
from themis_plugin_command.program import Program, Settings

__all__ = ["JsonLinesEngine"]

_ALWAYS = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "USER", "SHELL")
"""Variables that programs get without being named: where things are, and how text is written."""


class JsonLinesEngine(Engine):
    """Asks a program in lines of JSON: each request is a line on its standard input, each reply one on its output.

    A request has `id, item, params, seed, sample, item_id, model`, and `messages` if they are wanted. A reply has the
    same `id`, in any order, and `text` with other fields of a generation, or `error`.
    """

    run: list[str] = Field(
        description="The program and its arguments: a list, or a text of shell words. There is no shell.", min_length=1
    )
    takes: list[str] = Field(
        default_factory=lambda: ["*"],
        description="What of each item it is sent: names of fields, `metadata`, `reference`, or `*` for all fields but "
        "the reference. A `?` at the end of a name: if the item has it.",
    )
    prompt: bool = Field(False, description="Whether it is sent the rendered messages of a prompt.")
    mode: Literal["serve", "once"] = Field(
        "serve",
        description="`serve`: it is started once and asked many times; `once`: it is started for each request, sees "
        "the end of its input after the line, and writes one line.",
    )
    processes: int = Field(1, ge=1, le=64, description="How many of it run at the same time, at most.")
    places: int | None = Field(
        None,
        alias="at_once",
        ge=1,
        description="How many requests are in its hands at the same time, in all its processes; by default one each.",
    )
    cwd: str | None = Field(
        None, description="Folder that it is started in, relative to the spec file; by default that of the spec file."
    )
    env: list[str] = Field(
        default_factory=list,
        description="Names of environment variables that it gets, besides those such as PATH and HOME.",
    )
    files: list[str] = Field(
        default_factory=list,
        description="Files that it is made of or reads, or globs; files that `run` names count without being named.",
    )
    code_version: str | None = Field(
        None,
        min_length=1,
        description="What counts in place of the content of its files: a version that you raise yourself, or the "
        "digest of a former content, whose answers are then kept.",
    )
    max_line_mb: int = Field(16, ge=1, le=512, description="Megabytes that one line of it may have.")
    ending_s: float = Field(5.0, gt=0, le=60, description="Seconds that it has to end after the end of its input.")
    costs: bool = Field(
        False, description="Whether every reply says its `cost`, so that `max_cost` can bound it without a price."
    )

    not_identity: ClassVar[frozenset[str]] = frozenset(
        {
            "code_version",
            "costs",
            "cwd",
            "ending_s",
            "env",
            "files",
            "max_line_mb",
            "mode",
            "places",
            "processes",
            "takes",
        }
    )

    _settings: Settings | None = PrivateAttr(None)
    _code: Code | None = PrivateAttr(None)
    _programs: list[Program] = PrivateAttr(default_factory=list)
    _ending: set[asyncio.Task[None]] = PrivateAttr(default_factory=set)
    _numbers: Any = PrivateAttr(default_factory=count)
    _starting: asyncio.Lock | None = PrivateAttr(None)
    _places_free: asyncio.Semaphore | None = PrivateAttr(None)

    @field_validator("run", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return shlex.split(value) if isinstance(value, str) else value

    @property
    def endpoint(self) -> str:
        """Of each program its own."""
        return f"command {Path(self.run[0]).name} {digest(self.run)[:8]}"

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """It is told all settings, and sees all parts of messages if it sees messages."""
        return Capabilities(
            seed=True, logprobs=True, n=True, tools=True, images=True, audio=True, files=True, structured=True,
            costs=self.costs,
        )  # fmt: skip

    @property
    def at_once(self) -> int:  # type: ignore[override]
        """How many requests may be in flight."""
        return self.places or self.processes

    @property
    def item_fields(self) -> tuple[str, ...]:
        return tuple(self.takes)

    @property
    def reads_prompt(self) -> bool:
        return self.prompt

    @property
    def code(self) -> Code | None:
        return self._code

    def check_params(self, params: dict[str, Any]) -> None:
        """Take any: the program is told them."""

    def check(self, base_dir: Path) -> None:
        """Look for the program, its folder, its variables and its files. Raises SpecError."""
        if os.name != "posix":
            raise SpecError("command/jsonl needs a POSIX system, such as Linux or macOS")
        folder = base_dir if self.cwd is None else resolve_path(self.cwd, base_dir)
        if not folder.is_dir():
            raise SpecError(f"cwd: {folder} is {path_kind(folder)}; a folder was expected")
        if missing := [name for name in self.env if name not in os.environ]:
            raise SpecError(f"env: the environment has no variable {missing[0]}: set it, or take it out")
        env = {name: os.environ[name] for name in (*_ALWAYS, *self.env) if name in os.environ}
        first = self.run[0]
        place = str((folder / first).absolute()) if "/" in first else first
        if shutil.which(place, path=env.get("PATH")) is None:
            raise SpecError(f"run: there is no program {first!r} that can be started{_hint(folder, first)}")
        self._settings = Settings(
            [place, *self.run[1:]],
            folder.absolute(),
            env,
            self.max_line_mb * 1024**2,
            self.ending_s,
            once=self.mode == "once",
        )
        self._code = self._found_code(folder, base_dir)

    def _found_code(self, folder: Path, base_dir: Path) -> Code:
        words = [each for each in self.run if not Path(each).is_absolute()]
        files = {each: _content(folder / each) for each in words if (folder / each).is_file()}
        for pattern in self.files:
            try:
                found = [each for each in sorted(base_dir.glob(pattern)) if each.is_file()]
            except (NotImplementedError, ValueError) as error:
                raise SpecError(f"files: {pattern!r} is to be relative to the spec file ({error})") from error
            if not found:
                raise SpecError(f"files: nothing matches {pattern!r}")
            files |= {each.relative_to(base_dir).as_posix(): _content(each) for each in found}
        if not files and self.code_version is None:
            raise SpecError(
                "run: it names no file, so nobody can see when the program changes: name its `files`, or state a "
                "`code_version`"
            )
        content = self.code_version or digest(files)
        return Code(shlex.join(self.run), content, files, "write `code_version: {content}` into the model's extras")

    async def start(self) -> None:
        self._starting = asyncio.Lock()
        self._places_free = asyncio.Semaphore(self.at_once)

    async def stop(self) -> None:
        programs, self._programs = self._programs, []
        await asyncio.gather(*(each.end() for each in programs), *self._ending)

    async def generate(self, request: Request) -> Generation:
        if self._places_free is None:
            raise RuntimeError("command/jsonl is not started")
        number = str(next(self._numbers))
        line = asked_line(request, number, messages=self.prompt)
        async with self._places_free:
            program = await self._program()
            try:
                async with asyncio.timeout(left := _seconds_left()):
                    reply = await program.ask(number, line, last=self.mode == "once")
            except (TimeoutError, asyncio.CancelledError) as late:
                if program.at_work == 0:
                    program.kill()  # it had its time
                if isinstance(late, TimeoutError):
                    raise EngineError("timeout", f"no reply within {left or 0:.3g} s") from late
                raise
            finally:
                if self.mode == "once":
                    program.retired = True
                self._let_end()
        return answer_of(reply)

    async def _program(self) -> Program:
        """One that can be asked: the least busy, or a new one where there is room."""
        assert self._starting is not None
        assert self._settings is not None
        async with self._starting:
            self._let_end()
            idle = [each for each in self._programs if not each.retired]
            if self.mode == "serve" and idle:
                best = min(idle, key=lambda each: each.at_work)
                if not best.at_work or len(self._programs) >= self.processes:
                    return best
            program = Program(self._settings)
            await program.start()
            self._programs.append(program)
            return program

    def _let_end(self) -> None:
        """End those that are asked nothing more, once nothing of them is awaited."""
        for each in [one for one in self._programs if one.retired and not one.at_work]:
            self._programs.remove(each)
            task = asyncio.ensure_future(each.end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


def _hint(folder: Path, first: str) -> str:
    path = folder / first
    if path.is_file():
        return (
            f": make it executable (chmod +x {first}), or name what runs it" if "/" in first else f": write ./{first}"
        )
    return ""


def _seconds_left() -> float | None:
    """A little less than the attempt has, so that a late reply is told by this engine, and not asked for again."""
    end = attempt_ends.get()
    if end is None:
        return None
    left = end - time.monotonic()
    return max(0.05, left - min(1.0, left * 0.05))


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
