"""Which columns of a recorded row mean what, and the generation that a row makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import methodcaller
from typing import Any, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

from themis_core import Generation, Usage, generation_of

__all__ = ["Columns", "KeyColumns", "KeyFields", "ReplayFields", "reader"]

GenerationStatus: TypeAlias = Literal["answered", "refused", "truncated", "empty", "absent", "failed"]

# What the common APIs say; all else is an ordinary end.
_STATUS_OF_FINISH: Final[Mapping[str, Literal["refused", "truncated"]]] = {
    "length": "truncated",
    "max_tokens": "truncated",
    "max_output_tokens": "truncated",
    "content_filter": "refused",
    "refusal": "refused",
    "safety": "refused",
}
_STATUSES: Final = get_args(GenerationStatus)
_LISTS: Final = ("tool_calls", "steps")
_COUNTS: Final = ("input_tokens", "output_tokens", "reasoning_tokens", "cached_input_tokens", "cache_write_tokens")


class KeyFields(BaseModel):
    """Columns that say which answer a recorded row is about; a dot reaches into nested objects (`meta.id`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field("id", description="Column of the item id.")
    model: str | None = Field(
        None, description="Column of the id of the model that answered. Without it, every row is of whichever model."
    )
    sample: str | None = Field(
        None, description="Column of the sample index, from 0. Without it, every row is sample 0."
    )


class ReplayFields(KeyFields):
    """Columns of a recorded row; a dot reaches into nested objects (`usage.prompt_tokens`)."""

    output: str = Field("output", description="Column of the output: text, or null for none.")
    match: str | None = Field(
        None,
        description="Column of a text that must occur in the request's last user message, to tell prompt variants "
        "apart. A row without such a text answers any prompt; of several rows the longest text wins.",
    )
    status: str | None = Field(
        None,
        description="Column of how the generation ended: answered, refused, truncated, empty, absent or failed. "
        "Without it, the finish reason and the output tell.",
    )
    finish_reason: str | None = Field(None, description="Column of the provider's finish reason.")
    reasoning: str | None = Field(None, description="Column of the reasoning text, kept apart from the output.")
    refusal: str | None = Field(None, description="Column of the provider's refusal text.")
    error: str | None = Field(None, description="Column of an error text; a row that has one is a failed generation.")
    tool_calls: str | None = Field(
        None, description="Column of the tool calls: a list of objects with `id`, `type` and `function`."
    )
    steps: str | None = Field(
        None,
        description="Column of the steps of an application: a list of objects with `kind`, `name`, `input` and so on.",
    )
    input_tokens: str | None = Field(None, description="Column of the count of input tokens.")
    output_tokens: str | None = Field(None, description="Column of the count of output tokens.")
    reasoning_tokens: str | None = Field(None, description="Column of the count of reasoning tokens.")
    cached_input_tokens: str | None = Field(None, description="Column of the count of cached input tokens.")
    cache_write_tokens: str | None = Field(None, description="Column of the count of tokens written to the cache.")


_Read: TypeAlias = Callable[[dict[str, Any]], Any]


class KeyColumns:
    """Reads which answer a row is about; every method raises ValueError with a message for a row that is wrong."""

    def __init__(self, fields: KeyFields) -> None:
        self._names = fields
        self._id = reader(fields.id)
        self._model = reader(fields.model) if fields.model is not None else None
        self._sample = reader(fields.sample) if fields.sample is not None else None

    def key(self, row: dict[str, Any], model: str) -> tuple[str, str, int]:
        """Model, item id and sample index; `model` is what is known of it without the row."""
        item_id = self._id(row)
        if type(item_id) is not str or not item_id:
            item_id = self._text_of(item_id, self._names.id, row)
        if self._model is not None:
            model = self._text_of(self._model(row), str(self._names.model), row)
        sample = 0 if self._sample is None else self._count(self._sample(row), str(self._names.sample))
        if sample is None:
            raise ValueError(f"the column {self._names.sample!r} is missing or empty; a sample index was expected")
        return model, item_id, sample

    @staticmethod
    def _text_of(value: Any, column: str, row: dict[str, Any]) -> str:
        if isinstance(value, str) and value:
            return value
        if column.partition(".")[0] not in row and column not in row:
            raise ValueError(f"there is no column {column!r}; the row has: {', '.join(row) or 'none'}")
        # Ids are text; a number is written as it is for the ids of items.
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise ValueError(f"the column {column!r} has {value!r}; text or a number was expected")

    @staticmethod
    def _count(value: Any, column: str) -> int | None:
        if value is None or value == "":
            return None
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        raise ValueError(f"the column {column!r} has {value!r}; a whole number from 0 was expected")


class Columns(KeyColumns):
    """Reads rows as generations; every method raises ValueError with a message for a row that is wrong."""

    def __init__(self, fields: ReplayFields) -> None:
        super().__init__(fields)
        self.fields = fields
        self._output = reader(fields.output)
        self._match = reader(fields.match) if fields.match is not None else None
        self._readers: dict[str, Callable[[Any, str], Any]] = {
            **dict.fromkeys(("status", "finish_reason", "reasoning", "refusal", "error"), self._optional_text),
            **{name: partial(_listed, name) for name in _LISTS},
            **dict.fromkeys(_COUNTS, self._count),
        }
        self._more = {name: reader(column) for name in self._readers if (column := getattr(fields, name)) is not None}

    def match(self, row: dict[str, Any]) -> str:
        """The text that a request must contain; empty if any will do."""
        return "" if self._match is None else self._optional_text(self._match(row), str(self.fields.match)) or ""

    def check(self, row: dict[str, Any]) -> None:
        """Raise what `read` would raise, for less."""
        if self._more or type(self._output(row)) is not str:
            self.read(row)

    def read(self, row: dict[str, Any]) -> Generation:
        """The generation that the row makes; one that is recorded as failed has the status failed."""
        text: Any = self._output(row)
        if not self._more and type(text) is str and not text.isspace() and text:
            return Generation("answered", text)
        said: dict[str, Any] = {
            name: self._readers[name](read(row), getattr(self.fields, name)) for name, read in self._more.items()
        }
        usage = Usage(**{name: said.pop(name) for name in _COUNTS if name in said})
        status: GenerationStatus | None = said.pop("status", None)
        error = said.pop("error", None)
        if status is not None and status not in _STATUSES:
            known = ", ".join(_STATUSES)
            raise ValueError(f"the column {self.fields.status!r} has {status!r}, which is no status; known: {known}")
        if error is not None or status == "failed":
            return Generation("failed", error=error or "no reason was recorded")
        text = self._output_text(text, row)
        return Generation(_status(text, said) if status is None else status, text, usage=usage, **said)

    def _output_text(self, value: Any, row: dict[str, Any]) -> str:
        if isinstance(value, str):
            return value
        column = self.fields.output
        if value is not None:
            raise ValueError(f"the column {column!r} has {type(value).__name__}; text or null was expected")
        # Null is an empty output, but a column that is not there is a mistake in the spec or the file.
        if column not in row and column.partition(".")[0] not in row:
            raise ValueError(f"there is no column {column!r}; the row has: {', '.join(row) or 'none'}")
        return ""

    @staticmethod
    def _optional_text(value: Any, column: str) -> str | None:
        if value is None or isinstance(value, str):
            return value or None
        raise ValueError(f"the column {column!r} has {value!r}; text was expected")


def reader(column: str) -> _Read:
    """Make what returns the value of a column of a row, or None if there is none; a dot reaches into objects."""
    if "." not in column:
        return methodcaller("get", column)

    def nested(row: dict[str, Any]) -> Any:
        value: Any = row
        if column in row:
            return row[column]
        for step in column.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        return value

    return nested


def _listed(name: str, value: Any, column: str) -> tuple[Any, ...]:
    """The tool calls or the steps of an answer, checked as those of an application are."""
    if value is None or value == "":
        return ()
    try:
        return tuple(getattr(generation_of({"text": "", name: value}), name))
    except (TypeError, ValueError) as error:
        raise ValueError(f"the column {column!r} has no {name.replace('_', ' ')}: {error}") from error


def _status(text: str, said: Mapping[str, Any]) -> GenerationStatus:
    if said.get("refusal") is not None:
        return "refused"
    by_reason = _STATUS_OF_FINISH.get((said.get("finish_reason") or "").lower())
    return by_reason or ("answered" if text.strip() or said.get("tool_calls") else "empty")
