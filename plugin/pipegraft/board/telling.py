"""A word from the board to a gray release: the same commit that `pipegraft gray` makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipegraft.appspec.environment_file import environment_path, read_environment
from pipegraft.core.errors import TipMoved, UsageError
from pipegraft.core.release import Source
from pipegraft.gray.branch import GrayBranch, GraySubject
from pipegraft.gray.machine import move_for
from pipegraft.iac.ports.repository import IacBranch

__all__ = ["WORDS", "BoardWord", "Word", "tell"]

Word = Literal["approve", "pause", "abort"]
WORDS: tuple[Word, ...] = ("approve", "pause", "abort")


@dataclass(frozen=True, slots=True)
class BoardWord:
    """What somebody said.

    Arguments:
        app: name of the application.
        folder: its folder in the IaC repository, empty for the root.
        environment: name of the environment.
        release: number of the gray release that is meant.
        word: what to do.
        by: who says so; it goes into the commit.
    """

    app: str
    folder: str
    environment: str
    release: int
    word: Word
    by: str


def tell(branch: IacBranch, said: BoardWord) -> str:
    """Write it; answers what was done.

    Raises:
        UsageError: another release is under way by now, or the word makes no sense where it stands.
        TipMoved: the release moved on while this was written.
    """
    path = environment_path(said.folder or None, said.environment)
    block = read_environment(branch.read(path, branch.tip()) or "", path).gray
    if block is None or block.release.number != said.release:
        now = "none" if block is None else f"release {block.release.number}"
        raise UsageError(
            f"expected the gray release {said.release} in {said.environment}, found {now}",
            fix="load the page again",
        )
    if said.word == "approve" and block.phase == "held":
        raise UsageError(
            "a release that the judge holds goes on to its next weight, which delivery.yaml names",
            fix=f"in the source repository: pipegraft gray approve --env {said.environment}",
        )
    # The file may name the source in any way people like; only releases of ours name a whole commit.
    source = Source.model_construct(commit=block.release.source, number=block.release.number, pipeline="")
    subject = GraySubject(said.app, said.environment, said.folder or None, source, ())
    gray = GrayBranch(branch, subject)
    look = gray.look()
    if gray.write(look, move_for(said.word, look.standing, (), said.by)) is None:
        raise TipMoved("the release moved on while this was written", fix="load the page again")
    done = {"approve": "goes on", "pause": "is paused", "abort": "is taken back"}[said.word]
    return f"release {said.release} in {said.environment} {done}, by {said.by}"
