"""Taking a release back: an environment's files as they were at an earlier commit, by a new commit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge

from pipegraft.appspec.environment_file import environment_path, read_environment
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import Conflict, EditRefused, UsageError
from pipegraft.core.release import ReleaseMark, Source
from pipegraft.iac.commits import commit_message, release_trailers
from pipegraft.iac.optimistic_commit import Changes, rewrite
from pipegraft.iac.ports import Commit, CommitFiles, Edited, Files, IacBranch, Renderer
from pipegraft.iac.released_images import (
    EnvironmentState,
    read_state,
    state_path,
    without_taken_back,
    write_state,
)
from pipegraft.iac.targets.check import check_renders

__all__ = ["Rollback", "RollbackRequest", "is_taken_back", "roll_back"]

_DEEPEST = 1000
"""Commits of one file that are searched."""


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """What to take back.

    Arguments:
        delivery: the delivery as declared.
        environment: name of the environment.
        to: commit whose files are wanted, at least its first seven digits; the last one before the newest
            release if None.
        dry_run: only say what would be done.
        pipeline: who does this, for the commit's trailers; its URL tells a job that is repeated.
        reason: why, for the commit's body.
        again: go further back although this pipeline took a release back already.
        renderers: ``helm`` and ``kustomize``, those that are there, to try what `targets` render to.
    """

    delivery: Delivery
    environment: str
    to: str | None = None
    dry_run: bool = False
    pipeline: str = ""
    reason: str = ""
    again: bool = False
    renderers: Mapping[str, Renderer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rollback:
    """What was done.

    Arguments:
        commit: the new commit, or the tip if there was nothing to write.
        restored: the commit whose files they are now.
        paths: files restored, byte for byte.
        taken_back: the release that is gone, if one was recorded.
        written: whether there is a new commit.
        repeated: whether this pipeline made the commit before.
    """

    commit: str
    restored: str
    paths: tuple[str, ...]
    taken_back: ReleaseMark | None
    written: bool
    repeated: bool = False


def roll_back(branch: IacBranch, request: RollbackRequest) -> Rollback:
    """Restore an environment's files byte for byte by one commit.

    The release taken back is remembered beside the app, so that its pipeline, late or repeated, does
    not bring it again; a newer one does. A job that is repeated finds what it did, and does it once.

    Raises:
        UsageError: no such environment or commit, nothing to go back to, or it cannot be rendered any more.
        Conflict: somebody changed the files while this ran.
        OutsideError: the repository did not answer.
    """
    paths = _paths(request.delivery, request.environment)
    history = _history(branch, paths)
    if (before := _done_before(request, history, paths)) is not None:
        return before
    target = _find(branch, request, history, paths)
    edit = _Edit(request, target, {path: branch.read(path, target) for path in paths})
    if all(text is None for text in edit.wanted.values()):
        raise UsageError(
            f"expected {paths[0]} at commit {target[:12]}, it is not there",
            fix=f"name another commit with --to; these changed it: {_list(history)}",
        )
    if request.to is not None:
        path = environment_path(request.delivery.iac.path, request.environment)
        _refuse_gray(edit.wanted.get(path), f"{path} at {target[:12]}")
    if request.dry_run:
        tip = branch.tip()
        changes = edit(CommitFiles(branch, tip))
        return Rollback(tip, target, edit.changed, edit.taken_back, written=changes is not None)
    done = rewrite(branch, edit)
    return Rollback(done.commit, target, edit.changed, edit.taken_back, done.written)


def is_taken_back(branch: IacBranch, delivery: Delivery, environment: str) -> bool:
    """Whether the newest commit that Pipegraft made for an environment took a release back.

    Raises:
        UsageError: there is no such environment.
        OutsideError: the repository did not answer.
    """
    request = RollbackRequest(delivery, environment)
    newest = next(iter(_ours(_history(branch, _paths(delivery, environment)), request)), None)
    return newest is not None and _step(newest) == "rollback"


@dataclass(slots=True)
class _Edit:
    """The restoration as `rewrite` makes it on every tip."""

    request: RollbackRequest
    target: str
    wanted: Mapping[str, str | None]
    changed: tuple[str, ...] = ()
    taken_back: ReleaseMark | None = None
    _seen: dict[str, str | None] = field(default_factory=dict)

    def __call__(self, read: Files) -> Changes | None:
        held = {path: read(path) for path in self.wanted}
        moved = [path for path in held if self._seen.setdefault(path, held[path]) != held[path]]
        if moved:
            raise Conflict(
                f"{moved[0]} was changed by somebody else while this ran",
                fix="look at the change, then run this again if it is still wanted",
            )
        self.changed = tuple(path for path, text in self.wanted.items() if text != held[path])
        if not self.changed:
            return None
        state_file = state_path(self.request.delivery.iac.path, self.request.environment)
        standing, *others = self._marks(held, read(state_file), state_file)
        gone = _newest(standing, *others)
        kept = _newest(*self._marks(self.wanted, self.wanted.get(state_file), state_file))
        self.taken_back = None if standing is None or _is_as_new(kept, standing) else standing
        files: dict[str, str | None] = {path: self.wanted[path] for path in self.changed}
        self._check_renders(Edited(read, files))
        remembered = self.wanted.get(state_file, read(state_file))
        if gone and not _is_as_new(kept, gone):
            state = EnvironmentState(taken_back=gone)
            files[state_file] = write_state(remembered, state, state_file)
        elif (gone := read_state(remembered, state_file).taken_back) and kept and kept.number >= gone.number:
            files[state_file] = without_taken_back(remembered or "", state_file)  # it is back
        return Changes(files, self._message())

    def _check_renders(self, files: Files) -> None:
        """Make sure that the charts and bases of now can still be rendered with the files of then."""
        try:
            check_renders(files, self.request.renderers, self.request.delivery, self.request.environment)
        except EditRefused as error:
            raise EditRefused(
                f"as it was at {self.target[:12]}, it cannot be rendered any more: {error.problem.message}",
                place=error.problem.place,
                fix="take back with it what changed around it, name another commit with --to, or say "
                "'effect: warn' in the environment",
            ) from error

    def _marks(
        self, files: Mapping[str, str | None], state_text: str | None, state_file: str
    ) -> tuple[ReleaseMark | None, ReleaseMark | None]:
        """The newest release that stands in the files, and the one that was taken back before."""
        state = read_state(state_text, state_file)
        path = environment_path(self.request.delivery.iac.path, self.request.environment)
        text = files.get(path)
        environment = read_environment(text, path) if text is not None else None
        if environment is None:
            return state.release, state.taken_back
        gray = environment.gray.release if environment.gray else None
        return _newest(environment.release, gray, state.release), state.taken_back

    def _message(self) -> str:
        delivery, environment = self.request.delivery, self.request.environment
        gone = self.taken_back
        what = f"take back release {gone.number}" if gone else "restore"
        lines = [f"{path} as it was at {self.target}" for path in self.changed]
        if self.request.reason:
            lines = [self.request.reason, *lines]
        source = Source.model_construct(
            commit=gone.source if gone else "",
            number=gone.number if gone else 0,
            pipeline=self.request.pipeline,
        )
        trailers = release_trailers(delivery.app, environment, source, "rollback")
        return commit_message(f"{delivery.app}: {what} in {environment}", lines, trailers)


def _newest(*marks: ReleaseMark | None) -> ReleaseMark | None:
    return max((mark for mark in marks if mark), key=lambda mark: mark.number, default=None)


def _is_as_new(one: ReleaseMark | None, other: ReleaseMark) -> bool:
    return one is not None and one.number >= other.number


def _paths(delivery: Delivery, environment: str) -> tuple[str, ...]:
    if environment not in delivery.environments:
        raise UsageError(
            f"there is no environment '{environment}'", fix=f"use one of: {', '.join(delivery.environments)}"
        )
    folder = delivery.iac.path
    targets = delivery.environments[environment].targets
    if not targets:
        return (environment_path(folder, environment),)
    files = dict.fromkeys(target.file for target in targets)
    named = [f"{folder.rstrip('/')}/{file}" if folder else file for file in files]
    return (*named, state_path(folder, environment))


def _refuse_gray(text: str | None, name: str) -> None:
    """A gray release of then has ended, and nobody would drive it on."""
    block = read_environment(text, name).gray if text is not None else None
    if block is not None:
        raise UsageError(
            f"in {name} release {block.release.number} was on its way, with {block.weight}% of the requests: "
            "nobody would drive it on",
            fix="name a commit before it was prepared, or after it was promoted",
        )


def _find(
    branch: IacBranch, request: RollbackRequest, history: Sequence[Commit], paths: Sequence[str]
) -> str:
    """The commit to go back to."""
    if request.to is None:
        return _before_newest_release(branch, history, request, paths)
    wanted = request.to.lower()
    known = {commit.id for commit in history if commit.id.startswith(wanted)}
    if len(wanted) >= 7 and len(known) == 1:
        return known.pop()
    if branch.contains(wanted, branch.tip()):
        return wanted
    raise UsageError(
        f"expected a commit of the branch, found '{request.to}'",
        fix=f"use one of those that changed {paths[0]}: {_list(history)}",
    )


_RESTORED = re.compile(r" as it was at ([0-9a-f]{40,64})$", re.MULTILINE)


def _done_before(
    request: RollbackRequest, history: Sequence[Commit], paths: tuple[str, ...]
) -> Rollback | None:
    """What this pipeline did already, if nothing has happened since and no other commit is asked for."""
    newest = next(iter(_ours(history, request)), None)
    if newest is None or request.to is not None or request.again or _step(newest) != "rollback":
        return None
    mine, before = _wish(request.pipeline), _wish(newest.trailers.get("Pipegraft-Pipeline", ""))
    if "://" not in mine or mine != before:
        return None
    restored = _RESTORED.search(newest.message)
    return Rollback(
        newest.id, restored[1] if restored else newest.id, paths, None, written=False, repeated=True
    )


def _wish(pipeline: str) -> str:
    """What repeats one wish: a pipeline of GitLab, a job of Jenkins, whose "Rebuild" counts the build on."""
    return re.sub(r"(/job/[^/]+/)\d+/?$", r"\1", pipeline)


def _history(branch: IacBranch, paths: Sequence[str]) -> list[Commit]:
    """The commits that changed any of the files, newest first, each file's own order kept."""
    logs = [branch.log(path, limit=_DEEPEST) for path in paths]
    return list(merge(*logs, key=lambda commit: -commit.time))


