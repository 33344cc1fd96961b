"""A report in Chromium: it is searched, filtered, opened, printed, and attacked from within."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_pages import ATTACKS, counts, hostile, judged, many, talked
from watched_pages import Open, report


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counts")
    return report(counts(folder), folder / "report.html")


def test_the_page_says_the_verdict_first_and_asks_for_nothing(page: Path, open_page: Open) -> None:
    watched = open_page(page)
    first = watched.page.locator("main section").first
    assert first.locator("strong").first.inner_text() == "large has the highest accuracy: 1.000 [0.439, 1.000]"
    watched.count("8 results")
    assert (watched.asked, watched.wrong) == ([], [])


@pytest.mark.parametrize(
    ("shown", "items"),
    [
        ("all", ["days", "days", "eggs", "eggs", "feet", "feet", "pens", "pens"]),
        ("failed", ["pens"]),
        ("wrong", ["days", "feet"]),
        ("right", ["days", "eggs", "eggs", "feet", "pens"]),
        ("unparsed", ["days"]),
        ("unscored", []),
        ("flipped", ["days", "days", "feet", "feet"]),
    ],
)
def test_a_filter_keeps_what_it_names(shown: str, items: list[str], page: Path, open_page: Open) -> None:
    watched = open_page(page)
    watched.page.select_option("#shown", shown)
    watched.count(f"{len(items)} {'result' if len(items) == 1 else 'results'}")
    assert [each.split("\n")[1].strip() for each in watched.hits()] == items


def test_search_model_and_metadata_narrow_the_list_together(page: Path, open_page: Open) -> None:
    watched = open_page(page)
    watched.page.fill("#search", "THINK three")
    watched.count("1 result")
    assert watched.hits()[0].split("\n")[1].strip() == "feet"
    watched.page.fill("#search", "")
    watched.count("8 results")
    watched.page.select_option("#system", label="small")
    watched.count("4 results")
    watched.page.select_option("#metadata", label="level: a")
    watched.count("2 results")
    assert [each.split("\n")[1].strip() for each in watched.hits()] == ["days", "eggs"]


def test_a_result_opens_with_prompt_answer_extraction_scores_and_timeline(page: Path, open_page: Open) -> None:
    watched = open_page(page)
    watched.page.fill("#search", "think three")
    watched.count("1 result")
    watched.page.locator("#hits button").click()
    dialog = watched.page.locator("dialog[open]")
    dialog.get_by_text("Prompt as sent").click()
    told = dialog.inner_text()
    for part in (
        "How many feet?",
        "I think three.",
        'try extract/regex {"pattern": "A: (.+)"}',
        "found: 3",
        "asked small",
    ):
        assert part in told
    assert dialog.locator("mark").inner_text() == "3"
    assert dialog.locator("dd").first.inner_text() == "36"


def test_two_models_stand_side_by_side(page: Path, open_page: Open) -> None:
    watched = open_page(page)
    watched.page.select_option("#shown", "flipped")
    watched.count("4 results")
    watched.page.locator("#hits button").nth(2).click()
    columns = watched.page.locator("dialog[open] .pair > div")
    assert [column.locator(".badge").inner_text() for column in columns.all()] == ["✓ right", "✗ wrong"]
    watched.page.get_by_role("button", name="Next").last.click()
    assert watched.page.locator("dialog[open] h2").inner_text() == "feet"
    watched.page.keyboard.press("Escape")
    assert watched.page.locator("dialog[open]").count() == 0


def test_turns_samples_and_what_a_judge_was_asked_and_replied_are_shown(tmp_path: Path, open_page: Open) -> None:
    watched = open_page(report(judged(tmp_path), tmp_path / "report.html"))
    watched.count("4 results")
    assert [each.split("\n")[1].strip() for each in watched.hits()] == ["eggs", "eggs #2", "legs", "legs #2"]
    assert watched.page.locator("#table-ballots tbody td").all_inner_texts() == [
        "graded/judge/scale", "strict", "8", "0.5000", "0", "4", "100.0 %",
    ]  # fmt: skip
    watched.page.locator("#hits button").first.click()
    dialog = watched.page.locator("dialog[open]")
    watched.page.evaluate("document.querySelectorAll('dialog details').forEach(each => { each.open = true })")
    told = dialog.inner_text()
    for part in (
        "I heard: Say eggs.",
        "I heard: Again!",
        "What was said?",
        "1.25 s",
        "Judge 2: strict",
        "It is clear.",
    ):
        assert part in told
    assert dialog.locator("dd table tbody tr").count() == 2
    assert watched.wrong == []


def test_a_conversation_is_shown_as_it_was_spoken(tmp_path: Path, open_page: Open) -> None:
    watched = open_page(report(talked(tmp_path), tmp_path / "report.html"))
    watched.count("2 results")
    watched.page.locator("#hits button").first.click()
    dialog = watched.page.locator("dialog[open]")
    watched.page.evaluate("document.querySelectorAll('dialog details').forEach(each => { each.open = true })")
    told = dialog.inner_text()
    parts = [
        "Prompt of turn 1, as sent", "Answer 1", "I heard: Say eggs.",
        "What the simulated user was sent after answer 1", "You are a customer.",
        "Simulated user after answer 1", "I heard: I heard: Say eggs.",
        "Prompt of turn 2, as sent", "Answer 2", "Simulated user after answer 2", "simulated user customer",
    ]  # fmt: skip
    places = [told.lower().find(part.lower()) for part in parts]
    assert places == sorted(places)
    assert -1 not in places
    assert watched.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_fits_and_follows_the_reader_s_scheme(width: int, scheme: str, page: Path, open_page: Open) -> None:
    watched = open_page(page, width=width, scheme=scheme)
    assert watched.page.evaluate("document.documentElement.scrollWidth") == width
    shown = watched.page.locator(".plot img:visible")
    assert [each.get_attribute("class") for each in shown.all()] == [scheme, scheme]  # of the score, and by metadata
    assert min(shown.evaluate_all("images => images.map(each => each.naturalWidth)")) > 0
    light = sum(map(int, re.findall(r"\d+", watched.page.evaluate("getComputedStyle(document.body).backgroundColor"))))
    assert (light > 384) == (scheme == "light")
    watched.page.locator("#hits button").first.click()
    assert watched.page.locator("dialog[open]").evaluate("each => each.scrollWidth - each.clientWidth") == 0


def test_the_page_prints_its_verdict_and_tables_on_white_without_controls(page: Path, open_page: Open) -> None:
    watched = open_page(page, scheme="dark")
    printed = watched.page.pdf()
    assert printed.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 5
    watched.page.emulate_media(media="print")
    visible = "selector => [...document.querySelectorAll(selector)].map(each => each.checkVisibility())"
    assert watched.page.evaluate(visible, "#verdict, #table-scores, .plot img.light") == [True] * 4
    assert set(watched.page.evaluate(visible, "nav, #results, .plot img.dark")) == {False}
    assert watched.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_nothing_that_a_model_wrote_acts_or_asks_for_anything(tmp_path: Path, open_page: Open) -> None:
    watched = open_page(report(hostile(tmp_path), tmp_path / "report.html"), width=400)
    watched.count(f"{2 * len(ATTACKS)} results")
    assert watched.page.evaluate("document.documentElement.scrollWidth") == 400
    seen = 0
    while True:
        for number in range(watched.page.locator("#hits button").count()):
            watched.page.locator("#hits button").nth(number).click()
            watched.page.evaluate("document.querySelectorAll('dialog details').forEach(each => { each.open = true })")
            for button in watched.page.get_by_role("button", name="Show all").all():
                button.click()
            assert watched.page.locator("dialog[open]").evaluate("each => each.scrollWidth - each.clientWidth") == 0
            watched.page.keyboard.press("Escape")
            seen += 1
        if watched.page.locator("#after").is_disabled():
            break
        before = watched.page.locator("#where").inner_text()
        watched.page.locator("#after").click()
        watched.page.wait_for_function("before => document.getElementById('where').textContent !== before", arg=before)
    assert seen == 2 * len(ATTACKS)
    assert watched.page.evaluate("window.hit") is None
    assert (watched.asked, watched.wrong) == ([], [])
    tags = watched.page.evaluate("[...new Set([...document.querySelectorAll('main *')].map(each => each.localName))]")
    assert {"script", "iframe", "svg", "link", "base", "style", "b"} & set(tags) <= {"b"}
    assert watched.page.locator("img:not(.light):not(.dark)").count() == 0


def test_bidi_and_control_characters_are_shown_as_their_codes(tmp_path: Path, open_page: Open) -> None:
    watched = open_page(report(hostile(tmp_path), tmp_path / "report.html"))
    watched.page.fill("#search", "bidi <b>")
    watched.count("2 results")
    watched.page.locator("#hits button").first.click()
    assert "\\u202e\\u2066The answer is 12" in watched.page.locator("dialog[open] pre:visible").first.inner_text()
    assert "\u202e" not in watched.page.locator("body").inner_text()


def test_twenty_thousand_results_are_less_than_fifteen_megabytes_and_all_are_found(
    tmp_path: Path, open_page: Open
) -> None:
    page = report(many(tmp_path, 10_000), tmp_path / "report.html")
    watched = open_page(page)
    watched.count("20,000 results")
    measure = """async () => {
        const took = async (id, value) => {
            const start = performance.now(), count = document.getElementById("count"), before = count.textContent;
            document.getElementById(id).value = value;
            document.getElementById(id).dispatchEvent(new Event(id === "search" ? "input" : "change"));
            while (count.textContent === before) await new Promise((done) => setTimeout(done, 1));
            return performance.now() - start;
        };
        const told = performance.getEntriesByType("mark").find((each) => each.name === "ready").startTime;
        const filter = await took("shown", "wrong"), search = await took("search", "w1a");
        return { open: told, filter, search, again: await took("search", "w1a2") };
    }"""
    found = watched.page.evaluate(measure)
    print(f"{page.stat().st_size / 1e6:.1f} MB; in milliseconds: {found}")
    assert page.stat().st_size < 15e6
