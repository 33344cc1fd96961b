"""How results, plans and progress of evaluations are shown to people. It reads no store and runs nothing."""

from themis_display.plans import show_messages, show_plan
from themis_display.progress import ProgressLine, progress_text
from themis_display.results import conclusion_told, cost_text, show_result, warn
from themis_display.shapes import Gate, Plan, Progress, Result, Row
from themis_display.steps import show_steps
from themis_display.tables import as_text, scores_told
from themis_display.views import View, view_options

__all__ = [
    "Gate",
    "Plan",
    "Progress",
    "ProgressLine",
    "Result",
    "Row",
    "View",
    "as_text",
    "conclusion_told",
    "cost_text",
    "progress_text",
    "scores_told",
    "show_messages",
    "show_plan",
    "show_result",
    "show_steps",
    "view_options",
    "warn",
]
