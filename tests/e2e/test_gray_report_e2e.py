"""The story of a gray release in a browser, at desktop and phone width."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, chromium, opened

from pipegraft.gray.report import GrayReport, ReportedLook, ReportedStep, render_html

pytestmark = pytest.mark.e2e

START = 1_700_000_000.0


def story() -> GrayReport:
    looks = tuple(
        ReportedLook(
            START + 60 * number,
            "errors",
            0.01,
            0.01 + 0.002 * number,
            1 + 0.2 * number,
            0.5,
            2 + 0.2 * number,
            19_000,
            1_000,
        )
        for number in range(1, 9)
    )
    steps = (
        ReportedStep("a" * 40, START - 60, "ci", "prepare", 0, ("release 13 is deployed",)),
        ReportedStep("b" * 40, START, "ci", "1/2 weight=5", 5, ("gray gets requests",)),
        ReportedStep("c" * 40, START + 480, "ci", "rollback", 0, ("errors: gray is worse " + "x" * 90,)),
    )
    return GrayReport("shop", "production", 13, "d" * 40, "absent", steps, looks, {"errors": (1.1, 2.0)})


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_weight_errors_and_interval_are_drawn_and_everything_fits(
    tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    file = tmp_path / "release.html"
    file.write_text(render_html(story()))
    with chromium() as browser, opened(browser, file, size, scheme) as found:
        page = found.page
        assert page.get_by_text("taken back").first.is_visible()
        assert page.locator("svg").count() == 4
        for shown in (
            "g.weight path",
            "g.stable path",
            "g.gray path",
            "g.estimate path",
            "g.limit path",
            "path.band",
        ):
            box = page.locator(shown).first.bounding_box()
            assert box is not None, shown
            assert box["width"] > 100, shown
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        for text in page.locator("svg text").all():
            place = text.bounding_box()
            assert place is not None
            assert 0 <= place["x"] < place["x"] + place["width"] <= size[0]
        assert (found.complaints, found.fetched) == ([], [])
