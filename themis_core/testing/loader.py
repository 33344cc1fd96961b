"""What every dataset loader must do: inherit `DatasetLoaderSuite` in a test module and give its fixtures.

    class TestMyLoader(DatasetLoaderSuite):
        @pytest.fixture
        def loader(self):
            return MyLoader()
        ...

It checks the promises of `DatasetLoader`, not what the rows say: only your own tests know that.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from themis_core.components import DatasetLoader
from themis_core.errors import SpecError
from themis_core.records import Row
from themis_core.specs import DatasetQuerySpec, DatasetSpec, canonical_json

__all__ = ["DatasetLoaderSuite"]


class DatasetLoaderSuite:
    """Inherit, name the class `Test...`, and define the fixtures that raise NotImplementedError here."""

    @pytest.fixture
    def loader(self) -> DatasetLoader:
        """A loader, configured."""
        raise NotImplementedError("define the fixture `loader`")

    @pytest.fixture
    def base_dir(self, tmp_path: Path) -> Path:
        """The folder where relative paths start."""
        return tmp_path

    @pytest.fixture
    def dataset(self, base_dir: Path) -> DatasetSpec:
        """A dataset of at least three rows with distinct ids as text, their column named in `fields.id`."""
        raise NotImplementedError("define the fixture `dataset`")

    @pytest.fixture
    def text_filter(self) -> tuple[str, str]:
        """A column of text in those rows that no mapping touches, and a value that some but not all rows have."""
        raise NotImplementedError("define the fixture `text_filter`")

    @pytest.fixture
    def missing(self, base_dir: Path) -> DatasetSpec | None:
        """A dataset that is not there, or None if the loader can't miss one."""
        raise NotImplementedError("define the fixture `missing`")

    def test_its_config_is_frozen_and_plain_data(self, loader: DatasetLoader) -> None:
        canonical_json(loader.identity())
        with pytest.raises(ValidationError):
            loader.anything = 1  # type: ignore[attr-defined]
        assert type(loader).model_validate(loader.model_dump(by_alias=True)) == loader, (
            "a dumped config must load again"
        )

    def test_every_field_of_its_config_has_a_description(self, loader: DatasetLoader) -> None:
        fields = type(loader).model_fields
        bare = [name for name, field in fields.items() if not field.description]
        assert bare == [], "every field needs Field(..., description=...)"

    def test_rows_are_plain_data_under_text_keys(
        self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path
    ) -> None:
        rows = _rows(loader, dataset, base_dir)
        assert len(rows) >= 3, "the fixture `dataset` must have three rows or more"
        for row in rows:
            assert isinstance(row, Row), "`rows` gives Row(data, location)"
            assert {type(key) for key in row.data} <= {str}, "columns are texts"
            canonical_json(row.data)

    def test_every_row_says_where_it_is(self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path) -> None:
        places = [row.location for row in _rows(loader, dataset, base_dir)]
        assert all(places), "each row must say where it is, such as `data/test.jsonl:17`"
        assert len(set(places)) == len(places), "no two rows may be at one place"

    def test_rows_are_equal_on_every_call(self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path) -> None:
        again = _rows(loader, dataset, base_dir)
        assert again == _rows(loader, dataset, base_dir), "rows, places and their order must be the same on every call"

    def test_two_streams_do_not_disturb_each_other(
        self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path
    ) -> None:
        query = DatasetQuerySpec()
        pairs = zip(loader.rows(dataset, query, base_dir), loader.rows(dataset, query, base_dir), strict=True)
        assert all(one == other for one, other in pairs), "each call of `rows` must have a stream of its own"

    def test_rows_are_a_stream_that_can_be_left(
        self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path
    ) -> None:
        stream = loader.rows(dataset, DatasetQuerySpec(), base_dir)
        first = next(stream)
        if inspect.isgenerator(stream):
            stream.close()
        assert first == _rows(loader, dataset, base_dir)[0], "a stream that was left must not change the next one"

    def test_a_row_stays_as_it_was_when_the_next_is_read(
        self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path
    ) -> None:
        seen = [(row, canonical_json(row.data)) for row in loader.rows(dataset, DatasetQuerySpec(), base_dir)]
        assert all(canonical_json(row.data) == then for row, then in seen), "give out a new dict for each row"

    def test_spec_and_query_stay_as_they_are(
        self, loader: DatasetLoader, dataset: DatasetSpec, text_filter: tuple[str, str], base_dir: Path
    ) -> None:
        query = DatasetQuerySpec.model_validate({"filters": dict([text_filter])})
        before = canonical_json([dataset.canonical(), query.canonical()])
        list(loader.rows(dataset, query, base_dir))
        loader.fingerprint(dataset, base_dir)
        assert canonical_json([dataset.canonical(), query.canonical()]) == before, (
            "spec and query are the run's: copy what you change"
        )

    def test_a_row_belongs_to_whoever_got_it(self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path) -> None:
        before = [canonical_json(row.data) for row in _rows(loader, dataset, base_dir)]
        for row in _rows(loader, dataset, base_dir):
            row.data.clear()
        after = [canonical_json(row.data) for row in _rows(loader, dataset, base_dir)]
        assert after == before, "give out a new dict for each row: whoever gets it may change it"

    def test_item_ids_leave_out_no_row_that_they_name(
        self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path
    ) -> None:
        rows = _rows(loader, dataset, base_dir)
        column = dataset.fields.id
        assert column is not None, "the fixture `dataset` must name its id column in fields.id"
        wanted = [str(rows[index].data[column]) for index in (0, -1)]
        found = _rows(loader, dataset, base_dir, item_ids=wanted)
        self.assert_part(found, rows, [row for row in rows if str(row.data[column]) in wanted])

    def test_filters_leave_out_no_row_that_matches(
        self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path, text_filter: tuple[str, str]
    ) -> None:
        column, value = text_filter
        rows = _rows(loader, dataset, base_dir)
        matching = [row for row in rows if row.data[column] == value]
        assert 0 < len(matching) < len(rows), "some but not all rows must have the value of `text_filter`"
        for given in (value, [value, "no such value"]):
            self.assert_part(_rows(loader, dataset, base_dir, filters={column: given}), rows, matching)

    def test_projected_fields_keep_what_the_mapping_needs(
        self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path, text_filter: tuple[str, str]
    ) -> None:
        rows = _rows(loader, dataset, base_dir)
        found = _rows(loader, dataset, base_dir, projected_fields=[text_filter[0]])
        needed = [text_filter[0], str(dataset.fields.id)]
        kept = [[row.data.get(each) for each in needed] for row in found]
        assert kept == [[row.data[each] for each in needed] for row in rows], (
            "`projected_fields` may leave out columns, but none that it or `fields` names, and no row"
        )

    def test_sampling_and_limits_are_left_to_the_core(
        self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path
    ) -> None:
        rows = _rows(loader, dataset, base_dir)
        sampled = _rows(loader, dataset, base_dir, kind="subset", count=1, seed=3)
        assert sampled == rows, "sampling is the core's work: give all rows"
        assert len(_rows(loader, dataset, base_dir, limit=1)) >= 1, "the core applies `limit`, and filters before it"

    def test_its_fingerprint_is_plain_data_and_stable(
        self, loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path
    ) -> None:
        fingerprint = loader.fingerprint(dataset, base_dir)
        assert canonical_json(loader.fingerprint(dataset, base_dir)) == canonical_json(fingerprint), (
            "the fingerprint of unchanged data must not change"
        )

    def test_a_missing_dataset_is_an_error_of_the_spec(
        self, loader: DatasetLoader, missing: DatasetSpec | None, base_dir: Path
    ) -> None:
        if missing is None:
            return
        with pytest.raises(SpecError) as caught:
            _rows(loader, missing, base_dir)
        assert missing.dataset_id in str(caught.value), "the message must name what is missing"

    @staticmethod
    def assert_part(found: list[Row], all_rows: list[Row], needed: list[Row]) -> None:
        """Assert that `found` keeps the order of `all_rows` and leaves out none of `needed`."""
        assert [row for row in all_rows if row in found] == found, "rows must keep their order, and none may be changed"
        missed = [row for row in needed if row not in found]
        assert missed == [], "a row that may match must not be left out: when in doubt give it, the core looks again"


def _rows(loader: DatasetLoader, dataset: DatasetSpec, base_dir: Path, **query: Any) -> list[Row]:
    return list(loader.rows(dataset, DatasetQuerySpec.model_validate(query), base_dir))
