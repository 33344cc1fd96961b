"""What calls of models cost: by their tokens, at most, before they are made, within a budget. It makes no call."""

from themis_costs.budget import (
    NOTHING,
    Budget,
    Stopped,
    cost_of,
    estimate_tokens,
    foreseen_cost,
    output_limit,
    prompt_tokens,
)
from themis_costs.costs import UNKNOWN_COST, RunCost
from themis_costs.purse import Purse, PurseNeed, PursePart, PurseShare
from themis_costs.usage import Usage

__all__ = [
    "NOTHING",
    "Budget",
    "Purse",
    "PurseNeed",
    "PursePart",
    "PurseShare",
    "RunCost",
    "Stopped",
    "UNKNOWN_COST",
    "Usage",
    "cost_of",
    "estimate_tokens",
    "foreseen_cost",
    "output_limit",
    "prompt_tokens",
]
