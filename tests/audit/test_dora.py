"""Delivery figures from histories that are known."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.audit.dora import DAY, WEEK, Deployment, Figures, deployments_of, figures_of
from pipegraft.audit.release_commits import Book
from pipegraft.audit.release_scan import digests_in, read_held
from pipegraft.iac.archive import Version
from pipegraft.iac.ports import Commit

PATH = "environments/production.yaml"
MONDAY = 4 * DAY + 100 * WEEK
HOUR = 3600.0


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def marked(number: int, serving: str, limit: int = 0, gray: str = "") -> str:
    """A file that names its release and holds a value of configuration."""
    return (
        f"release: {{number: {number}, source: x}}\ncomponents:\n  web:\n"
        f"    image: r/web@{digest(serving)}\n    env: {{LIMIT: '{limit}', SUM: '{digest('9')}'}}\n{gray}"
    )


def gray_of(number: int, weight: int, content: str = "env: {LIMIT: '7'}") -> str:
    return (
        f"gray:\n  release: {{number: {number}, source: x}}\n  weight: {weight}\n  phase: step\n"
        f"  components:\n    web: {{{content}}}\n"
    )


def text(serving: str, gray: str = "", weight: int = 0) -> str:
    block = (
        f"gray:\n  release: {{number: 2, source: x}}\n  weight: {weight}\n  phase: step\n"
        f"  components:\n    web: {{image: r/web@{digest(gray)}}}\n"
    )
    return f"# sha256:{'0' * 64}\ncomponents:\n  web:\n    image: r/web@{digest(serving)}\n" + (
        block if gray else ""
    )


def book(*history: tuple[float, str]) -> Book:
    """A history of times (hours after a Monday) and texts, oldest first."""
    versions = [
        Version(
            Commit(f"{at:040x}", None, "", MONDAY + hours * HOUR),
            {PATH: str(at)},
            {"Pipegraft-Source-Commit": f"s{at}"},
        )
        for at, (hours, _) in enumerate(history)
    ]
    texts = {str(at): content for at, (_, content) in enumerate(history)}
    return Book("production", PATH, versions[::-1], lambda names: [(name, texts[name]) for name in names])


def told(*history: tuple[float, str]) -> tuple[list[Deployment], list[float]]:
    return deployments_of(book(*history))


def figures(*history: tuple[float, str], days: float = 7, since: float = 0) -> Figures:
    sources = {f"s{at}": MONDAY + (hours - 2) * HOUR for at, (hours, _) in enumerate(history)}
    return figures_of("production", told(*history), sources, MONDAY + since, MONDAY + days * DAY)


def values(found: Figures) -> dict[str, float | None]:
    return {one.name: one.value for one in found.figures}


def test_new_digests_are_deployments_and_other_changes_are_not() -> None:
    done, reverts = told((0, text("a")), (1, text("a") + "x: 1\n"), (2, text("b")))
    assert [(one.started - MONDAY) / HOUR for one in done] == [0, 2]
    assert reverts == []


def test_a_return_to_earlier_digests_takes_back_all_that_came_since() -> None:
    done, reverts = told((0, text("a")), (1, text("b")), (3, text("c")), (4, text("a")), (5, text("d")))
    undone = [None if one.undone is None else (one.undone - MONDAY) / HOUR for one in done]
    assert undone == [None, 4, 4, None]
    assert len(reverts) == 1


def test_a_gray_release_begins_with_its_first_requests_and_ends_with_all() -> None:
    done, reverts = told(
        (0, text("a")),
        (1, text("a", "b", 0)),
        (2, text("a", "b", 5)),
        (3, text("a", "b", 50)),
        (4, text("b")),
    )
    assert [((one.started - MONDAY) / HOUR, (one.finished or 0) - MONDAY) for one in done[1:]] == [
        (2, 4 * HOUR)
    ]
    assert reverts == []


def test_a_gray_release_taken_back_is_a_failed_deployment_if_it_got_requests() -> None:
    done, reverts = told((0, text("a")), (1, text("a", "b", 5)), (2, text("a")))
    assert [one.undone is not None for one in done] == [False, True]
    assert done[1].finished is None
    assert reverts == [MONDAY + 2 * HOUR]
    assert len(told((0, text("a")), (1, text("a", "b", 0)), (2, text("a")))[0]) == 1


def test_a_gray_release_that_a_newer_one_replaces_has_not_failed() -> None:
    done, reverts = told(
        (0, text("a")), (1, text("a", "b", 5)), (2, text("a", "c", 0)), (3, text("a", "c", 5)), (4, text("c"))
    )
    assert [((one.started - MONDAY) / HOUR, one.finished, one.undone) for one in done[1:2]] == [
        (1, None, None)
    ]
    assert [(one.started - MONDAY) / HOUR for one in done] == [0, 1, 3]
    assert [one.undone for one in done] == [None, None, None]
    assert reverts == []
    taken_back = told((0, text("a")), (1, text("a", "b", 5)), (2, text("c")), (3, text("a")))[0]
    assert [one.undone is not None for one in taken_back] == [False, True, True]  # nobody released 'c'


def test_a_release_of_configuration_is_a_deployment_and_an_edit_by_hand_is_none() -> None:
    done, reverts = told(
        (0, marked(1, "a")),
        (1, marked(1, "a", 5)),  # by hand
        (2, marked(2, "a", 6)),
        (3, marked(2, "a", 6, gray_of(3, 0))),
        (4, marked(2, "a", 6, gray_of(3, 5))),
        (5, marked(3, "a", 7)),
        (6, marked(3, "a", 7, gray_of(4, 5))),
        (7, marked(3, "a", 7)),
        (9, marked(2, "a", 6)),
    )
    assert [
        ((one.started - MONDAY) / HOUR, one.finished is not None, one.undone and (one.undone - MONDAY) / HOUR)
        for one in done
    ] == [(0, True, None), (2, True, None), (4, True, 9), (6, False, 7)]
    assert [(time - MONDAY) / HOUR for time in reverts] == [7, 9]


def test_recovery_counts_from_the_first_requests() -> None:
    history = ((0, text("a")), (1, text("a", "b", 5)), (2, text("b")), (5, text("a")))
    assert values(figures(*history))["recovery time"] == 4 * HOUR


def test_a_digest_of_zeros_was_never_released() -> None:
    assert told((0, text("0")))[0] == []
    assert len(told((0, text("0")), (1, text("a")), (2, text("0")), (3, text("a")))[0]) == 1


def test_the_five_figures() -> None:
    found = figures((0, text("a")), (24, text("b")), (48, text("c")), (51, text("b")), days=14)
    assert values(found) == {
        "deployment frequency": 1.5,
        "lead time": 2 * HOUR,
        "change failure rate": pytest.approx(1 / 3),
        "recovery time": 3 * HOUR,
        "rework rate": 0.25,
    }
    assert [(week.deployments, week.failed) for week in found.weeks] == [(3, 1), (0, 0)]
    assert found.weeks[0].recovery == 3 * HOUR
    assert found.weeks[1].lead is None
    assert all(one.proxy for one in found.figures)


def test_what_has_no_data_has_no_value() -> None:
    assert set(values(figures((0, text("a")), since=DAY)).values()) == {None}
    alone = values(figures((0, text("a"))))
    assert alone["recovery time"] is None
    assert alone["change failure rate"] == 0
    nowhere = figures_of("production", told((0, text("a"))), {}, MONDAY, MONDAY + WEEK)
    assert values(nowhere)["lead time"] is None


def test_a_window_counts_what_began_in_it() -> None:
    history = [(24.0 * day, text("abcdefg"[day])) for day in range(7)]
    assert len(figures(*history, days=3, since=DAY).deployments) == 2


def test_a_scan_sees_what_reading_the_file_sees() -> None:
    for content in (text("a"), text("a", "b", 25), f"gray: {{weight: 7}} # x\nimage: {digest('c')}\n"):
        found = digests_in(content)
        held = read_held(content, PATH)
        if held:
            assert found.stable == {image.partition("@")[2] for image in held.images.values()}
            assert found.gray == {image.partition("@")[2] for image in held.gray.values()}
            assert found.weight == held.weight


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30))
def test_every_change_is_a_deployment_or_takes_back(serving: list[str]) -> None:
    done, reverts = told(*((float(at), text(one)) for at, one in enumerate(serving)))
    changes = 1 + sum(one != other for one, other in itertools.pairwise(serving))
    assert len(done) + len(reverts) == changes
    assert sum(one.undone is None for one in done) >= 1
    assert all(one.undone is None or one.undone > one.started for one in done)
