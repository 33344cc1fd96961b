"""A stand-in for your own system: a calculator that reads the question, and knows only two words."""

import re


def answer(question):
    found = re.search(r"(\d+) (plus|times) (\d+)", question)
    if found is None:
        return "I don't know."
    left, word, right = found.groups()
    return str(int(left) + int(right) if word == "plus" else int(left) * int(right))
