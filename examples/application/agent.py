"""An agent with tools: it plans a calculation, calls its tools step by step, and reports the result."""

import operator
import re

TOOLS = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul}
NAMES = {"plus": "add", "and": "add", "minus": "subtract", "less": "subtract", "times": "multiply"}


def plan(question):
    """What a model would decide: which tools to call with which numbers."""
    parts = re.findall(r"\d+|plus|and|minus|less|times", question)
    return int(parts[0]), [(NAMES[name], int(number)) for name, number in zip(parts[1::2], parts[2::2], strict=True)]


def call(tool, *numbers):
    return TOOLS[tool](*numbers)


def answer(question, steps):
    total, calls = plan(question)
    steps.add("model", "planner", question, [name for name, _ in calls], cost=0.002)
    for tool, number in calls:
        with steps.step("tool_call", tool, [total, number]) as step:
            step.output = total = call(tool, total, number)
    return {"text": f"The answer is {total}.", "cost": 0.002 + 0.001 * len(calls)}
