"""Where components' calls run, and how a call ends that does not end by itself."""

from themis_lanes.batches import Batches
from themis_lanes.deadline import Deadlines, leave_alone
from themis_lanes.errors import Crashed, GivenUp, Overdue, Raised
from themis_lanes.processes import Processes
from themis_lanes.records import Record
from themis_lanes.threads import Threads, beside
from themis_lanes.turns import switching
from themis_lanes.watch import going_on, in_time, stuck, timed, watched, watching

__all__ = [
    "Batches", "Crashed", "Deadlines", "GivenUp", "Overdue", "Processes", "Raised", "Record", "Threads",
    "beside", "going_on", "in_time", "leave_alone", "stuck", "switching", "timed", "watched", "watching",
]  # fmt: skip
