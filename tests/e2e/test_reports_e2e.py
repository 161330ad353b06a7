"""The HTML reports in a browser: nothing complains, nothing is fetched, everything fits, clicks work."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Opened, chromium, opened
from playwright.sync_api import Browser

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
PROGRAM = Path(sys.executable).with_name("pipegraft")
NAMES = ("assessment", "fleet", "delivery", "nothing")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each report, written by the command that users type."""
    folder = tmp_path_factory.mktemp("reports")
    shop, draft = folder / "shop", folder / "draft"
    shutil.copytree(ROOT / "examples" / "shop", shop, ignore=shutil.ignore_patterns("iac", ".pipegraft"))
    shutil.copytree(ROOT / "examples" / "shop" / "iac", draft)
    for one in (shop, draft):
        commit(one, "first")
    git(folder, "clone", "-q", "--bare", str(draft), "shop-iac.git")
    history(folder / "history")
    found = {name: folder / f"{name}.html" for name in NAMES}
    pipegraft(shop, "assess", "--html", str(found["assessment"]))
    pipegraft(shop, "assess", ".", str(ROOT), "--html", str(found["fleet"]))
    for name, since in (("delivery", "2023-11-01"), ("nothing", "2024-06-01")):
        window = ("--since", since, "--until", "2024-06-30")
        pipegraft(shop, "audit", str(folder / "history"), "--dora", *window, "--html", str(found[name]))
    return found


def pipegraft(folder: Path, *words: str) -> None:
    subprocess.run([PROGRAM, *words], cwd=folder, check=True, capture_output=True)


def git(folder: Path, *words: str, at: int = 0) -> None:
    date = f"{1_700_000_000 + at} +0000"
    who = {f"GIT_{who}_{what}": f"a@{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(folder), **who, **dates}
    subprocess.run(["git", *words], cwd=folder, env=environment, check=True)


def commit(folder: Path, message: str, at: int = 0) -> None:
    if not (folder / ".git").exists():
        git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message, at=at)


def history(folder: Path) -> None:
    """Two deployments a week for ten weeks, every fifth taken back after two hours."""
    (folder / "environments").mkdir(parents=True)
    (folder / "app.yaml").write_text("app: shop\n")
    file = folder / "environments" / "production.yaml"
    serving = 0
    for number in range(20):
        at = 3 * 86400 * number
        for version, later in ((number, 0), *(((serving, 7200),) if number % 5 == 4 else ())):
            digest = f"{version + 1:064x}"
            file.write_text(f"components:\n  web: {{image: r.example.com/web@sha256:{digest}}}\n")
            commit(folder, f"release {version}", at + later)
            serving = version


def fits(found: Opened) -> bool:
    """Whether nothing sticks out sideways."""
    return bool(found.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", NAMES)
def test_a_report_stands_alone_and_fits(
    *, name: str, size: tuple[int, int], scheme: str, browser: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    with opened(browser, pages[name], size, scheme) as found:
        assert found.page.locator("h1").inner_text()
        assert fits(found)
        background = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(background.removeprefix("rgb(").split(",")[0])
        assert (red < 100) == (scheme == "dark")
        picture = tmp_path / "page.png"
        found.page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 5_000
        assert (found.complaints, found.fetched) == ([], [])


def test_a_dimension_opens_and_shows_signals_with_their_places(
    browser: Browser, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["assessment"], PHONE) as found:
        security = found.page.locator("details", has_text="security").last
        assert not security.locator("ol").is_visible()
        security.locator("summary").click()
        assert security.locator("ol").is_visible()
        assert security.get_by_text("no secret is in the repository").is_visible()
        pipeline = found.page.locator("details").first
        assert pipeline.get_by_text(".gitlab-ci.yml:18").first.is_visible()
        assert fits(found)
        assert found.complaints == []


def test_the_fleets_map_leads_to_the_repository(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["fleet"], DESKTOP) as found:
        last = found.page.locator("section").first.locator("tbody a").last
        target = str(last.get_attribute("href")).removeprefix("#")
        last.click()
        section = found.page.locator(f"section#{target}")
        assert section.locator("h2").inner_text() == last.inner_text()
        top = section.evaluate("one => one.getBoundingClientRect().top")
        assert -5 < top < DESKTOP[1]
        cells = found.page.locator("section").first.locator("td")
        colours = {
            cells.nth(at).evaluate("one => getComputedStyle(one).backgroundColor")
            for at in range(cells.count())
        }
        assert len(set(colours)) > 1  # a heat map of one colour says nothing


def test_the_charts_draw_what_the_figures_say(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["delivery"], DESKTOP) as found:
        assert found.page.get_by_text("20.0%").first.is_visible()  # four of twenty were taken back
        assert found.page.locator("strong", has_text="2.0 h").is_visible()
        failed = found.page.locator("rect.failed")
        assert failed.count() == 4
        assert "1 failed" in str(failed.first.locator("title").text_content())
        box = failed.first.bounding_box()
        assert box is not None
        assert box["height"] > 5
        assert found.page.get_by_text("n/a: there is no data").count() == 1  # lead time: no source commits


def test_what_has_no_data_is_not_drawn_as_zero(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["nothing"], DESKTOP) as found:
        assert found.page.locator("strong", has_text="n/a").count() == 5
        assert found.page.locator("svg").count() == 0
