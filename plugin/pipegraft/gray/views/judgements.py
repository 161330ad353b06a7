"""What judges said, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from rich import box
from rich.table import Table
from rich.text import Text

from pipegraft.gray.model.judgement import Answer, Evidence, Judgement

__all__ = ["comparison", "judgement_lines", "simulated"]

_STYLE: Final = {Answer.PASS: "green", Answer.FAIL: "bold red", Answer.INCONCLUSIVE: "yellow"}


def judgement_lines(
    judge: str, steps: Sequence[tuple[float, int, Judgement]], *, verbose: bool = False
) -> Iterator[Text]:
    """One release through one judge: the answer, what was said at each weight, and why.

    Arguments:
        judge: its name.
        steps: weight in percent, number of intervals and the judgement at their end.
        verbose: whether to print the evidence as numbers, too.
    """
    last = steps[-1][2]
    cost = f"{_duration(last.seconds)} and {last.gray_requests:,.0f} requests of gray"
    yield Text.assemble(f"{judge}: ", _answer(last), f" after {cost}")
    for weight, intervals, judgement in steps:
        yield Text.assemble(f"  at {weight:g}%, {intervals} intervals: ", _answer(judgement))
    width = max(len(one.metric) for one in last.evidence)
    for one in last.evidence:
        critical = "" if one.critical else " (not critical)"
        yield Text.assemble(
            f"  {one.metric:<{width}}  ", _answer(one), f"{critical}  {one.reason}{_ratio(one)}"
        )
        if verbose and one.against is not None and one.in_favour is not None:
            yield Text(
                f"  {'':<{width}}  evidence against it {one.against:,.3g} of {one.needed:,.3g}, "
                f"in its favour {one.in_favour:,.3g}; {one.looks} intervals"
            )


def comparison(rows: Sequence[tuple[str, str, Judgement | str]]) -> Table:
    """Judges side by side.

    Arguments:
        rows: release, judge, and its last judgement, or why it cannot judge.
    """
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("release", "judge", "answer"):
        table.add_column(heading, overflow="fold")
    for heading in ("after", "gray requests"):
        table.add_column(heading, justify="right")
    for row, (release, judge, judgement) in enumerate(rows):
        shown = "" if row and rows[row - 1][0] == release else release
        if isinstance(judgement, str):
            table.add_row(shown, judge, f"cannot judge: {judgement}", "", "")
        else:
            cost = (_duration(judgement.seconds), f"{judgement.gray_requests:,.0f}")
            table.add_row(shown, judge, _answer(judgement), *cost)
    return table


class Simulated(Protocol):
    """Many releases of one kind."""

    @property
    def name(self) -> str:
        """The world, or the fault."""

    @property
    def good(self) -> bool:
        """Whether the new version is as good as stable."""

    @property
    def tally(self) -> Ended:
        """How they ended."""


class Ended(Protocol):
    """How many releases ended how."""

    promoted: int
    taken_back: int
    held: int
    looks: float
    requests: float

    def share(self, of: int) -> tuple[float, float, float]:
        """A share with its 95% interval."""


def simulated(lines: Sequence[Simulated]) -> Table:
    """Simulated releases: good versions in their worlds, then bad ones by their faults."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("new version", "world or fault"):
        table.add_column(heading)
    for heading in ("promoted", "taken back", "held", "intervals", "gray requests"):
        table.add_column(heading, justify="right")
    for line in lines:
        ended = line.tally
        shares = [_with_interval(*ended.share(of)) for of in (ended.promoted, ended.taken_back, ended.held)]
        cost = (f"{ended.looks:.0f}", f"{ended.requests:,.0f}")
        table.add_row("good" if line.good else "bad", line.name, *shares, *cost)
    return table


def _with_interval(share: float, low: float, high: float) -> str:
    return f"{share:.1%} ({low:.1%} to {high:.1%})"


def _answer(said: Evidence | Judgement) -> Text:
    return Text(str(said.answer), _STYLE[said.answer])


def _ratio(evidence: Evidence) -> str:
    if evidence.estimate is None or evidence.against is None:
        return ""
    low = "0" if evidence.low is None else f"{evidence.low:.2f}"
    high = "any" if evidence.high is None else f"{evidence.high:.2f}"
    return f" ({evidence.estimate:.2f} times stable's; surely {low} to {high})"


def _duration(seconds: float) -> str:
    return " ".join(_parts(round(seconds))) or f"{seconds:.1f}s"


def _parts(seconds: int) -> Iterator[str]:
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            yield f"{count}{unit}"