def _ours(history: Sequence[Commit], request: RollbackRequest) -> Sequence[Commit]:
    """The commits that Pipegraft made for the environment."""
    return [
        commit
        for commit in history
        if commit.trailers.get("Pipegraft-App") == request.delivery.app
        and commit.trailers.get("Pipegraft-Environment") == request.environment
    ]


def _before_newest_release(
    branch: IacBranch, history: Sequence[Commit], request: RollbackRequest, paths: Sequence[str]
) -> str:
    """The commit that the release that stands was made on: the parent of the one that began it.

    A gray release that was under way there has ended meanwhile, and nobody would drive it on; so it is the
    commit before that one, too. What was taken back or aborted already stands no more, so that each rollback
    goes one release further back.
    """
    ours = _ours(history, request)
    newest = _standing(branch, request) if ours else None
    mine = [commit for commit in ours if commit.trailers.get("Pipegraft-Release") == newest]
    began = next((commit for commit in mine if _step(commit) in ("prepare", "bump")), None)
    first = began or (mine[-1] if mine else None)
    if first is None or first.parent is None:
        raise UsageError(
            f"no commit of Pipegraft made what stands in {paths[0]}, so there is no release to take back",
            fix=f"name the commit to go back to with --to: {_list(history)}",
        )
    path = environment_path(request.delivery.iac.path, request.environment)
    earlier = [commit.parent for commit in ours[ours.index(first) + 1 :] if commit.parent]
    for commit in (first.parent, *earlier):
        if path not in paths or not _has_gray(branch.read(path, commit), path):
            return commit
    return first.parent


def _standing(branch: IacBranch, request: RollbackRequest) -> str | None:
    """Number of the release that stands at the tip: the one on its way, if there is one."""
    folder, tip = request.delivery.iac.path, branch.tip()
    path, state_file = environment_path(folder, request.environment), state_path(folder, request.environment)
    text = branch.read(path, tip)
    if request.delivery.environments[request.environment].targets or text is None:
        mark = read_state(branch.read(state_file, tip), state_file).release
    else:
        held = read_environment(text, path)
        mark = held.gray.release if held.gray else held.release
    return str(mark.number) if mark else None


def _step(commit: Commit) -> str:
    return commit.trailers.get("Pipegraft-Step", "")


def _has_gray(text: str | None, path: str) -> bool:
    return text is not None and read_environment(text, path).gray is not None


def _list(history: Sequence[Commit]) -> str:
    told = dict.fromkeys(
        f"{commit.id[:12]} {commit.subject}" for commit in history
    )  # one may change two files
    return "; ".join(list(told)[:5]) or "none"
