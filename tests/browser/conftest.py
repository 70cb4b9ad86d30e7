"""A browser: Debian's Chromium, driven by Playwright, which tells of all that a page does wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from playwright.sync_api import Page, Request, expect, sync_playwright

from tests.kit.waiting import PATIENCE

CHROMIUM = Path("/usr/bin/chromium")
MILLISECONDS = PATIENCE * 1000
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def failure(request: Request) -> list[str]:
    """Return why a request failed, but for those that the page itself gave up, as an autocomplete does."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"{request.url}: {request.failure}"]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """Open a page. What the browser's console calls an error, a violation of the policy among it, fails the test."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} isn't there; apt-get install chromium.")
    # Playwright keeps an event loop in this thread, where Django's synchronous calls are yet at home.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    expect.set_options(timeout=MILLISECONDS)
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS, timeout=MILLISECONDS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(MILLISECONDS)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.extend(failure(request)))
        yield page
        browser.close()
        connections.close_all()  # those of this loop's context, of which nobody else knows
    assert not wrong, "\n".join(wrong)
