"""How long a server asks to wait: headers of many makes, and what error bodies say. No I/O."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

__all__ = ["asks_to_come_back", "retry_after", "violations"]

LONGEST_WAIT: Final = 31 * 86_400.0
"""Seconds; what is longer is no wait but a mistake."""
LEAST_EPOCH: Final = 1e9
"""Numbers from here on are no seconds to wait but seconds since 1970, and a thousand times that milliseconds."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h|days?|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_COME_BACK = re.compile(
    r"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?\s*(?:ms|[smhd])[a-z]*\s*)+)", re.IGNORECASE
)


def retry_after(status: int, headers: Mapping[str, str], data: Any = None) -> float | None:
    """Seconds that the server asks to wait, or None if it does not say. Header names are in lower case.

    `retry-after-ms`, then `retry-after` (seconds, a duration or an HTTP date), both also behind the prefix of a proxy.
    Then, with a 429 only, the `ratelimit` reset of the limit that has nothing remaining (if that is not said, the
    longest), and what the body says.
    """
    if (milliseconds := _number(_named(headers, "retry-after-ms"))) is not None:
        return _sensible(milliseconds / 1000)
    if (given := _named(headers, "retry-after")) is not None:
        return _sensible(_wait(given))
    if status != 429:
        return None
    reset = _until_reset(headers)
    return _sensible(_said(data)) if reset is None else reset


def asks_to_come_back(data: Any) -> bool:
    """Whether an error body says after how long to try again."""
    return _said(data) is not None


def violations(error: Any) -> Iterator[dict[str, Any]]:
    """The limits that an error of Google's make names: `quotaId`, `quotaMetric`."""
    for detail in _details(error):
        listed = detail.get("violations")
        yield from (each for each in listed if isinstance(each, dict)) if isinstance(listed, list) else ()


def _named(headers: Mapping[str, str], name: str) -> str | None:
    """The header of that name, or one with a prefix, such as `llm_provider-retry-after`."""
    if name in headers:
        return headers[name]
    return next((headers[each] for each in headers if each.endswith((f"-{name}", f"_{name}"))), None)


def _until_reset(headers: Mapping[str, str]) -> float | None:
    waits: dict[str, float] = {}
    for name in headers:
        if "ratelimit" in name and "reset" in name and (wait := _wait(headers[name])) is not None:
            waits[name.replace("reset", "remaining")] = wait
    used_up = [wait for name, wait in waits.items() if (_number(headers.get(name)) or 0) <= 0]
    return _sensible(max(used_up or waits.values(), default=None))


def _said(data: Any) -> float | None:
    error = data.get("error", data) if isinstance(data, dict) else data
    for detail in _details(error):
        if (wait := _duration(detail.get("retryDelay"))) is not None:
            return wait
    message = error.get("message") if isinstance(error, dict) else None
    found = _COME_BACK.search(message[:4000]) if isinstance(message, str) else None
    return _duration(found[1]) if found else None


def _details(error: Any) -> Iterator[dict[str, Any]]:
    listed = error.get("details") if isinstance(error, dict) else None
    yield from (each for each in listed if isinstance(each, dict)) if isinstance(listed, list) else ()


def _wait(text: str) -> float | None:
    """Seconds of a number, a duration, a moment since 1970, or a date; of several values the first."""
    for each in (text, text.partition(",")[0]):
        number = _number(each)
        wait = _duration(each) if number is None else number
        if wait is not None:
            return _until(wait) if wait >= LEAST_EPOCH else wait
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        with suppress(ValueError, TypeError, OverflowError):
            moment = read(text.strip())
            return _until((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return None


def _until(moment: float) -> float:
    seconds = moment / 1000 if moment >= 1000 * LEAST_EPOCH else moment
    return max(0.0, seconds - time.time())


def _duration(text: Any) -> float | None:
    """Seconds of `1s`, `6m0s`, `20ms`, `2 minutes` or a plain number."""
    text = text.strip().lower() if isinstance(text, str) else ""
    if not text or len(text) > 40 or _DURATION.sub("", text).strip():
        return None
    return sum(float(number) * _SECONDS[_unit(unit)] for number, unit in _DURATION.findall(text))


def _unit(word: str) -> str:
    return "ms" if word.startswith(("ms", "milli")) else word[:1] or "s"


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _sensible(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds) or seconds > LONGEST_WAIT:
        return None
    return max(0.0, seconds)
