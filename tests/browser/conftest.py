"""A headless Chromium of the machine, and pages that write down whatever they ask for and whatever goes wrong."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for what the tests here share

from watched_pages import Open, Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Fails where it can't run: a test that did not run must not look as if it passed.

    Of a module, because playwright keeps an event loop running in this thread, which other tests want to themselves.
    """
    path = os.environ.get("THEMIS_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail(
            "NOT RUN: there is no Chromium. Install one (Debian: apt-get install chromium), or set THEMIS_CHROMIUM"
        )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("NOT RUN: playwright is not installed; `nox -s browser` brings it")
    with sync_playwright() as playwright:
        # A container's root has no sandbox; the page under test is guarded by its policy, which is what is tested.
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open a file or an address and wait for `ready`; `width` and `scheme` are those of the reader."""
    contexts: list[Any] = []

    def start(
        target: Path | str, *, width: int = 1200, scheme: Any = "light", ready: str = "html[data-ready]"
    ) -> Watched:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        watched = Watched(context.new_page())
        address = target.as_uri() if isinstance(target, Path) else target
        watched.page.on(
            "request", lambda each: None if each.url.startswith(("data:", address)) else watched.asked.append(each.url)
        )
        watched.page.on("pageerror", lambda each: watched.wrong.append(str(each)))
        watched.page.on("console", lambda each: watched.wrong.append(each.text))
        watched.page.on("dialog", lambda each: watched.wrong.append(f"dialog {each.message}"))
        watched.page.goto(address)
        watched.page.wait_for_selector(ready, state="attached")
        return watched

    yield start
    for context in contexts:
        context.close()
