"""Pure planning: which items, which prompts, which trials, with which identities. Nothing is called or stored."""

from themis_core.planning.dialogues import Dialogue, as_user, followed, goes_on
from themis_core.planning.handing import NO_PROMPT, HandedRow, handed_rows
from themis_core.planning.identities import Baseline, Talk, Trial, score_key
from themis_core.planning.items import Items, Share
from themis_core.planning.media import media_items, with_media
from themis_core.planning.scorable import SHOWN, Asked, Unscorable
from themis_core.planning.templates import Prompt, PromptTemplate
from themis_core.planning.trials import Plan, PlannedSlice, questions, survey

__all__ = [
    "Asked",
    "Baseline",
    "Dialogue",
    "HandedRow",
    "Items",
    "NO_PROMPT",
    "Plan",
    "PlannedSlice",
    "Prompt",
    "PromptTemplate",
    "SHOWN",
    "Share",
    "Talk",
    "Trial",
    "Unscorable",
    "as_user",
    "followed",
    "goes_on",
    "handed_rows",
    "media_items",
    "questions",
    "score_key",
    "survey",
    "with_media",
]
