"""Debian's Chromium, driven by playwright: opens a report as a reader would, and notes what goes wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness import need
from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["DESKTOP", "PHONE", "Opened", "chromium", "opened"]

DESKTOP, PHONE = (1280, 900), (390, 844)
"""Width and height in CSS pixels."""


@dataclass
class Opened:
    """A page that is open.

    Arguments:
        page: the page.
        complaints: what the console said and what was thrown, oldest first.
        fetched: addresses that were asked for, the page itself left out.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the block ends."""
    need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, file: Path, size: tuple[int, int], scheme: str = "light") -> Iterator[Opened]:
    """A file of this machine, opened in a window of a size."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    found = Opened(context.new_page())
    found.page.on("console", lambda message: found.complaints.append(message.text))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    address = file.absolute().as_uri()
    found.page.on(
        "request",
        lambda request: (
            found.fetched.append(request.url) if not request.url.startswith(("data:", address)) else None
        ),
    )
    found.page.goto(address)
    try:
        yield found
    finally:
        context.close()
