"""Workers that are at work on one thing: started, watched, replaced when they are lost, and ended in good order.

    crew ─ look ─ poll each ─ still at work
                      ├─ ended by itself ─ its place is done
                      ├─ lost ─ wait 1 s, 2 s, 4 s … ─ started again, until it was lost too often in a row
                      └─ nobody can do it ─ `crew.cause`

What the work is, and what a worker is (a process here, a process of another machine), it does not know.
"""

from themis_workers.crew import Crew, Ended, Judged, Told
from themis_workers.machine import Machine, NoDevice, Seats
from themis_workers.processes import WorkerProcess, tail_of
from themis_workers.worker import RunningWorker, WorkerEnd

__all__ = [
    "Crew", "Ended", "Judged", "Machine", "NoDevice", "RunningWorker", "Seats", "Told", "WorkerEnd", "WorkerProcess",
    "tail_of",
]  # fmt: skip
