"""What `pipegraft run` says at its end."""

from __future__ import annotations

import pytest

from pipegraft.cli.release import _summary
from pipegraft.core.release import EnvironmentRelease, GateResult, GrayStep, IacCommit, Release, Source

COMMIT = "c" * 40
STEP = GrayStep(commit=COMMIT, weight=5, phase="step")
WRITTEN = IacCommit(commit=COMMIT, path="environments/p.yaml", outcome="written")
LIVE = GateResult(revision=COMMIT, verdict="succeeded", evidence="cccccccccccc is live", seconds=2)


def said(*, environment: str | None = None, **there: EnvironmentRelease) -> list[str]:
    release = Release(app="shop", source=Source(commit="a" * 40, number=3), environments=there)
    first, *rest = _summary(release, environment)
    assert first == "release 3 of shop: 0 images, 0 built now"
    return [line.strip() for line in rest]


def test_nothing_but_images() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (EnvironmentRelease(bump=WRITTEN), "written, commit cccccccccccc"),
        (EnvironmentRelease(bump=WRITTEN, gate=LIVE), "cccccccccccc is live"),
        (
            EnvironmentRelease(bump=WRITTEN, gate=LIVE, gray=(STEP,)),
            "gets 5% of the requests, commit cccccccccccc",
        ),
        (
            EnvironmentRelease(bump=WRITTEN, gray=(GrayStep(commit=COMMIT, weight=100, phase="promoted"),)),
            "promoted, commit cccccccccccc",
        ),
    ],
)
def test_where_the_release_stands_and_what_shows_more(one: EnvironmentRelease, line: str) -> None:
    assert said(production=one) == [
        f"production: {line}",
        "to see how it came there: pipegraft audit --env production",
    ]


def test_what_was_taken_back_says_how_to_release_again() -> None:
    over = EnvironmentRelease(bump=IacCommit(commit=COMMIT, path="p", outcome="superseded"))
    assert said(environment="production", production=over, staging=EnvironmentRelease(bump=WRITTEN)) == [
        "production: nothing was done: a newer release stands there, or this one was taken back",
        "to release again in production, commit a change and run this once more",
    ]
