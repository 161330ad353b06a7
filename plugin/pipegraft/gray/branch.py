"""One gray release in the IaC repository: where it stands, what happened, its next commit, its rollback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipegraft.appspec import environment_file as edits
from pipegraft.appspec.environment_file import app_path, environment_path, read_environment
from pipegraft.appspec.model import PROMOTING
from pipegraft.appspec.resource_binding import UNBOUND
from pipegraft.appspec.spec import Resolved, resolve
from pipegraft.core.delivery import Gray
from pipegraft.core.errors import ConfigError, PipegraftError, UsageError
from pipegraft.core.release import Source
from pipegraft.core.stage import StageContext
from pipegraft.gray.history import OBSERVED, STEPS, Chapter, step_name
from pipegraft.gray.machine import Do, Move, Standing, apply_move, refused, standing_of
from pipegraft.iac.commits import GATE, commit_message, release_trailers
from pipegraft.iac.optimistic_commit import Changes, Read, rewrite
from pipegraft.iac.ports import IAC, Commit, IacBranch, IacRepository
from pipegraft.iac.released_images import read_state, state_path

__all__ = ["GrayBranch", "GraySubject", "Look", "standing_source", "take_back_unserved", "taken_back"]

_DEEPEST = 500
"""Commits of one file that are searched for the beginning of a gray release."""


@dataclass(frozen=True, slots=True)
class GraySubject:
    """Which release of what.

    Arguments:
        app: name of the application.
        environment: name of the environment.
        folder: the app's folder in a repository shared by several, None for the root.
        source: where the release comes from.
        steps: weights of the delivery.
        gate: what the gate said before the first weight, as a trailer has it; empty if nobody knows.
    """

    app: str
    environment: str
    folder: str | None
    source: Source
    steps: tuple[int, ...]
    gate: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """The environment file at one moment.

    Arguments:
        text: the whole file, empty if there is none.
        standing: where the release stands.
    """

    text: str
    standing: Standing


class GrayBranch:
    """Reads and writes the environment file of one release.

    Arguments:
        branch: the IaC repository's.
        subject: which release of what.
    """

    def __init__(self, branch: IacBranch, subject: GraySubject) -> None:
        self._branch = branch
        self.subject = subject
        self.path = environment_path(subject.folder, subject.environment)

    def look(self) -> Look:
        """The file as it is now.

        Raises:
            ConfigError: it is not an environment file.
        """
        return self._look_at(self._branch.read(self.path, self._branch.tip()))

    def spec(self, look: Look) -> Resolved | None:
        """The app spec of the environment; None if it is not one, which is for the engine to say."""
        app_file = app_path(self.subject.folder)
        app = self._branch.read(app_file, self._branch.tip()) or ""
        try:
            return resolve(
                app,
                look.text,
                self.subject.environment,
                app_file=app_file,
                environment_file=self.path,
                platform=UNBOUND,
            )
        except ConfigError:
            return None

    def _split(self, look: Look) -> set[str] | None:
        """Components that have two versions; None if the spec is none, which is for the engine to say."""
        spec = self.spec(look)
        if spec is None or spec.gray is None:
            return None
        return {member.name for pod in spec.gray.pods.values() for member in pod.members}

    def _look_at(self, text: str | None) -> Look:
        environment = read_environment(text or "", self.path)
        return Look(
            text or "", standing_of(environment, self.subject.source.number, self.subject.source.commit)
        )

    def chapter(self) -> Chapter:
        """What happened to the release so far."""
        log = self._branch.log(self.path, limit=_DEEPEST)
        mine = self._mine(log)
        begun = log.index(mine[-1]) if mine else 0
        before = self._before(log[begun:]) if mine else None
        steps = [commit.trailers.get("Pipegraft-Step") for commit in mine]
        begins = Do.TAKE_OVER if Do.TAKE_OVER in steps else Do.PROMOTE
        promotion = mine[steps.index(begins)].parent if begins in steps else None
        promoted = self._branch.read(self.path, promotion) if promotion else None
        return Chapter(log[0] if log else None, tuple(mine), before, promoted)

    def _mine(self, log: Sequence[Commit]) -> list[Commit]:
        found: list[Commit] = []
        for commit in log:
            trailers = commit.trailers
            if (trailers.get("Pipegraft-Environment"), trailers.get("Pipegraft-Release")) == (
                self.subject.environment,
                str(self.subject.source.number),
            ):
                found.append(commit)
                if trailers.get("Pipegraft-Step") in ("prepare", "bump"):
                    break
        return found

    def _before(self, log: Sequence[Commit]) -> str | None:
        """The newest text without any gray block, from the commit that prepared the release backwards."""
        for commit in log:
            text = self._branch.read(self.path, commit.parent) if commit.parent else None
            if text is None:
                return None
            if read_environment(text, self.path).gray is None:
                return text
        return None

    def write(self, look: Look, move: Move, lines: Iterable[str] = (), observed: str = "") -> str | None:
        """Commit a move, if the release still stands where it stood.

        Arguments:
            look: what the move was decided on.
            lines: what the judge saw, for the commit's body.
            observed: what was observed at the weight that ends, see `to_trailer`.

        Returns:
            The new commit, or None if somebody was quicker: look again.

        Raises:
            ConfigError: the file would not be an environment file any more; nothing is committed.
        """
        chapter = self.chapter() if move.do is Do.ROLL_BACK else None
        message = self._message(look, move, lines, observed)
        split = self._split(look) if move.do is Do.TAKE_OVER else None

        def change(read: Read) -> Changes | None:
            now = self._look_at(read(self.path))
            if now.standing != look.standing:
                return None
            edited = self._edited(now, move, chapter, split)
            read_environment(edited, self.path)  # what nobody could read any more is never committed
            return Changes({self.path: edited}, message)

        done = rewrite(self._branch, change)
        return done.commit if done.written else None

    def _edited(self, look: Look, move: Move, chapter: Chapter | None, split: set[str] | None) -> str:
        before = chapter.before if chapter else None
        is_taken_over = look.standing.phase == PROMOTING and move.do is Do.ROLL_BACK
        if look.standing.kind == "gray" and not is_taken_over:
            return apply_move(look.text, move, before, file=self.path, split=split)
        if chapter is None or chapter.promoted is None:
            raise UsageError(
                f"release {self.subject.source.number} cannot be taken back: the history of {self.path} "
                "does not tell what was there before it",
                fix="deliver an older release again",
            )
        return edits.revert(look.text, chapter.promoted, before, file=self.path)

    def _message(self, look: Look, move: Move, lines: Iterable[str], observed: str) -> str:
        subject = self.subject
        number, weight = subject.source.number, look.standing.weight
        step = step_name(subject.steps, move)
        said = {
            Do.WEIGHT: f"release {number} gets {move.weight}% of the requests in {subject.environment}",
            Do.TAKE_OVER: f"release {number} takes over in {subject.environment}",
            Do.PROMOTE: f"promote release {number} in {subject.environment}",
            Do.ROLL_BACK: f"roll back release {number} in {subject.environment}",
            Do.HOLD: f"hold release {number} at {weight}% in {subject.environment}",
            Do.PAUSE: f"pause release {number} at {weight}% in {subject.environment}",
            Do.RESUME: f"resume release {number} at {weight}% in {subject.environment}",
        }[move.do]
        trailers = release_trailers(subject.app, subject.environment, subject.source, step)
        gate = subject.gate if look.standing.kind == "gray" and weight == 0 else ""
        weights = " ".join(map(str, subject.steps)) if move.do is Do.HOLD else ""
        ending = {**trailers, GATE: gate, STEPS: weights, OBSERVED: observed}
        return commit_message(f"{subject.app}: {said}", (move.reason, *lines), ending)


def standing_source(context: StageContext, gray: Gray) -> Source | None:
    """Where the release comes from that is under way in the context's environment, or bakes; None if none is.

    Arguments:
        gray: how the environment declares its gray releases.
    """
    branch = context.open(IAC)
    path = environment_path(context.delivery.iac.path, context.require_environment())
    held = read_environment(branch.read(path, branch.tip()) or "", path)
    mark = held.gray.release if held.gray else held.release if gray.bake else None
    if mark is None:
        return None
    pipeline = context.releases.load().source.pipeline
    # The file may name the source in any way people like; only releases of ours name a whole commit.
    return Source.model_construct(commit=mark.source, number=mark.number, pipeline=pipeline)


def take_back_unserved(context: StageContext, by_engine: str) -> str | None:
    """Take the context's gray release back if it has not got a request yet: the engine refused it.

    Arguments:
        by_engine: what it said.

    Returns:
        The commit; None if there is no such release, or it moved on meanwhile.
    """
    environment = context.require_environment()
    gray = context.delivery.environments[environment].gray
    if gray is None or gray.rollout is not None:
        return None
    source = context.releases.load().source_in(environment)
    folder = context.delivery.iac.path
    subject = GraySubject(context.delivery.app, environment, folder, source, gray.steps)
    branch = GrayBranch(context.open(IAC), subject)
    look = branch.look()
    if look.standing != Standing("gray", 0, "step", fresh=look.standing.fresh):
        return None
    return branch.write(look, refused(by_engine))


def taken_back(
    repository: IacRepository, folder: str | None, environment: str, number: int
) -> Callable[[str], str | None]:
    """Why a commit that contains a release's commit does not hold that release or a newer one.

    Arguments:
        folder: the app's folder in a repository shared by several, None for the root.
        number: of the release.

    Returns:
        Commit → the reason as a clause, or None where it holds the release, or nobody can tell.
    """
    known: dict[str, str | None] = {}

    def objection(revision: str) -> str | None:
        if revision not in known:
            known[revision] = _objection(repository, folder, environment, number, revision)
        return known[revision]

    return objection


def _objection(
    repository: IacRepository, folder: str | None, environment: str, number: int, revision: str
) -> str | None:
    paths = environment_path(folder, environment), state_path(folder, environment)
    try:
        texts = [repository.read(path, revision) for path in paths]
        declared = read_environment(texts[0] or "", paths[0])
        state = read_state(texts[1], paths[1])
    except PipegraftError:
        return None  # what cannot be read now says nothing; the engine's own verdict stands
    if state.taken_back and state.taken_back.number >= number:
        return f"release {number} was rolled back by {revision[:12]}"
    marks = (declared.release, declared.gray.release if declared.gray else None, state.release)
    newest = max((mark.number for mark in marks if mark), default=None)
    if newest is None or newest >= number:
        return None
    return f"{revision[:12]} takes release {number} back: it has release {newest}"
