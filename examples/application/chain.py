"""A retrieval chain: it finds the pages that share most words with the question, and answers with the best sentence."""

import json
import re
from pathlib import Path

PAGES = json.loads(Path(__file__).with_name("pages.json").read_text())


def words(text):
    return {word for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 3}


class Chain:
    def __init__(self, pages=2):
        self.pages = pages
        self.index = {title: words(f"{title} {text}") for title, text in PAGES.items()}

    def retrieve(self, question):
        ranked = sorted(self.index, key=lambda title: -len(self.index[title] & words(question)))
        return [{"title": title, "text": PAGES[title]} for title in ranked[: self.pages]]

    def answer(self, question, steps):
        with steps.step("retrieval", "pages", question) as step:
            step.output = found = self.retrieve(question)
        sentences = [each for page in found for each in page["text"].split(". ")]
        with steps.step("model", "best sentence", sentences) as step:
            step.output = best = max(sentences, key=lambda each: len(words(each) & words(question)))
        return best
