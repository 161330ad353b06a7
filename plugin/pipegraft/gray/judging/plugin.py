"""The judges that ship with the package."""

from __future__ import annotations

from collections.abc import Iterator

from pipegraft.domain.judging.mann_whitney import MannWhitneyJudge
from pipegraft.domain.judging.sequential import sequential
from pipegraft.domain.judging.threshold import threshold
from pipegraft.hookspecs import hookimpl
from pipegraft.ports.plugins import JudgePlugin

__all__ = ["pipegraft_judges"]


@hookimpl
def pipegraft_judges() -> Iterator[JudgePlugin]:
    """The default first."""
    yield JudgePlugin("sequential", "Bets that stay valid however often one looks.", sequential)
    yield JudgePlugin("threshold", "Point estimates against bounds; failures add up.", threshold)
    yield JudgePlugin("mann-whitney", "Rank test on interval values, 98% interval.", MannWhitneyJudge())
