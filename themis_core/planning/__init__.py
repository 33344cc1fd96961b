"""Pure planning: which items, which prompts, which trials, with which identities. Nothing is called or stored."""

from themis_core.planning.items import Items, allot, rank
from themis_core.planning.templates import Prompt
from themis_core.planning.trials import Plan, PlannedSlice, Trial, make_plan, score_key

__all__ = ["Items", "Plan", "PlannedSlice", "Prompt", "Trial", "allot", "make_plan", "rank", "score_key"]
