"""Compliance suite of exporters: subclass it in a test module, and pytest runs what every exporter must fulfil.

    class TestAnswers(ExporterSuite):
        @pytest.fixture
        def exporter(self):
            return Answers()

It does not test that the other tool can read the files: have its own reader do that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from themis_core.components import Exporter, Store
from themis_core.errors import StorageError
from themis_core.records import TrialRow
from themis_core.session import open_results
from themis_core.specs import canonical_json
from themis_core.testing.made_runs import KINDS, MadeRun, OfMadeRuns

__all__ = ["ExporterSuite"]

_BREAKS_AFTER = 3
"""Trials that a breaking store gives."""


class ExporterSuite(OfMadeRuns):
    """What every exporter must fulfil. Define the fixture `exporter`; parametrise it for several configs."""

    @pytest.fixture
    def exporter(self) -> Exporter:
        """The exporter to test, with what it needs for a run whose score is `said`, by the metric `made/same`."""
        raise NotImplementedError("define the fixture `exporter`")

    def settled(self, name: str, data: bytes) -> Any:
        """What must be the same when a run is exported again; override it for a format that holds the time of that."""
        return data

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_run_is_written_and_what_is_lost_is_said(
        self, exporter: Exporter, made_runs: dict[str, MadeRun], kind: str, tmp_path: Path
    ) -> None:
        told, files = _exported(exporter, made_runs[kind], tmp_path)
        assert kind == "all_failed" or files, "nothing was written"
        for each in (*exporter.losses, *told):
            assert isinstance(each, str), "what is lost is said in a text for people"
            assert each.strip(), "what is lost is said in a sentence each"

    def test_all_files_are_in_the_folder(
        self, exporter: Exporter, made_runs: dict[str, MadeRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        _exported(exporter, made_runs["every_kind"], tmp_path)
        assert [path.name for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "out")] == ["here"], (
            "names of models, slices and items may lead out of a folder, such as ../../x: write within `folder` alone"
        )
        assert not any(path.is_symlink() for path in tmp_path.rglob("*")), "write files, and no links"

    def test_the_same_run_is_written_the_same_again(
        self, exporter: Exporter, made_runs: dict[str, MadeRun], tmp_path: Path
    ) -> None:
        (tmp_path / "again").mkdir()
        twin = type(exporter).model_validate(exporter.model_dump(by_alias=True))
        told, files = _exported(exporter, made_runs["every_kind"], tmp_path)
        told_again, again = _exported(twin, made_runs["every_kind"], tmp_path / "again")
        assert told_again == told, "the same run loses the same"
        assert sorted(again) == sorted(files), "the same run has the same files: no clock and no chance in names"
        unequal = [name for name in files if self.settled(name, files[name]) != self.settled(name, again[name])]
        assert unequal == [], "the same run must be written the same; override `settled` if the format holds the time"

    def test_run_and_summary_stay_as_they_are(
        self, exporter: Exporter, made_runs: dict[str, MadeRun], tmp_path: Path
    ) -> None:
        made = made_runs["every_kind"]
        before = made.events()
        _exported(exporter, made, tmp_path)
        assert made.events() == before, "an exporter reads the store: it appends nothing to it"

    def test_an_error_of_the_store_is_raised(
        self, exporter: Exporter, made_runs: dict[str, MadeRun], tmp_path: Path
    ) -> None:
        breaking: list[_Breaking] = []

        def broken(store: Store) -> Any:
            breaking.append(_Breaking(store))
            return breaking[0]

        try:
            _exported(exporter, made_runs["every_kind"], tmp_path, broken)
        except StorageError:
            return
        assert not breaking[0].broke, (
            "the store failed while it was read, and an export was made of the rest: raise that"
        )

    def test_the_config_is_frozen_and_its_fields_are_described(self, exporter: Exporter) -> None:
        for name in type(exporter).model_fields:
            with pytest.raises(ValidationError):
                setattr(exporter, name, None)
        bare = [name for name, each in type(exporter).model_fields.items() if not each.description]
        assert bare == [], "every field needs Field(..., description=...): `themis plugins show` prints it"

    def test_the_identity_is_plain_data_and_gives_the_config_back(self, exporter: Exporter) -> None:
        identity = exporter.identity()
        assert canonical_json(identity)
        assert type(exporter).model_validate(identity).identity() == identity


class _Breaking:
    """A store that can't be read any more after a few trials."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broke = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def trial_rows(self, *args: Any, **more: Any) -> Iterator[TrialRow]:
        for number, row in enumerate(self._store.trial_rows(*args, **more)):
            if number == _BREAKS_AFTER:
                self.broke = True
                raise StorageError("the disk can't be read")
            yield row


def _exported(
    exporter: Exporter, made: MadeRun, parent: Path, through: Callable[[Store], Any] = lambda store: store
) -> tuple[list[str], dict[str, bytes]]:
    """What is lost, and the files by their names in the folder."""
    folder = parent / "out"
    folder.mkdir()
    with open_results(made.spec) as results:
        run, summary = results.run(made.run_id), results.result(made.run_id).to_dict()
    before = canonical_json([run.manifest, summary])
    with closing(made.open()) as store:
        told = list(exporter.export(through(store), run, summary, folder))
    assert canonical_json([run.manifest, summary]) == before, "the manifest and the summary belong to the caller"
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return told, files
