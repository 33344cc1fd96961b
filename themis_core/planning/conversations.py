"""What a user says in a conversation by rule, and when it is over: compiled, checked against items, and evaluated.

It knows no requests and no keys: `dialogues` asks it after each answer what comes next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from themis_core.planning.templates import compile_template, item_context
from themis_core.reading import Place
from themis_core.records import Generation, Item
from themis_core.specs import ConversationSpec, TurnRuleSpec, digest
from themis_templates import Expression, NotAllowed, NotThere, Template, TemplateError

__all__ = ["Conversation", "Heard"]

_HEARD: Final = ("answer", "answers", "said", "status", "tool_calls", "turn")
_CALL: Final = {"id": "c1", "type": "function", "function": {"name": "name", "arguments": "{}"}}
_SHORT: Final[dict[str, Any]] = {
    "answer": "", "answers": [""], "said": [""], "status": "answered", "tool_calls": [], "turn": 1, "reply": "",
    "call": _CALL,
}  # fmt: skip
"""What is put to templates before anything was said."""
_LONG: Final[dict[str, Any]] = {
    **_SHORT, "answer": "1 word " * 50, "answers": ["1 word "] * 100, "said": ["1 word "] * 100,
    "tool_calls": [_CALL] * 10, "turn": 2, "reply": "1 word " * 50,
}  # fmt: skip
"""The same with much that was said."""

Messages = list[dict[str, Any]]


class Heard:
    """What was said in one conversation so far, as its templates and expressions see it."""

    def __init__(self, item: Item, said: Sequence[str], answers: Sequence[Generation]) -> None:
        last = answers[-1]
        self.of = f"item {item.id!r}, after answer {len(answers)}"
        self.variables: dict[str, Any] = {
            "item": item_context(item),
            "answer": last.text,
            "answers": [each.text for each in answers],
            "said": list(said),
            "status": last.status,
            "tool_calls": list(last.tool_calls),
            "turn": len(answers),
        }


class _Part:
    """A template or an expression of the spec, with its place and what it may read."""

    def __init__(
        self, compiled: Template | Expression, text: str, place: Place, known: Sequence[str], variables: Sequence[str]
    ) -> None:
        self.compiled = compiled
        self.place = place
        self.reads = compiled.reads
        self._is_guarded = "defined" in text or "default" in text
        allowed = [*known, "item", *variables]
        if strange := [name for name in self.reads if name not in allowed]:
            quotes = "; a text stands in quotes, as in: 'yes' in answer" if isinstance(compiled, Expression) else ""
            listed = ", ".join(sorted(allowed))
            raise place.error(f"it names {strange[0]!r}, which nothing defines. Known: {listed}{quotes}")
        if isinstance(compiled, Expression) and not self.reads:
            raise place.error(
                "it is the same after every answer, for it names nothing that was said, and no field of the item. "
                "A text is looked for like this: 'order number' in answer"
            )

    @property
    def fields(self) -> frozenset[str]:
        """The fields of the item that it can't do without, as far as that is known."""
        return frozenset() if self._is_guarded else self.reads.get("item", frozenset()) or frozenset()

    def evaluate(self, context: Mapping[str, Any], of: str) -> str | bool:
        """What it gives: a text, or whether it holds. Raises TemplateError."""
        if isinstance(self.compiled, Expression):
            return self.compiled.holds(context, of)
        return self.compiled.render(context, of)

    def now(self, context: Mapping[str, Any], of: str) -> str | bool:
        """The same. Raises SpecError, which names the place."""
        try:
            return self.evaluate(context, of)
        except TemplateError as error:
            raise self.place.error(str(error)) from error


class _Rule:
    def __init__(self, spec: TurnRuleSpec, place: Place, variables: Sequence[str]) -> None:
        self.when = None if spec.when is None else _expression(spec.when, place / "when", _HEARD, variables)
        kind, text = ("say", spec.say) if spec.say is not None else ("result", spec.result or "")
        known = _HEARD if kind == "say" else (*_HEARD, "call")
        self.for_calls = kind == "result"
        self.text = _Part(compile_template(text, place / kind), text, place / kind, known, variables)

    def applies(self, context: Mapping[str, Any], of: str) -> bool:
        if self.for_calls and not context["tool_calls"]:
            return False
        return self.when is None or bool(self.when.now(context, of))

    def messages(self, context: Mapping[str, Any], of: str) -> Messages:
        if not self.for_calls:
            text = str(self.text.now(context, of))
            if not text.strip():
                raise self.text.place.error(f"it gives no text ({of})")
            return [{"role": "user", "content": text}]
        messages = []
        for call in context["tool_calls"]:
            if not (isinstance(call, dict) and isinstance(call.get("id"), str)):
                raise self.text.place.error(f"a tool call has no id, so no result can be told of it ({of})")
            result = str(self.text.now({**context, "call": call}, of))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        return messages


