"""The content of the fixtures: a store in which all was replaced once that can be, with hostile texts and blobs.

    python tests/storage/made_store.py FOLDER

makes such a store with the Themis that is installed, and beside it the canonical export of its runs. It is run once for
each schema version, and what it made is kept from then on: tests read it with every later version.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from themis_core import Event, Extraction, Generation, Score, Store, Usage
from themis_core.testing.append_rules import EVERY_FIELD, LATER
from themis_core.testing.events import (
    batch_ended,
    batch_intended,
    batch_submitted,
    generation_recorded,
    item_recorded,
    key_of,
    run_finished,
    run_started,
    score_entry,
    trial_finished,
)
from themis_plugin_interop.canonical import canonical_lines
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

RUNS = ("first", "second\0run")
HOSTILE = "a\0b \ud83d \u202e =1+1 <script> é"
LONG = "word " * 1_000
QUESTION = 'How many "words" does this question have?\n' * 3
MANIFEST = {"note": HOSTILE, "dimensions": {"test": {"subject": HOSTILE}, "other\0slice": {}}}


def batches() -> Sequence[Sequence[Event]]:
    """What was appended, batch by batch."""
    first, second = RUNS
    failed = Generation("failed", error_code="timeout", error="no reply within 60 s", attempts=6)
    unscored = score_entry("1", Score(None, "judge_failed"), judged_by=(key_of("judge"),))
    judged = score_entry(
        "1",
        Score(0.5, parts=(1.0, 2.0), details={"explanation": HOSTILE}),
        extraction=Extraction([HOSTILE, LONG]),
        judged_by=(key_of("judge"),),
    )
    unparsed = score_entry("2", Score(0.0), extraction=Extraction(None, "no_match"))
    raw = score_entry("3", Score(1.0), parse=None, extraction=None, metric="raw")
    turns = (key_of("1"), key_of("follow-up"))
    return [
        [run_started(first, manifest=MANIFEST), item_recorded("1"), item_recorded("2", text=HOSTILE)],
        [
            generation_recorded("1", failed, run_id=first),
            trial_finished(run_id=first, outcome="failed", error_code="timeout"),
        ],
        [
            generation_recorded("2", Generation("answered", HOSTILE, usage=Usage(3, 4)), run_id=first),
            trial_finished("2", run_id=first, scores=(unscored, unparsed)),
            run_finished(first, status="failed", counts={"generated": 1}),
        ],
        [run_started(first, at=LATER), generation_recorded("1", EVERY_FIELD, run_id=first, at=LATER)],
        [generation_recorded("3", run_id=first, at=LATER, text=QUESTION), item_recorded("3", text=QUESTION)],
        [
            generation_recorded("follow-up", Generation("refused", refusal="no"), run_id=first, at=LATER),
            generation_recorded("judge", Generation("answered", LONG, reasoning=LONG), run_id=first, at=LATER),
            trial_finished(run_id=first, at=LATER, generation_keys=turns, scores=(judged, raw)),
            run_finished(first, at=LATER),
        ],
        [
            run_started(second, at=LATER),
            trial_finished(
                "2", run_id=second, slice_id="other\0slice", at=LATER, reused=True, scores=(replace(raw, new=False),)
            ),
            run_finished(second, at=LATER),
        ],
        [
            batch_intended(run_id=second),
            batch_submitted(run_id=second),
            batch_intended("n2", run_id=second, at=LATER, names="3"),
            batch_ended(run_id=second, at=LATER),
        ],
    ]  # fmt: skip


def fill(store: Store) -> None:
    for batch in batches():
        store.append(batch)


def lines(store: Store) -> list[str]:
    """The canonical export of both runs."""
    return [line for run_id in RUNS for line in canonical_lines(store, run_id)]


def main(folder: Path) -> None:
    store = SqliteBlobStorageSpec(root_dir=".", inline_limit_bytes=1_024).open(folder)
    fill(store)
    (folder / "canonical.jsonl").write_text("".join(f"{line}\n" for line in lines(store)), "ascii")
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
