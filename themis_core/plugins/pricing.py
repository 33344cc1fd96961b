"""What the models of a benchmark cost: by themselves, by its `prices`, by a file of them, or by a plugin's table."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from themis_core.components import Engine, PriceTable
from themis_core.errors import PluginError, SpecError
from themis_core.plugins.calling import calling
from themis_core.plugins.loading import Plugins
from themis_core.reading import Place, as_meant, read_spec, resolve_path, shown_path, spec_error
from themis_core.specs import ModelSpec, PriceSpec, PricesSpec, PriceTableSpec
from themis_lanes import in_time

__all__ = ["Prices"]

log = logging.getLogger("themis")
LIMIT_S = 30.0
"""Seconds that a plugin's table may take for one model."""


class Prices:
    """The prices of one benchmark's models, and where they are from. Raises SpecError for a file that is wrong."""

    def __init__(self, spec: PricesSpec | None, plugins: Plugins, base_dir: Path, place: Place) -> None:
        self._spec = spec
        self._found: dict[str, PriceSpec] = {}
        self._origin: dict[str, Any] = {}
        self._file = PriceTableSpec()
        self._table: PriceTable | None = None
        self._currencies: dict[str, str] = {}
        if spec is None:
            return
        self._has_currency(spec.currency, "the spec")
        if spec.file is not None:
            self._read(resolve_path(spec.file, base_dir), place / "file")
        if spec.table is not None:
            self._load(spec.table, plugins, place / "from")
        if len({*self._currencies.values()}) > 1:
            told = ", ".join(f"{name} has {each}" for name, each in self._currencies.items())
            raise place.error(f"prices are added up, so all are of one currency: {told}")

    def of(self, spec: ModelSpec, component: str, engine: Engine) -> PriceSpec | None:
        """The price of a model; None if nothing gives one."""
        listed = self._listed(spec, component)
        found = spec.price
        if found is None:
            found = listed if listed is not None else self._tabled(spec, component, engine)
        elif listed is not None and listed != found:
            log.warning("model %r: its own price counts, and not the other one that `prices` has for it", spec.model_id)
        if found is not None and self._spec is not None:
            self._found[spec.model_id] = found
        return found

    def warn_of_none(self, models: Iterable[ModelSpec]) -> None:
        """Say so if none of the models that are asked for money is among the prices: that looks like a free run."""
        asked = list(models)
        if self._spec is not None and asked and not any(each.price for each in asked):
            names = ", ".join(dict.fromkeys(f"{each.model_id!r}" for each in asked))
            log.warning(
                "`prices` has none for any model that is asked (%s), so what the run costs is unknown: names are "
                "looked for as they are written, the label first, then what the server is sent",
                names,
            )

    def provenance(self) -> dict[str, Any] | None:
        """For the manifest: where prices are from, and which were taken; None if the spec names no origin."""
        if self._spec is None:
            return None
        currency = next(iter(self._currencies.values()), None)
        taken = {name: each.canonical() for name, each in self._found.items()}
        return {"currency": currency, **self._origin, "models": taken}

    def _listed(self, spec: ModelSpec, component: str) -> PriceSpec | None:
        sent = spec.sent
        names = (spec.model_id, f"{component}/{sent}", f"{component.partition('/')[0]}/{sent}", sent)
        tables = [each.models for each in (self._spec, self._file) if each is not None]
        return next((table[name] for table in tables for name in names if name in table), None)

    def _tabled(self, spec: ModelSpec, component: str, engine: Engine) -> PriceSpec | None:
        if self._table is None or self._spec is None:
            return None
        name = f"the table of prices {self._spec.table!r}"
        with calling(name, "price"):
            found = in_time("a price", LIMIT_S, self._table.price, spec.sent, component, engine.endpoint)
        if found is not None and not isinstance(found, PriceSpec):
            raise PluginError(f"{name}: price: it returned {type(found).__name__}, not a PriceSpec")
        return found

    def _read(self, path: Path, place: Place) -> None:
        try:
            source = read_spec(path)
        except SpecError as error:
            # A file that can't be opened is the fault of who names it; what is in it, of the file.
            raise place.error(f"{shown_path(path)}: {error.message}") if error.line is None else error from error
        at = Place(source)
        data = as_meant(source.data, PriceTableSpec, at)
        try:
            self._file = PriceTableSpec.model_validate(data)
        except ValidationError as error:
            raise spec_error(error, PriceTableSpec, data, at) from None
        if not self._file.models:
            raise at.error("the file has no prices: it is a mapping with `models`, each a name with its prices")
        self._has_currency(self._file.currency, shown_path(path))
        content = path.read_bytes()
        self._origin["file"] = {"path": str(self._spec.file if self._spec else path)}
        self._origin["file"]["sha256"] = hashlib.sha256(content).hexdigest()

    def _load(self, name: str, plugins: Plugins, place: Place) -> None:
        try:
            full_name, kind = plugins.price_table(name)
            with calling(f"the table of prices {full_name!r}", "its start", but=(SpecError,)):
                table = kind()
                version = table.version
        except SpecError as error:
            raise place.error(error.message) from error
        if not isinstance(version, str):
            raise PluginError(f"the table of prices {full_name!r}: version: it is {type(version).__name__}, not a text")
        self._table = table
        self._has_currency(table.currency, name)
        self._origin["table"] = {"name": full_name, "version": version}

    def _has_currency(self, currency: str | None, where: str) -> None:
        if currency is not None:
            self._currencies[where] = currency
