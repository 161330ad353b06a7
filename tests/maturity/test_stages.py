"""The stage of a dimension follows from its signals."""

from __future__ import annotations

from pipegraft.maturity.hooks import assess
from pipegraft.maturity.model import Answer, Dimension, Finding, Signal
from pipegraft.testing.signal_suite import repository_of

LETTERS = {"y": Answer.YES, "n": Answer.NO, "-": Answer.ABSENT, "?": Answer.UNSEEN}


def reached(**stages: str) -> tuple[int, str | None]:
    """Stage and next signal for answers by stage, a letter a signal: ``s2="yn"``."""
    signals = [
        Signal(
            f"s{stage[1]}-{at}x",
            Dimension.RELEASE,
            int(stage[1]),
            "it is so",
            lambda _repository, letter=letter: Finding(LETTERS[letter], "because"),
            "make it so",
        )
        for stage, letters in stages.items()
        for at, letter in enumerate(letters)
    ]
    found = assess(repository_of({}), signals)
    one = next(one for one in found.dimensions if one.dimension is Dimension.RELEASE)
    return one.stage, one.next.signal.name if one.next else None


def test_a_stage_is_reached_when_nothing_on_it_or_below_is_missing() -> None:
    assert reached(s2="yy", s3="yn", s4="y") == (2, "s3-1x")
    assert reached(s2="y", s3="y", s4="y", s5="y") == (5, None)
    assert reached(s2="n", s3="yyyy", s4="yyyy") == (1, "s2-0x")


def test_what_does_not_apply_neither_helps_nor_hinders() -> None:
    assert reached(s2="y-", s3="--", s4="y") == (4, None)
    assert reached(s2="--", s3="-") == (1, None)


def test_what_cannot_be_seen_is_not_there_but_comes_after_what_is_known_to_be_missing() -> None:
    assert reached(s2="y", s3="?n") == (2, "s3-1x")
    assert reached(s2="y", s3="y?", s4="n") == (2, "s3-1x")


def test_nothing_at_all_is_the_first_stage() -> None:
    found = assess(repository_of({}), ())
    assert {one.stage for one in found.dimensions} == {1}
