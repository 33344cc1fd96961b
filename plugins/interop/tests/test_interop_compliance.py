"""Every exporter passes the suite that exporters of others are to pass."""

from __future__ import annotations

import io
import re
from typing import Any
from zipfile import ZipFile

import pytest

from themis_core import Exporter
from themis_core.testing.exporter import ExporterSuite
from themis_plugin_interop.every_eval_ever import EveryEvalEver
from themis_plugin_interop.hub_results import HubResults
from themis_plugin_interop.inspect_logs import InspectLogs
from themis_plugin_interop.lm_eval_files import LmEvalFiles
from themis_plugin_interop.openai_evals_logs import OpenAiEvalsLogs


class TestEveryEvalEver(ExporterSuite):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return EveryEvalEver()

    def settled(self, name: str, data: bytes) -> Any:
        """Without the second in which it was written, which the format holds: as such, and in its id, which is in the
        file of samples, of which the other file has the checksum."""
        held = rb'("retrieved_timestamp": *"|"evaluation_id": *"[^"]*/|"checksum": *")[0-9a-f]+"'
        return re.sub(held, rb'\1"', data)


class TestInspect(ExporterSuite):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return InspectLogs()

    def settled(self, name: str, data: bytes) -> Any:
        """The members: the archive itself has the time at which they were put in."""
        with ZipFile(io.BytesIO(data)) as archive:
            return {each: archive.read(each) for each in archive.namelist()}


class TestLmEval(ExporterSuite):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return LmEvalFiles()


class TestOpenaiEvals(ExporterSuite):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return OpenAiEvalsLogs()


class TestHubResults(ExporterSuite):
    @pytest.fixture(params=[{"percent": True}, {"score": "said", "source_url": "https://x.org"}, {"card": True}])
    def exporter(self, request: pytest.FixtureRequest) -> Exporter:
        return HubResults(dataset="org/words", **request.param)
