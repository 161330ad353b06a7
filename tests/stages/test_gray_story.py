"""The story of a release: from the commits alone, and finer with the release record."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from gray_world import World, commit_of
from test_gray_commands import project

from pipegraft.errors import RolledBack, UsageError
from pipegraft.model.judgement import Answer
from pipegraft.ports.judge import FakeJudge
from pipegraft.reports.gray_report import GrayReport, render_html
from pipegraft.usecases.gray import gray_report


class Page(HTMLParser):
    """Checks that every element is closed, and keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "link", "line", "path", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "path", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def story(world: World, *, recorded: bool = False, number: int | None = None) -> GrayReport:
    record = world.releases.release if recorded else None
    return gray_report(project(world), None, record, world.connections, number)


def test_a_promoted_release_is_told_from_the_commits_alone() -> None:
    world = World()
    world.prepare()
    world.release()
    report = story(world)
    assert (report.release, report.state, report.source) == (13, "promoted", commit_of(13))
    assert [(step.step, step.weight) for step in report.steps] == [
        ("prepare", 0), ("1/2 weight=10", 10), ("2/2 weight=50", 50), ("promote", 100)
    ]  # fmt: skip
    assert [(look.metric, look.stable, look.gray) for look in report.looks] == [("errors", 1 / 900, 0)] * 2


def test_history_and_record_have_every_look() -> None:
    world = World()
    world.prepare()
    world.judge = FakeJudge(Answer.INCONCLUSIVE, Answer.INCONCLUSIVE, Answer.FAIL)
    with pytest.raises(RolledBack):
        world.release()
    assert len(story(world).looks) == 3
    report = story(world, recorded=True)
    assert len(report.looks) == 3
    assert report.state == "absent"
    assert report.steps[-1].lines == ("as scripted", "errors: as scripted")
    assert json.loads(json.dumps(report.to_json()))["steps"][-1]["step"] == "rollback"


def test_an_older_release_is_told_by_its_number() -> None:
    world = World()
    world.prepare()
    world.release()
    world.prepare(14, "registry.example.com/shop/web@sha256:" + "3" * 64)
    world.release(14)
    assert story(world).release == 14
    assert story(world, number=13).release == 13
    with pytest.raises(UsageError, match="tells of no release 99"):
        story(world, number=99)


def test_the_page_stands_alone_and_hides_nothing_in_markup() -> None:
    world = World()
    world.prepare()
    world.judge = FakeJudge(Answer.INCONCLUSIVE, Answer.FAIL)
    with pytest.raises(RolledBack):
        world.release()
    report = story(world, recorded=True)
    object.__setattr__(report.steps[-1], "lines", ("<script>alert(1)</script>",))
    html = render_html(report)
    page = Page()
    page.feed(html)
    assert page.open == []
    assert "taken back" in page.words
    assert "<script>" not in html
    assert "http" not in html
    assert html.count("<svg") == 2


def test_of_digests_people_see_the_beginning_and_machines_all() -> None:
    world = World()
    world.prepare()
    report = story(world)
    line = f"image of 'web': web@sha256:{'1' * 64} → web@sha256:{'2' * 64}"
    object.__setattr__(report.steps[-1], "lines", (line,))
    page = Page()
    page.feed(render_html(report))
    assert f"image of 'web': web@sha256:{'1' * 12}… → web@sha256:{'2' * 12}…" in page.words
    assert line in report.to_json()["steps"][-1]["lines"]


def test_without_a_release_there_is_no_story() -> None:
    with pytest.raises(UsageError, match="no gray release is told of"):
        story(World())
