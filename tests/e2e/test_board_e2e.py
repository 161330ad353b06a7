"""The board in a browser: it fits, complains of nothing, fetches nothing, and a word from it is a commit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from board_world import gray, message, text
from browser import DESKTOP, PHONE, chromium, opened
from git_repositories import git
from playwright.sync_api import Browser

pytestmark = pytest.mark.e2e

PROGRAM = Path(sys.executable).with_name("pipegraft")
TOKEN = "a-token-of-this-board"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    """Two applications in bare repositories: one with a gray release under way, one quiet."""
    for name in ("lending", "rates"):
        work = tmp_path / "work" / name
        (work / "environments").mkdir(parents=True)
        git(work, "init", "-q", "-b", "main")
        web = "{ports: {http: 8080}, entrance: {router: gateway-api}}"
        (work / "app.yaml").write_text(f"app: {name}\ncomponents: {{web: {web}}}\n")
        for release, letter in ((1, "a"), (2, "b"), (3, "c")):
            for environment in ("staging", "production"):
                held = text(release, letter)
                if (name, release, environment) == ("lending", 3, "production"):
                    held = text(2, "b", gray(3, "c", 25))
                (work / "environments" / f"{environment}.yaml").write_text(held)
                git(work, "add", "-A")
                step = "2/3 weight=25" if "gray" in held else "bump"
                git(work, "commit", "-qm", message(release, step, environment))
        git(tmp_path, "clone", "-q", "--bare", str(work), f"iac/{name}.git")
    return tmp_path / "iac"


def variables(folder: Path) -> dict[str, str]:
    """What the board remembers lies in the test's own folder."""
    return {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PIPEGRAFT_BOARD_TOKEN": TOKEN}


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_the_pages_fit_and_are_found_by_keyboard(
    browser: Browser, repositories: Path, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    made = [PROGRAM, "board", str(repositories), "--output", str(tmp_path / "board")]
    subprocess.run(made, check=True, capture_output=True, env=variables(tmp_path))
    with opened(browser, tmp_path / "board" / "index.html", size, scheme) as board:
        page = board.page
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert "25%" in page.inner_text("main")
        page.screenshot(path=str(tmp_path / "index.png"), full_page=True)
        for _ in range(20):  # a reader without a mouse gets to an application
            page.keyboard.press("Tab")
            if "apps/" in str(page.evaluate("document.activeElement.getAttribute('href') || ''")):
                break
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("/apps/"))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.screenshot(path=str(tmp_path / "application.png"), full_page=True)
        assert board.complaints == []
        assert [one for one in board.fetched if not one.startswith("file:")] == []


def test_a_gray_release_is_paused_approved_and_aborted_from_the_page(
    browser: Browser, repositories: Path, tmp_path: Path
) -> None:
    command = [PROGRAM, "board", str(repositories), "--serve", "--control", "--port", "0"]
    with subprocess.Popen(command, env=variables(tmp_path), stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            line = served.stdout.readline()
            address = re.search(r"http://\S+", line)
            assert address, line
            page = browser.new_page()
            page.goto(address[0])
            page.click("a:has-text('lending')")
            page.fill("input[name=name]", "Ada")
            page.fill("input[name=token]", TOKEN)
            page.keyboard.press("Enter")
            for button, said in (
                ("Pause", "release 3 in production is paused, by Ada"),
                ("Approve", "release 3 in production goes on, by Ada"),
                ("Abort and take back", "release 3 in production is taken back, by Ada"),
            ):
                page.click(f"button:has-text('{button}')")
                page.wait_for_selector(f"text={said}")
            page.close()
        finally:
            served.terminate()
    log = git(
        repositories / "lending.git",
        "log",
        "-3",
        "--format=%(trailers:key=Pipegraft-Step,valueonly,separator=)",
    )
    assert log.split() == ["rollback", "resume", "pause"]
    held = git(repositories / "lending.git", "show", "main:environments/production.yaml")
    assert held.strip() == text(2, "b").strip()
