"""The reading half of the store: look-ups for batches of keys, and streams of rows.

It changes nothing. Streams hold one model's share of a run at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any

from themis_core import (
    SCORE_FAULTS,
    UNKNOWN_COST,
    BatchRecord,
    ExecutionRecord,
    Extraction,
    Generation,
    GenerationRecorded,
    Item,
    Latency,
    OutcomeCount,
    Request,
    RunCost,
    RunRecord,
    Score,
    ScoreCell,
    ScoreEnds,
    ScoreEntry,
    ScorePlace,
    ScoreRow,
    ScoreSums,
    StorageError,
    Store,
    TrialPlace,
    TrialRow,
)
from themis_sql.batches import open_batches
from themis_sql.codec import from_json, lookup_of, pack_key, pack_name, time_of, unpack_body, unpack_key, unpack_name
from themis_sql.database import Database
from themis_sql.facts import generation_from, item_from, item_of, item_texts, payload_ids, plain_event
from themis_sql.log import UNREADABLE
from themis_sql.names import salt_of
from themis_sql.numbering import first_number
from themis_sql.payloads import Payloads
from themis_sql.sums import ends, sums

__all__ = ["SqlReader"]

_BATCH = 256
"""Records with their whole texts that are in memory at once."""


def _text_columns(alias: str) -> str:
    return f"{alias}.text, {alias}.raw, {alias}.external, {alias}.digest"


_GENERATIONS = f"""SELECT g.key, g.status, g.error_code, g.finish_reason, g.cost, g.latency_s, g.attempts,
g.input_tokens, g.output_tokens, g.reasoning_tokens, g.cached_input_tokens, g.cache_write_tokens,
{_text_columns("p")}, {_text_columns("d")}"""
_TEXTS = "LEFT JOIN payloads p ON p.id = g.answer LEFT JOIN payloads d ON d.id = g.detail"
_SCORE = f"""s.value, s.reason, s.parts, s.parsed, s.parse_reason, s.extracted,
{_text_columns("x")}, {_text_columns("d")}"""
_SCORE_TEXTS = "LEFT JOIN payloads x ON x.id = s.extracted_payload LEFT JOIN payloads d ON d.id = s.details"
_FAULTS = ", ".join(f"'{pack_name(reason)}'" for reason in SCORE_FAULTS)
_RUNS = """SELECT r.id, r.run_id FROM runs r
JOIN executions e ON e.id = (SELECT max(x.id) FROM executions x WHERE x.run = r.id)"""
_EXECUTIONS = "SELECT part, status, started_at, finished_at, manifest, counts FROM executions WHERE run = ?"
_SINCE_THE_WHOLE = " AND id >= coalesce((SELECT max(id) FROM executions WHERE run = ? AND part IS NULL), 0)"


class SqlReader(Store):
    """Reads a store of any SQL database."""

    def __init__(self, database: Database, payloads: Payloads) -> None:
        self._database = database
        self._payloads = payloads

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raise StorageError for what the database refuses, and for what is not as it was written."""
        with self._database.errors():
            try:
                yield
            except UNREADABLE as error:
                raise StorageError(
                    f"what is stored can't be read ({type(error).__name__}), so the store is damaged: "
                    "run `themis storage verify`, which says where"
                ) from error

    def finished_trials(self, run_id: str, trials: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        return self._trials_of(
            run_id, trials,
            " AND t.outcome <> 'failed' AND NOT EXISTS"
            " (SELECT 1 FROM score_links l JOIN scores s ON s.id = l.score"
            f"  WHERE l.trial = t.id AND s.reason IN ({_FAULTS}))",
        )  # fmt: skip

    def ended_trials(self, run_id: str, trials: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        return self._trials_of(run_id, trials, "")

    def _trials_of(self, run_id: str, trials: Sequence[tuple[str, str]], where: str) -> set[tuple[str, str]]:
        wanted = set(trials)
        lookups = [lookup_of(pack_key(trial), salt_of(run_id, slice_id)) for slice_id, trial in wanted]
        sql = (
            "SELECT a.slice_id, t.trial_id, r.run_id FROM trials t JOIN arms a ON a.id = t.arm"
            f" JOIN runs r ON r.id = a.run WHERE t.lookup IN (*){where}"
        )
        packed_run = pack_name(run_id)
        with self._reading():
            found = {
                (unpack_name(row[0]), unpack_key(row[1]))
                for row in self._database.rows_found("trials", sql, lookups)
                if row[2] == packed_run
            }
        return found & wanted

    def stored_generations(self, keys: Sequence[str]) -> set[str]:
        sql = "SELECT key FROM generations g WHERE lookup IN (*) AND status <> 'failed'"
        with self._reading():
            found = {unpack_key(row[0]) for row in self._database.rows_found("generations", sql, _lookups(keys))}
        return found.intersection(keys)

    def generations(self, keys: Sequence[str]) -> dict[str, Generation]:
        sql = f"{_GENERATIONS} FROM generations g {_TEXTS} WHERE g.lookup IN (*) AND g.status <> 'failed'"
        wanted = set(keys)
        with self._reading():
            found = self._database.rows_found("generations", sql, _lookups(keys))
            rows = {key: row for row in found if (key := unpack_key(row[0])) in wanted}
            texts = (row[start : start + 4] for row in rows.values() for start in (12, 16))
            with self._payloads.ahead(bytes(digest) for _, _, external, digest in texts if external):
                return {key: self._generation(row)[0] for key, row in rows.items()}

    def scores(self, keys: Sequence[str]) -> dict[str, tuple[Score, Extraction | None]]:
        sql = f"SELECT s.key, {_SCORE} FROM scores s {_SCORE_TEXTS} WHERE s.lookup IN (*)"
        wanted = set(keys)
        with self._reading():
            rows = self._database.rows_found("scores", sql, _lookups(keys))
            return {key: self._score(row[1:]) for row in rows if (key := unpack_key(row[0])) in wanted}

    def items(self, digests: Sequence[str]) -> dict[str, Item]:
        sql = (
            f"SELECT i.digest, i.item_id, i.event, {_text_columns('p')} FROM items i"
            " LEFT JOIN payloads p ON p.id = i.content WHERE i.lookup IN (*)"
        )
        wanted = set(digests)
        with self._reading():
            rows = [
                row
                for row in self._database.rows_found("items", sql, _lookups(digests))
                if unpack_key(row[0]) in wanted
            ]
            found = self._logged_items({row[2] for row in rows if row[2] is not None}, wanted)
            for packed, item_id, _, *text in rows:
                if text[-1] is not None:
                    digest = unpack_key(packed)
                    found[digest] = item_from(digest, unpack_name(item_id), self._payloads.restore(*text))
            return found

    def _logged_items(self, rows: Iterable[int], wanted: set[str]) -> dict[str, Item]:
        """Return those of the items that stand in these rows of the log themselves."""
        facts = [
            fact
            for body in self._database.rows_in("SELECT encoding, body FROM events WHERE seq IN (*)", sorted(rows))
            for fact in unpack_body(*body)
            if fact["kind"] == "item" and fact["digest"] in wanted and not isinstance(fact["content"], int)
        ]
        texts = self._payloads.texts({number for fact in facts for number in item_texts(fact)})
        return {fact["digest"]: item_of(fact, texts) for fact in facts}

    def metadata(self, digests: Sequence[str]) -> dict[str, dict[str, Any]]:
        sql = "SELECT digest, metadata FROM items i WHERE lookup IN (*)"
        wanted = set(digests)
        with self._reading():
            rows = [(unpack_key(key), text) for key, text in self._database.rows_found("items", sql, _lookups(digests))]
            found = {key: _object(text) for key, text in rows if text is not None and key in wanted}
        # Items of stores that an earlier version made may have their metadata in their content alone.
        unknown = [key for key, text in rows if text is None and key in wanted and key not in found]
        return found | (super().metadata(unknown) if unknown else {})

    def open_batches(self) -> list[BatchRecord]:
        with self._reading():
            return open_batches(self._database, self._payloads)

    def runs(self) -> Iterator[RunRecord]:
        with self._reading():
            for row in self._database.rows(f"{_RUNS} ORDER BY e.id DESC"):
                yield self._run(row)

    def run(self, run_id: str) -> RunRecord | None:
        with self._reading():
            row = self._database.row(f"{_RUNS} WHERE r.run_id = ?", (pack_name(run_id),))
            return None if row is None else self._run(row)

    def _run(self, row: Any) -> RunRecord:
        run, run_id = row
        outcomes = dict(
            self._database.rows(
                "SELECT t.outcome, count(*) FROM arms a JOIN trials t ON t.arm = a.id"
                " WHERE a.run = ? GROUP BY t.outcome",
                (run,),
            )
        )
        found = self._database.rows(f"{_EXECUTIONS}{_SINCE_THE_WHOLE} ORDER BY id", (run, run))
        rows = list(found)
        # The manifests of a thousand parts would be read for nothing.
        executions = [self._execution(each, whole=each is rows[-1] or each[0] is None) for each in rows]
        return RunRecord.of(unpack_name(run_id), executions, sum(outcomes.values()), outcomes.get("failed", 0))

    def executions(self, run_id: str) -> list[ExecutionRecord]:
        sql = f"{_EXECUTIONS.replace('run = ?', 'run = (SELECT id FROM runs WHERE run_id = ?)')} ORDER BY id"
        with self._reading():
            return [self._execution(row) for row in list(self._database.rows(sql, (pack_name(run_id),)))]

    def _execution(self, row: Any, *, whole: bool = True) -> ExecutionRecord:
        part, status, started_at, finished_at, manifest, counts = row
        made_of = {} if manifest is None or not whole else _object(self._payloads.texts([manifest])[manifest])
        return ExecutionRecord(part, status, started_at, finished_at, made_of, _object(counts))

    def trial_places(self, run_id: str) -> Iterator[TrialPlace]:
        sql = (
            "SELECT i.item_id, t.sample_index, t.outcome, t.error_code FROM runs r JOIN arms a ON a.run = r.id"
            " JOIN trials t ON t.arm = a.id JOIN items i ON i.id = t.item WHERE r.run_id = ?"
        )
        with self._reading():
            for item_id, sample_index, outcome, code in self._database.rows(sql, (pack_name(run_id),)):
                yield TrialPlace(unpack_name(item_id), sample_index, outcome, _unpacked(code))

    def cost_of(self, run_id: str, wanted: Callable[[str, int], bool]) -> RunCost:
        sql = (
            f"{_GENERATIONS}, g.item_id, g.sample_index FROM generations g LEFT JOIN payloads d ON d.id = g.detail"
            " LEFT JOIN payloads p ON p.id = g.answer WHERE g.run = (SELECT id FROM runs WHERE run_id = ?)"
            f" AND (g.cost IS NOT NULL OR d.text LIKE '%{UNKNOWN_COST}%' OR d.raw IS NOT NULL OR d.external <> 0)"
        )
        with self._reading():
            rows = self._database.rows(sql, (pack_name(run_id),))
            parts = (RunCost.of(self._generation(row[:-2])[0]) for row in rows if wanted(unpack_name(row[-2]), row[-1]))
            return sum(parts, RunCost())

    def cost(self, run_id: str) -> RunCost:
        # Where a part of a cost is unknown, the column is empty and the detail tells the parts.
        run = "(SELECT id FROM runs WHERE run_id = ?)"
        values = (pack_name(run_id),)
        sql = (
            f"{_GENERATIONS} FROM generations g JOIN payloads d ON d.id = g.detail"
            " LEFT JOIN payloads p ON p.id = g.answer"
            f" WHERE g.run = {run} AND g.cost IS NULL"
            f" AND (d.text LIKE '%{UNKNOWN_COST}%' OR d.raw IS NOT NULL OR d.external <> 0)"
        )
        with self._database.errors():
            known = self._database.row(f"SELECT sum(cost) FROM generations WHERE run = {run}", values)[0]
            parts = (RunCost.of(self._generation(row)[0]) for row in self._database.rows(sql, values))
            return sum(parts, RunCost(known))

    def trial_rows(self, run_id: str, trial_id: str | None = None, *, outcome: str | None = None) -> Iterator[TrialRow]:
        whole = len(trial_id or "") == 64 and len(packed := pack_key(trial_id or "")) == 32
        where, values = ("", ()) if whole else _trial_filter(trial_id)
        if outcome is not None:
            where, values = f"{where} AND t.outcome = ?", (*values, outcome)
        select = (
            "SELECT i.item_id, t.sample_index, t.trial_id, i.digest, t.outcome, t.error_code, t.finished_at,"
            " t.earlier_generations, g.key, g.input_tokens, g.output_tokens, g.cost FROM trials t"
            " JOIN items i ON i.id = t.item LEFT JOIN generations g ON g.id = t.generation"
        )
        with self._reading():
            for arm, names in self._arms(run_id):
                of_arm = f"+t.arm = ? AND {self._numbered(run_id, names[0], packed)}" if whole else "t.arm = ?"
                sql = f"{select} WHERE {of_arm}{where} ORDER BY i.item_id, t.sample_index, t.id"  # +: by number
                for row in self._database.rows(sql, (arm, *values)):
                    if trial_id is None or unpack_key(row[2]).startswith(trial_id):
                        yield self._trial_row(run_id, names, row)

    def _numbered(self, run_id: str, slice_id: str, packed: bytes) -> str:
        """Return the condition on trials `t` that may be the one of this key: they share its lookup bits."""
        lookup = lookup_of(packed, salt_of(run_id, slice_id))
        found = self._database.rows_found("trials", "SELECT id FROM trials WHERE lookup IN (*)", [lookup])
        return f"t.id IN ({', '.join(sorted({str(number) for (number,) in found})) or 'NULL'})"

    def _trial_row(self, run_id: str, arm: tuple[str, ...], row: Any) -> TrialRow:
        item_id, sample_index, trial_id, digest, outcome, error_code, finished_at, earlier, key, *used = row
        turns = [*self._turns(earlier), (key, *used)] if key is not None else []
        totals = [_total(column) for column in list(zip(*turns, strict=True))[1:]] or [None] * 3
        return TrialRow(
            run_id=run_id,
            slice_id=arm[0],
            trial_id=unpack_key(trial_id),
            item_id=unpack_name(item_id),
            item_digest=unpack_key(digest),
            prompt_variant_id=arm[2],
            model_id=arm[1],
            params=arm[3],
            sample_index=sample_index,
            generation_keys=tuple(unpack_key(turn[0]) for turn in turns),
            outcome=outcome,
            error_code=_unpacked(error_code),
            finished_at=time_of(finished_at),
            input_tokens=totals[0],
            output_tokens=totals[1],
            cost=totals[2],
        )

    def outcomes(self, run_id: str) -> Sequence[OutcomeCount]:
        sql = "SELECT outcome, error_code, count(*) FROM trials WHERE arm = ? GROUP BY outcome, error_code"
        with self._reading():
            return [
                OutcomeCount(names[0], names[1], names[2], names[3], outcome, _unpacked(code), count)
                for arm, names in self._arms(run_id)
                for outcome, code, count in sorted(
                    self._database.rows(sql, (arm,)), key=lambda row: (row[0], row[1] or "")
                )
            ]

    def latencies(self, run_id: str) -> Iterator[Latency]:
        sql = (
            "SELECT t.arm, g.latency_s FROM runs r JOIN arms a ON a.run = r.id JOIN trials t ON t.arm = a.id"
            " JOIN generations g ON g.id = t.generation WHERE r.run_id = ? AND t.outcome <> 'failed'"
            " AND g.status <> 'failed' AND g.latency_s IS NOT NULL ORDER BY g.latency_s"
        )
        with self._reading():
            arms = dict(self._arms(run_id))
            for arm, latency_s in self._database.rows(sql, (pack_name(run_id),)):
                yield Latency._make((*arms[arm], latency_s))

    def _turns(self, ids: str | None) -> list[Any]:
        """Return key and usage of the generations in a JSON list of ids, in its order."""
        if ids is None:
            return []
        numbers = from_json(ids)
        sql = "SELECT id, key, input_tokens, output_tokens, cost FROM generations WHERE id IN (*)"
        found = {row[0]: tuple(row[1:]) for row in self._database.rows_in(sql, numbers)}
        return [found[number] for number in numbers]

    def score_rows(self, run_id: str, trial_id: str | None = None, *, whole: bool = False) -> Iterator[ScoreRow]:
        where, values = _trial_filter(trial_id)
        more, texts = _whole(whole)
        sql = (
            "SELECT k.score, k.metric, i.item_id, t.sample_index, t.trial_id, t.outcome, s.value, s.reason,"
            f" k.parse, s.parsed, s.parse_reason, i.digest, s.parts{more} FROM trials t JOIN items i ON i.id = t.item"
            " JOIN score_links l ON l.trial = t.id JOIN scorers k ON k.id = l.scorer"
            f" JOIN scores s ON s.id = l.score{texts} WHERE t.arm = ?{where}"
            " ORDER BY k.score, k.metric, i.item_id, t.sample_index, t.id, l.position"
        )
        with self._reading():
            for arm, names in self._arms(run_id):
                found = self._database.rows(sql, (arm, *values))
                rows = (
                    (self._whole_row(names, row) for row in found) if whole else map(_score_row, repeat(names), found)
                )
                yield from (row for row in rows if trial_id is None or row.trial_id.startswith(trial_id))

    def _whole_row(self, names: tuple[str, ...], row: Any) -> ScoreRow:
        extracted, details = self._texts_of(row[13:])
        return _score_row(names, row[:13])._replace(extracted=extracted, details=details)

    def _texts_of(self, columns: Any) -> tuple[str | None, str | None]:
        """What was extracted, and the details, from the columns of `_whole`."""
        extracted, *texts = columns
        if texts[3] is not None:
            extracted = self._payloads.restore(*texts[:4])
        return extracted, None if texts[7] is None else self._payloads.restore(*texts[4:])

    def scores_by_item(self, run_id: str, *, whole: bool = False) -> Iterator[ScoreRow]:
        # Arms are named here: the database sorts, and long names would be sorted along with every row.
        more, texts = _whole(whole)
        sql = (
            "SELECT t.arm, k.score, k.metric, i.item_id, t.sample_index, t.trial_id, t.outcome, s.value, s.reason,"
            f" k.parse, s.parsed, s.parse_reason, i.digest, s.parts{more} FROM runs r JOIN arms a ON a.run = r.id"
            " JOIN trials t ON t.arm = a.id JOIN items i ON i.id = t.item JOIN score_links l ON l.trial = t.id"
            f" JOIN scorers k ON k.id = l.scorer JOIN scores s ON s.id = l.score{texts} WHERE r.run_id = ?"
            " ORDER BY k.score, k.metric, i.digest, t.arm, t.sample_index, t.id"
        )
        with self._reading():
            arms = dict(self._arms(run_id))
            before: tuple[Any, ...] = ()
            for arm, *row in self._database.rows(sql, (pack_name(run_id),)):
                # Neighbours are of one item: its names are unpacked once.
                same = (row[0], row[1], row[2], row[8], row[11])
                if same != before:
                    before = same
                    score, metric, item_id = map(unpack_name, same[:3])
                    parse, digest = _unpacked(same[3]), unpack_key(same[4])
                names = arms[arm]
                yield ScoreRow(
                    names[0], names[1], names[2], names[3], score, metric, item_id, row[3], unpack_key(row[4]), row[5],
                    _number(row[6]), _unpacked(row[7]), parse, None if parse is None else bool(row[9]),
                    _unpacked(row[10]), digest, _parts(row[12]), *(self._texts_of(row[13:]) if whole else _NO_TEXTS),
                )  # fmt: skip

    def score_sums(
        self, run_id: str, cells: Mapping[ScorePlace, ScoreCell], *, by_sample: bool = False, by_metadata: bool = False
    ) -> Iterator[ScoreSums]:
        with self._reading():
            yield from sums(self._database, self._arms(run_id), cells, by_sample=by_sample, by_metadata=by_metadata)

    def score_ends(self, run_id: str, *, by_sample: bool = False, by_metadata: bool = False) -> Iterator[ScoreEnds]:
        with self._reading():
            yield from ends(self._database, self._arms(run_id), by_sample=by_sample, by_metadata=by_metadata)

    def has_faults(self, run_id: str) -> bool:
        sql = (
            "SELECT 1 FROM runs r JOIN arms a ON a.run = r.id JOIN trials t ON t.arm = a.id"
            " JOIN score_links l ON l.trial = t.id JOIN scores s ON s.id = l.score"
            f" WHERE r.run_id = ? AND s.reason IN ({_FAULTS}) LIMIT 1"
        )
        with self._reading():
            return self._database.row(sql, (pack_name(run_id),)) is not None

    def _arms(self, run_id: str) -> list[tuple[int, tuple[str, ...]]]:
        """Return the run's arms in order, each with slice, model, variant and params."""
        rows = self._database.rows(
            "SELECT a.id, a.slice_id, a.model_id, a.prompt_variant_id, a.params FROM arms a"
            " JOIN runs r ON r.id = a.run WHERE r.run_id = ?",
            (pack_name(run_id),),
        )
        arms = [(number, tuple(map(unpack_name, names))) for number, *names in rows]
        return sorted(arms, key=lambda arm: arm[1])

    def generation_records(self, keys: Sequence[str]) -> Iterator[GenerationRecorded]:
        sql = (
            f"{_GENERATIONS}, g.item_id, g.sample_index, g.seed, c.model_id, c.params, r.run_id, g.at,"
            f" {_text_columns('m')} FROM generations g JOIN settings c ON c.id = g.settings"
            f" JOIN runs r ON r.id = g.run JOIN payloads m ON m.id = g.messages {_TEXTS} WHERE g.lookup IN (*)"
        )
        with self._reading():
            for start in range(0, len(keys), _BATCH):
                part = keys[start : start + _BATCH]
                found = {
                    unpack_key(row[0]): row for row in self._database.rows_found("generations", sql, _lookups(part))
                }
                yield from (self._record(found[key]) for key in part if key in found)

    def _record(self, row: Any) -> GenerationRecorded:
        generation, of_request = self._generation(row)
        key = unpack_key(row[0])
        item_id, sample_index, seed, model_id, params, run_id, at, *messages = row[20:]
        request = Request(
            model_id=unpack_name(model_id),
            messages=from_json(self._payloads.restore(*messages)),
            params=from_json(params),
            item_id=unpack_name(item_id),
            sample_index=sample_index,
            seed=of_request.get("seed", seed),
            key=str(of_request.get("request_key", key)),
            item=of_request.get("request_item", {}),
        )
        return GenerationRecorded(key, unpack_name(run_id), time_of(at), request, generation)

    def _generation(self, row: Any) -> tuple[Generation, dict[str, Any]]:
        values = {
            "status": row[1],
            "error_code": _unpacked(row[2]),
            "finish_reason": _unpacked(row[3]),
            "cost": row[4],
            "latency_s": row[5],
            "attempts": row[6],
            "usage": row[7:12],
        }
        answer = "" if row[15] is None else self._payloads.restore(*row[12:16])
        detail = None if row[19] is None else self._payloads.restore(*row[16:20])
        return generation_from(values, answer, detail)

    def _score(self, row: Any) -> tuple[Score, Extraction | None]:
        value, reason, parts, parsed, parse_reason, extracted, *texts = row
        details = {} if texts[7] is None else from_json(self._payloads.restore(*texts[4:]))
        score = Score(value, _unpacked(reason), _parts(parts), details)
        if parsed is None:
            return score, None
        if texts[3] is not None:
            extracted = self._payloads.restore(*texts[:4])
        found = None if extracted is None else from_json(extracted)
        return score, Extraction(found, _unpacked(parse_reason))

    def score_entries(self, run_id: str, slice_id: str, trial_id: str) -> Sequence[ScoreEntry]:
        sql = (
            f"SELECT k.score, k.metric, k.parse, l.new, l.judged_by, s.key, {_SCORE} FROM trials t"
            " JOIN arms a ON a.id = t.arm JOIN runs r ON r.id = a.run JOIN score_links l ON l.trial = t.id"
            f" JOIN scorers k ON k.id = l.scorer JOIN scores s ON s.id = l.score {_SCORE_TEXTS}"
            " WHERE {} AND t.trial_id = ? AND r.run_id = ? AND a.slice_id = ? ORDER BY l.position"
        )
        packed = pack_key(trial_id)
        with self._reading():
            numbered = sql.format(self._numbered(run_id, slice_id, packed))
            rows = self._database.rows(numbered, (packed, pack_name(run_id), pack_name(slice_id)))
            return [self._entry(row) for row in rows]

    def _entry(self, row: Any) -> ScoreEntry:
        score, metric, parse, new, judged_by, key, *rest = row
        result, extraction = self._score(rest)
        return ScoreEntry(
            score=unpack_name(score),
            metric=unpack_name(metric),
            key=unpack_key(key),
            result=result,
            parse=_unpacked(parse),
            extraction=extraction,
            new=bool(new),
            judged_by=tuple(unpack_key(turn[0]) for turn in self._turns(judged_by)),
        )

    def events(self, run_id: str | None = None) -> Iterator[dict[str, Any]]:
        sql, values = "SELECT seq, at, encoding, body FROM events", ()
        if run_id is not None:
            sql += " WHERE run_id IS NULL OR run_id = ?"
            values = (pack_name(run_id),)  # type: ignore[assignment]
        with self._reading():
            for seq, at, encoding, body in self._database.rows(f"{sql} ORDER BY seq", values):
                facts = unpack_body(encoding, body)
                texts = self._payloads.texts(set(payload_ids(facts)))
                for number, fact in enumerate(facts, first_number(self._database, seq)):
                    if run_id is None or fact.get("run_id") == run_id:
                        yield {"seq": number, **plain_event(fact, texts, at)}


def _object(text: str) -> dict[str, Any]:
    value = from_json(text)
    if not isinstance(value, dict):
        raise TypeError("no JSON object")
    return value


def _number(value: Any) -> float | None:
    if value is not None and not isinstance(value, int | float):
        raise TypeError("no number")
    return value


def _lookups(keys: Iterable[str]) -> list[int]:
    return [lookup_of(pack_key(key)) for key in set(keys)]


def _trial_filter(trial_id: str | None) -> tuple[str, tuple[Any, ...]]:
    """Return what narrows a query to ids that may begin so; ids that are no SHA-256 are left to the caller."""
    try:
        start = bytes.fromhex((trial_id or "")[: len(trial_id or "") // 2 * 2])
    except ValueError:
        start = b""
    if not start:
        return "", ()
    return " AND (t.trial_id BETWEEN ? AND ? OR length(t.trial_id) <> 32)", (start, start.ljust(33, b"\xff"))


def _whole(wanted: bool) -> tuple[str, str]:
    """Columns and joins of what whole rows have besides."""
    if not wanted:
        return "", ""
    return f", s.extracted, {_text_columns('x')}, {_text_columns('d')}", f" {_SCORE_TEXTS}"


_NO_TEXTS = (None, None)


def _score_row(arm: tuple[str, ...], row: Any) -> ScoreRow:
    score, metric, item_id, sample_index, trial_id, outcome, value, reason, parse, parsed, why, digest, parts = row
    return ScoreRow(
        arm[0], arm[1], arm[2], arm[3],
        unpack_name(score), unpack_name(metric), unpack_name(item_id), sample_index, unpack_key(trial_id), outcome,
        _number(value), _unpacked(reason), _unpacked(parse), None if parse is None else bool(parsed), _unpacked(why),
        unpack_key(digest), _parts(parts),
    )  # fmt: skip


def _total(column: tuple[Any, ...]) -> Any:
    """Return the sum, or None if one of the turns did not say."""
    return None if None in column else sum(column)


def _parts(text: str | None) -> tuple[float, ...]:
    return tuple(from_json(text)) if text else ()


def _unpacked(name: str | None) -> str | None:
    return None if name is None else unpack_name(name)
