"""Where components' calls run, and how a call ends that does not end by itself."""

from themis_lanes.errors import Crashed, Overdue, Raised
from themis_lanes.processes import Processes

__all__ = ["Crashed", "Overdue", "Processes", "Raised"]
