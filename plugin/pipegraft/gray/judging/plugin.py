"""The judges that ship with the package."""

from __future__ import annotations

from collections.abc import Iterator

from pipegraft.core.plugins import hookimpl
from pipegraft.gray.hooks import JudgePlugin
from pipegraft.gray.judging.mann_whitney import MannWhitneyJudge
from pipegraft.gray.judging.sequential import sequential
from pipegraft.gray.judging.threshold import threshold

__all__ = ["pipegraft_judges"]


@hookimpl
def pipegraft_judges() -> Iterator[JudgePlugin]:
    """The default first."""
    yield JudgePlugin("sequential", "Bets that stay valid however often one looks.", sequential)
    yield JudgePlugin("threshold", "Point estimates against bounds; failures add up.", threshold)
    yield JudgePlugin("mann-whitney", "Rank test on interval values, 98% interval.", MannWhitneyJudge())
