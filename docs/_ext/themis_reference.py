"""Writes the reference before Sphinx reads its pages: one for each spec, hook, component kind, error and command.

Everything on a page comes from the code (descriptions, docstrings, signatures, click's tree), so that nothing can go
stale. The READMEs of the plugins get pages too: other pages link to them where they are in the repository, and those
links are bent to the pages, because Sphinx knows nothing outside of its folder. It imports
Sphinx nowhere, so that the tests need none.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel

import themis_core.cli
from themis_core import components, discovery, errors, hookspecs, specs
from themis_core.components.scoring import Scoring
from themis_core.records import ERROR_CODES, ERROR_REMEDIES, SCORE_FAULTS
from themis_core.specs import Spec

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GROUPS = {
    "specs": "Specs",
    "hooks": "Hooks",
    "components": "Component kinds",
    "errors": "Errors",
    "commands": "Commands",
    "plugins": "Plugins",
}
PLUGINS = Path(__file__).parents[2] / "plugins"
COMPANIONS: Mapping[str, tuple[type, ...]] = {
    "conclusion": (components.Finding,),
    "engine": (components.Capabilities,),
    "judge": (components.JudgedAnswer, components.JudgeRequest, components.JudgeReply),
    "storage_backend": (components.Store, components.Damage, components.OnlyHere, components.UnusedFile),
}
"""What the methods of a kind take or return, shown on its page."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "reference" / "generated"))
    app.connect("source-read", _bend_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(folder: Path) -> None:
    """Write all pages and remove those that are no longer; unchanged files keep their time, so builds stay short."""
    wanted = pages()
    for old in folder.rglob("*.md"):
        if old.relative_to(folder).as_posix() not in wanted:
            old.unlink()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def pages() -> dict[str, str]:
    """All pages of the reference: `group/name.md` to text."""
    found = {
        "specs": {name: _spec(cls) for name, cls in spec_classes().items()},
        "hooks": {name: _hook(name, function) for name, function in hooks().items()},
        "components": {kind: _component(kind, cls) for kind, cls in components.COMPONENT_KINDS.items()},
        "errors": {name: _error(getattr(errors, name)) for name in errors.__all__},
        "commands": {name.replace(" ", "-"): _command(context) for name, context in commands().items()},
        "plugins": {path.parent.name: _readme(path) for path in sorted(PLUGINS.glob("*/README.md"))},
    }
    texts = {f"{group}/{name}.md": text for group, each in found.items() for name, text in each.items()}
    return texts | {f"{group}/index.md": _index(GROUPS[group], list(each)) for group, each in found.items()}


def spec_classes() -> dict[str, type[Spec]]:
    """The public spec classes by name; the base class is none of them."""
    named = {name: getattr(specs, name) for name in specs.__all__}
    return {
        name: cls for name, cls in named.items() if isinstance(cls, type) and issubclass(cls, Spec) and cls is not Spec
    }


def hooks() -> dict[str, Any]:
    """The hook specs by name, in the order of their module."""
    return {name: function for name, function in vars(hookspecs).items() if name.startswith("themis_")}


@cache
def commands() -> dict[str, click.Context]:
    """Every command of `themis` and of the plugins here, groups included, by its whole name: a context to ask click
    for its help."""
    root = click.Context(themis_core.cli.cli, info_name="themis")
    found = dict(_walk(root))
    for name in discovery.commands():
        command = themis_core.cli.cli.get_command(root, name)
        assert command is not None
        found |= _walk(click.Context(command, parent=root, info_name=name))
    for path in sorted(PLUGINS.glob("*/src/*/plugin.py")):
        namespace = path.parent.name.removeprefix("themis_plugin_")
        with suppress(click.UsageError):  # it adds none
            if group := themis_core.cli.cli.get_command(root, namespace):  # else it is not installed here, as Ray's
                found |= _walk(click.Context(group, parent=root, info_name=namespace))
    return found


def _walk(context: click.Context) -> Iterator[tuple[str, click.Context]]:
    yield context.command_path, context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                yield from _walk(click.Context(command, parent=context, info_name=name))


def _readme(path: Path) -> str:
    """A plugin's README, with its links to another one, to pages and to that of the repository bent to the pages."""
    text = re.sub(r"\]\(\.\./(\w+)/README\.md", r"](\1.md", path.read_text("utf-8"))
    text = re.sub(r"\]\(\.\./\.\./docs/([\w-]+\.md)", r"](../../../\1", text)
    return text.replace("](../../README.md", "](../../../index.md")


def _bend_links(app: Sphinx, page: str, source: list[str]) -> None:
    """Let a page's links to READMEs of plugins, as they work in the repository, lead to the pages made of them."""
    up = "../" * page.count("/")
    source[0] = re.sub(r"\]\(\.\./plugins/(\w+)/README\.md", rf"]({up}reference/generated/plugins/\1.md", source[0])


def _index(title: str, names: list[str]) -> str:
    return f"# {title}\n\n```{{toctree}}\n:maxdepth: 1\n\n" + "\n".join(names) + "\n```\n"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _doc(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


# --- specs


def _spec(cls: type[Spec]) -> str:
    rows = [
        [f"`{field.alias or name}`", _linked_type(field.annotation), _default(field), field.description or ""]
        for name, field in cls.model_fields.items()
    ]
    limits = {field.alias or name: _limits(field) for name, field in cls.model_fields.items()}
    for row, limit in zip(rows, limits.values(), strict=True):
        row[1] += f", {limit}" if limit else ""
    extra = "\nOther keys are allowed: they go to the component.\n" if cls.model_config.get("extra") == "allow" else ""
    return f"# {cls.__name__}\n\n{_doc(cls)}\n\n{_table(['field', 'type', 'default', 'what it says'], rows)}\n{extra}"


def _linked_type(annotation: Any) -> str:
    # Code and links can't nest, so the type is cut into pieces of code around the links.
    pieces = re.split(rf"\b({'|'.join(spec_classes())})\b", type_text(annotation))
    return " ".join(
        f"[{each}]({each}.md)" if place % 2 else f"`{each.strip()}`"
        for place, each in enumerate(pieces)
        if each.strip()
    )


def type_text(annotation: Any) -> str:
    """A type as one writes it: `list[str] | None`, without modules."""
    if annotation is None or annotation is type(None):
        return "None"
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(map(type_text, get_args(annotation)))
    if get_origin(annotation) is Literal:
        return " | ".join(json.dumps(each) for each in get_args(annotation))
    if get_args(annotation) and hasattr(annotation, "__metadata__"):
        return type_text(get_args(annotation)[0])
    if get_args(annotation):
        return f"{get_origin(annotation).__name__}[{', '.join(map(type_text, get_args(annotation)))}]"
    return getattr(annotation, "__name__", str(annotation))


def _limits(field: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤"}
    return ", ".join(
        f"{sign} {getattr(each, name)}"
        for each in field.metadata
        for name, sign in signs.items()
        if getattr(each, name, None) is not None
    )


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return ""
    return f"`{json.dumps(_plain(value))}`"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    return [_plain(each) for each in value] if isinstance(value, list) else value


# --- hooks, components, errors


def _hook(name: str, function: Any) -> str:
    return f"# {name}\n\n```text\n{_signature(name, function)}\n```\n\n{_doc(function)}\n"


def _signature(name: str, function: Any) -> str:
    signature = re.sub(r"'([^']*)'", r"\1", str(inspect.signature(function)))
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    whole = f"{prefix}{name}{signature}"
    if len(whole) <= 100:
        return whole
    return "\n    ".join(textwrap.wrap(whole, 96, break_long_words=False, break_on_hyphens=False))


def _component(kind: str, cls: type) -> str:
    register = hookspecs.REGISTRATION_HOOKS[kind]
    intro = f"Base class `{cls.__name__}`, registered by [{register}](../hooks/{register}.md)."
    parts = [f"# {kind}", intro, _members(cls)]
    if issubclass(cls, Scoring):
        parts.append(f"## Of metrics and judges\n\n{_members(Scoring)}")
    parts.append(f"## Of every component\n\n{_members(components.Component)}")
    parts += [f"## {each.__name__}\n\n{_members(each)}" for each in COMPANIONS.get(kind, ())]
    return "\n\n".join(parts) + "\n"


def _members(cls: type) -> str:
    parts = [_doc(cls)]
    notes = _attribute_notes(cls)
    parts += [_attribute(cls, name, note) for name, note in notes.items()]
    for name, member in vars(cls).items():
        if name.startswith("_") or name == "model_config" or name in notes:
            continue
        if isinstance(member, property):
            parts.append(f"**`{name}`** (property)\n\n{_doc(member)}")
        elif inspect.isfunction(member):
            required = " (must be implemented)" if getattr(member, "__isabstractmethod__", False) else ""
            parts.append(f"**`{name}`**{required}\n\n```text\n{_signature(name, member)}\n```\n\n{_doc(member)}")
    return "\n\n".join(part for part in parts if part)


def _attribute(cls: type, name: str, note: str) -> str:
    value = vars(cls).get(name, inspect.Parameter.empty)
    plain = isinstance(value, bool | int | float | str) or value is None
    default = f", default `{value}`" if plain else ""
    return f"**`{name}`**{default}\n\n{note}".rstrip()


def _attribute_notes(cls: type) -> dict[str, str]:
    """The annotated attributes of a class with the docstrings beneath them, which Python itself does not keep."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
    notes = {}
    for place, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            after = body[place + 1] if place + 1 < len(body) else None
            match after:
                case ast.Expr(ast.Constant(str(note))):
                    notes[node.target.id] = inspect.cleandoc(note)
                case _:
                    notes[node.target.id] = ""
    return notes


def _error(cls: type[errors.ThemisError]) -> str:
    base = cls.__bases__[0].__name__
    lines = [f"# {cls.__name__}", _doc(cls)]
    if cls is errors.EngineError:
        lines.append("**Exit code:** none of its own. The run catches it, and ends with 5 if trials failed.")
        rows = [[f"`{code}`", meaning, ERROR_REMEDIES[code]] for code, meaning in ERROR_CODES.items()]
        lines.append("## Codes\n\n" + _table(["code", "meaning", "what to do"], rows))
        faults = [[f"`{reason}`", meaning] for reason, meaning in SCORE_FAULTS.items()]
        lines.append(
            "## Faults of extractors, metrics and judges\n\nThey fail no trial. The score is unscored, with one of"
            " these reasons, and the next run tries it again.\n\n" + _table(["reason", "meaning"], faults)
        )
    else:
        lines.append(f"**Exit code:** {cls.exit_code}")
    if base in errors.__all__:
        lines.insert(2, f"**Is a:** [{base}]({base}.md)")
    return "\n\n".join(lines) + "\n"


# --- commands


def _command(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"# {context.command_path}", f"```text\n{usage}\n```", _help(command)]
    rows = [row for param in command.get_params(context) if (row := _parameter(param, context))]
    if rows:
        parts.append(_table(["argument or option", "what it says"], rows))
    if isinstance(command, click.Group):
        below = [
            name
            for name, each in commands().items()
            if each.parent is not None and each.parent.command_path == context.command_path
        ]
        links = "\n".join(f"- [{name}]({name.replace(' ', '-')}.md)" for name in below)
        parts.append(f"## Commands\n\n{links}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _help(command: click.Command) -> str:
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    # A paragraph that click must not wrap begins with \b; here it is a block of its own.
    return re.sub(r"\x08\n((?:.+\n?)+)", lambda match: f"```text\n{match[1].rstrip()}\n```\n", text)


def _parameter(param: click.Parameter, context: click.Context) -> list[str] | None:
    record = param.get_help_record(context)
    if record is not None:
        need = "Required." if param.required else "May be left out."
        return [f"`{record[0]}`", _escaped(record[1]) or need]
    if isinstance(param, click.Argument):
        return [f"`{param.make_metavar(context)}`", "Required." if param.required else "May be left out."]
    return None


def _escaped(text: str) -> str:
    return re.sub(r"([\[\]<>*_])", r"\\\1", text)
