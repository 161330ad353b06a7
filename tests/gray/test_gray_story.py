"""The story of a release: from the commits alone, and finer with the release record."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from gray_world import NEW, NEWER, World, commit_of
from test_gray_commands import project

from pipegraft.app.gray import gray_report
from pipegraft.app.judge import Replay, judge_history
from pipegraft.app.plugins import installed_plugins
from pipegraft.core.errors import RolledBack, UsageError
from pipegraft.gray.judgement import Answer
from pipegraft.gray.judging.readings import wilson
from pipegraft.gray.observation import ArmCounts
from pipegraft.gray.ports import Arms, FakeJudge, FakeSource
from pipegraft.gray.report import GrayReport, ReportedLook, ReportedStep, render_html


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


def replays(world: World, last: int) -> tuple[Replay, ...]:
    known = replace(project(world), plugins=installed_plugins())
    return judge_history(known, None, last, connections=world.context().connections)


def test_a_promoted_release_is_told_from_the_commits_alone() -> None:
    world = World()
    world.prepare()
    world.release()
    report = story(world)
    assert (report.release, report.state, report.source) == (13, "promoted", commit_of(13))
    assert [(step.step, step.weight) for step in report.steps] == [
        ("prepare", 0), ("1/2 weight=10", 10), ("2/2 weight=50", 50), ("take-over", 100), ("promote", 100)
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
    assert html.count("<svg") == 3
    assert "<title>100 requests of gray, 900 of stable</title>" in html
    assert "errors: requests that gray served between two looks" in page.words


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


def test_the_releases_of_the_history_are_judged_again_by_the_present_policy() -> None:
    world = World(**{"min-requests": 1})
    with pytest.raises(UsageError, match="no gray release in the history"):
        replays(world, 5)
    world.prepare(13, NEW)
    world.release(13)
    world.prepare(14, NEWER)
    world.source = FakeSource([Arms(ArmCounts(900, 1), ArmCounts(100, 60))])
    world.judge = FakeJudge(Answer.INCONCLUSIVE, Answer.INCONCLUSIVE, Answer.FAIL)
    with pytest.raises(RolledBack):
        world.release(14)
    world.prepare(15, NEWER)  # of which nothing was observed yet

    good, bad = replays(world, 5)
    assert (good.name, good.release) == ("release 13, promoted", 13)
    assert [(step.weight, step.intervals) for step in good.steps] == [(10, 1), (50, 1)]
    assert (bad.name, bad.release, bad.goes_on) == ("release 14, taken back", 14, False)
    assert [(step.weight, step.intervals) for step in bad.steps] == [(10, 3)]
    assert bad.steps[0].judgement.answer is Answer.FAIL
    assert [one.release for one in replays(world, 1)] == [14]


def test_a_release_that_was_prepared_again_is_judged_by_itself() -> None:
    world = World()
    for _ in range(2):
        world.prepare(13, NEW)
        world.judge = FakeJudge(Answer.FAIL)
        with pytest.raises(RolledBack):
            world.release(13)
    assert [(one.release, one.steps[0].intervals) for one in replays(world, 9)] == [(13, 1), (13, 1)]


def test_a_chart_has_the_policys_limits_and_the_interval_of_few_requests() -> None:
    looks = tuple(ReportedLook(60.0 * at, "errors", 0.01, 0.02, 2.0, 1.2, 3.0, 900, 100) for at in (1, 2, 3))
    step = ReportedStep("a" * 40, 0.0, "ci", "1/2 weight=10", 10, ())
    html = render_html(
        GrayReport("shop", "production", 13, "d" * 40, "gray", (step,), looks, {"errors": (1.2, 1.5)})
    )
    assert "worse above 1.2, good below 1.5" in html
    assert 'class="limit"' in html
    low, high = wilson(2, 100)
    assert (round(low, 4), round(high, 4)) == (0.0055, 0.07)
    assert html.count('class="band gray"') == html.count('class="band estimate"') == 1