class Conversation:
    """The turns of a prompt variant that depend on what was said."""

    def __init__(self, spec: ConversationSpec, variables: Mapping[str, Any], place: Place) -> None:
        """Compile it; `place` is that of the conversation. Raises SpecError, also for names that nothing defines."""
        self.spec = spec
        self._variables = variables
        names = [*variables]
        self._until = None if spec.until is None else _expression(spec.until, place / "until", _HEARD, names)
        self._rules = [_Rule(rule, place.at("rules", index), names) for index, rule in enumerate(spec.rules)]
        self._user_until = None
        if spec.user is not None and spec.user.until is not None:
            known = (*_HEARD, "reply")
            self._user_until = _expression(spec.user.until, place.at("user", "until"), known, names)
        self.end = digest([spec.until, spec.user.until if spec.user else None])
        """Of what says that it is over: it is in no generation key, but says which answer is scored."""
        self._rules_digest = digest([rule.canonical() for rule in spec.rules])
        self._reads = _joined(part for rule in self._rules for part in (rule.when, rule.text) if part is not None)

    def content(self, item: Item) -> str:
        """Identity of what the rules can say about an item: they, and what they read of item and variables."""
        seen = item_context(item)
        fields = self._reads.get("item", frozenset())
        of_item = seen if fields is None else {name: seen[name] for name in sorted(fields) if name in seen}
        variables = {name: self._variables[name] for name in sorted(self._reads) if name in self._variables}
        return digest([self._rules_digest, of_item, variables])

    def is_over(self, heard: Heard) -> bool:
        """Whether it ends with the last answer. Raises SpecError if that can't be said."""
        return self._until is not None and bool(self._until.now(self._context(heard), heard.of))

    def by_rule(self, heard: Heard) -> Messages | None:
        """What the first rule that applies says; None if none does. Raises SpecError if that can't be said."""
        context = self._context(heard)
        rule = next((each for each in self._rules if each.applies(context, heard.of)), None)
        return None if rule is None else rule.messages(context, heard.of)

    def ends_with(self, heard: Heard, reply: str) -> bool:
        """Whether a reply of the simulated user ends it. Raises SpecError if that can't be said."""
        context = {**self._context(heard), "reply": reply}
        return self._user_until is not None and bool(self._user_until.now(context, heard.of))

    def check(self, item: Item) -> None:
        """Try all on an item, as far as that can be done before anything was said. Raises SpecError."""
        trying = _Trying(item, self._variables)
        for part in self._ends():
            trying.of(part)
        for rule in self._rules:
            applies = True
            if rule.when is not None:
                depends = rule.when.reads.keys() & _SHORT.keys()
                held = trying.of(rule.when)
                if depends and "item" in rule.when.reads:
                    continue  # what it says may be for other items
                applies = bool(depends) or held is not False
            if applies:
                trying.of(rule.text)

    def check_fields(self, items: Iterable[Item]) -> None:
        """Refuse a field that none of the items has. Raises SpecError."""
        parts = [*self._ends(), *(each for rule in self._rules for each in (rule.when, rule.text) if each is not None)]
        if not any(part.fields for part in parts):
            return
        known = {name for item in items for name in item_context(item)}
        for part in parts:
            if missing := sorted(part.fields - known):
                raise part.place.error(f"no item has a field {missing[0]!r}. Fields: {', '.join(sorted(known))}")

    def _ends(self) -> list[_Part]:
        return [part for part in (self._until, self._user_until) if part is not None]

    def _context(self, heard: Heard) -> dict[str, Any]:
        return {**self._variables, **heard.variables}


def _expression(text: str, place: Place, known: Sequence[str], variables: Sequence[str]) -> _Part:
    try:
        compiled = Expression(text)
    except TemplateError as error:
        raise place.error(str(error)) from error
    return _Part(compiled, text, place, known, variables)


class _Trying:
    """Evaluates on one item, and on what could be said, to find what would fail whatever is said."""

    def __init__(self, item: Item, variables: Mapping[str, Any]) -> None:
        of_item = item_context(item)
        self._of = f"item {item.id!r}"
        self._short, self._long = ({**variables, **said, "item": of_item} for said in (_SHORT, _LONG))
        self._others = [{**self._long, "item": dict.fromkeys(of_item, value)} for value in ("text", 1)]

    def of(self, part: _Part) -> str | bool | None:
        """What it gives before anything was said; None if that is not to be had. Raises SpecError if it is the item's
        fault, a field being missing or of a kind with which it never works, or if it does what is not allowed."""
        try:
            return part.evaluate(self._short, self._of)
        except TemplateError as error:
            is_missing = isinstance(error, NotThere) and error.of is not None and error.of not in _SHORT
            never_works = not self._works(part, self._long) and any(self._works(part, each) for each in self._others)
            if is_missing or never_works or isinstance(error, NotAllowed):
                raise part.place.error(str(error)) from error
            return None

    def _works(self, part: _Part, context: Mapping[str, Any]) -> bool:
        try:
            part.evaluate(context, self._of)
        except TemplateError:
            return False
        return True


def _joined(parts: Iterable[_Part]) -> dict[str, frozenset[str] | None]:
    """What several read together."""
    joined: dict[str, frozenset[str] | None] = {}
    for part in parts:
        for name, fields in part.reads.items():
            before = joined.get(name, frozenset())
            joined[name] = None if fields is None or before is None else before | fields
    return joined
