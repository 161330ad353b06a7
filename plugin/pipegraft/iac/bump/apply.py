"""One bump: checked before it is made, made as an edit on any tip, and recorded afterwards."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipegraft.appspec.environment_file import ConfigPath
from pipegraft.core.errors import UsageError, Vetoed
from pipegraft.core.release import IacCommit, Release, ReleaseMark, Source
from pipegraft.core.stage import StageContext
from pipegraft.iac.bump.config import read_config
from pipegraft.iac.bump.plan import BumpRequest, PlannedBump, plan_bump, refuse_conflict
from pipegraft.iac.bump.state import released_in
from pipegraft.iac.commit_message import EFFECT, commit_message, release_trailers
from pipegraft.iac.optimistic_commit import Changes, Read
from pipegraft.iac.ports.repository import RENDERERS, CommitFiles, IacBranch, NewerProposed, Renderer
from pipegraft.iac.references import PinnedImage
from pipegraft.images.ports import REGISTRY, VERIFIER
from pipegraft.images.signatures import refuse, what_is_known
from pipegraft.text.yaml.values import Value

__all__ = ["Bump", "prepare_bump", "record_bump", "record_newer", "show_bump"]


@dataclass(slots=True)
class Bump:
    """The edit as `rewrite` makes it on every tip, and what it came to on the last one."""

    request: BumpRequest
    release: Release
    planned: PlannedBump = field(default_factory=lambda: PlannedBump("unchanged", ""))
    _first: PlannedBump | None = None

    def __call__(self, read: Read) -> Changes | None:
        self.planned = plan_bump(read, self.request)
        self._first = self._first or self.planned
        refuse_conflict(self._first, self.planned)
        if self.planned.outcome != "written":
            return None
        return Changes(self.planned.files, self._message())

    def headline(self) -> str:
        """What came of it, in one line."""
        app, environment = self.request.delivery.app, self.request.environment
        number, held = self.request.mark.number, self.planned.held
        if self.planned.outcome == "superseded" and held:
            if self.planned.taken_back:
                return f"superseded: release {held.number} was rolled back, and {number} is not newer"
            return f"superseded: {self.planned.path} holds release {held.number}, newer than {number}"
        if self.planned.outcome == "unchanged":
            what = "these images" if self.request.images else "this configuration"
            return f"unchanged: {environment} has {what} already"
        if self.planned.step == "prepare":
            return f"{app}: prepare release {number} in {environment}"
        return f"{app}: release {number} in {environment}"

    def _message(self) -> str:
        lines = (
            f"{place}: {'new' if before is None else _said(before)} → {_said(after)}"
            for place, (before, after) in self.planned.changes.items()
        )
        # A promoted release may have been named by a person, so its source is not checked again.
        source = Source.model_construct(
            commit=self.request.mark.source,
            number=self.request.mark.number,
            pipeline=self.release.source.pipeline,
        )
        trailers = release_trailers(
            self.request.delivery.app, self.request.environment, source, self.planned.step
        )
        said = "; ".join(map(str, self.planned.effects))
        return commit_message(self.headline(), lines, {**trailers, EFFECT: said})


def _said(value: Value) -> str:
    """A value for people."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def prepare_bump(
    context: StageContext,
    branch: IacBranch,
    origin: str | None,
    *,
    verify: bool,
    config: Sequence[str] = (),
    images: bool = True,
) -> Bump:
    """The edit that writes a release, its images checked.

    Arguments:
        context: application and environment.
        branch: where it is to be written.
        origin: the environment to promote from; the release record's images if None.
        verify: ask the registry for every digest; what the environment requires is asked for anyway.
        config: ``PATH=VALUE`` of what is released with the images.
        images: whether any are released; else the configuration alone is.

    Raises:
        UsageError: there are no images, or the registry does not have one.
        Vetoed: an image lacks the signature or provenance that the environment requires.
        OutsideError: the repository or the registry did not answer.
    """
    wanted = read_config(config)
    if not images and not wanted:
        raise UsageError("there is nothing to release", fix="name configuration, or release images")
    edit = Bump(_request(context, branch, origin, images=images, config=wanted), context.releases.load())
    if not images:
        return edit
    if verify:
        _verify(context, edit.request)
    _ask_policy(context, edit.request)
    return edit


def record_newer(context: StageContext, edit: Bump, newer: NewerProposed) -> IacCommit:
    """Note and report that a newer release waits to be merged."""
    held = ReleaseMark.model_construct(number=newer.number, source="")  # only the number is shown
    edit.planned = replace(edit.planned, outcome="superseded", held=held, files={})
    return _record(context, edit, newer.commit, attempts=1)


def record_bump(
    context: StageContext, edit: Bump, branch: IacBranch, written: str | None, *, tip: str, attempts: int
) -> IacCommit:
    """Note in the release record which commit holds the release, and report it.

    Arguments:
        written: the commit that was made; None if there was nothing to write at `tip`.
        attempts: how often the edit was made.
    """
    return _record(context, edit, written or _holder(branch, edit.planned.path, tip), attempts=attempts)


def _record(context: StageContext, edit: Bump, commit: str, *, attempts: int) -> IacCommit:
    planned = edit.planned
    own, mark, held = edit.release.source, edit.request.mark, planned.held
    if planned.outcome == "unchanged" and held and held.number == mark.number:
        mark = held  # the same images of the same number, from wherever
    carried = None if (mark.number, mark.source) == (own.number, own.commit) else mark
    effect = tuple(map(str, planned.effects))
    done = IacCommit(
        commit=commit,
        path=planned.path,
        outcome=planned.outcome,
        carried=carried,
        images=() if planned.outcome == "superseded" else tuple(_images(edit.request)),
        effect=effect,
    )
    context.update_environment(bump=done)
    context.report(
        "commit",
        edit.headline(),
        edit.request.environment,
        commit=commit,
        path=planned.path,
        outcome=planned.outcome,
        attempts=attempts,
        effect=effect,
    )
    for one in planned.effects:
        if not one.proven:
            context.report("progress", f"the effect is {str(one).partition(': ')[2]}", one.unit)
    return done


def _images(request: BumpRequest) -> Iterator[str]:
    """What runs in the environment with the release."""
    idle = request.delivery.environments[request.environment].idle
    for name, image in request.images.items():
        if name not in idle:
            yield image.reference("both" if image.tag else "digest")


def _request(
    context: StageContext,
    branch: IacBranch,
    origin: str | None,
    *,
    images: bool,
    config: Mapping[ConfigPath, Value],
) -> BumpRequest:
    environment = context.require_environment()
    release = context.releases.load()
    own = ReleaseMark(number=release.source.number, source=release.source.commit)
    if not images:
        return BumpRequest(context.delivery, environment, own, {}, config)
    if origin:
        tip = branch.tip()
        mark, carried = released_in(CommitFiles(branch, tip), context.delivery, origin, environment)
        return BumpRequest(context.delivery, environment, mark, carried, config, _renderers(context))
    if not release.images:
        raise UsageError(
            f"expected the release record to name images of commit {own.source[:12]}, found none",
            fix="run image-build on this commit first, and carry .pipegraft/release.json to this job",
        )
    built = {name: PinnedImage.parse(one.reference, one.input_hash) for name, one in release.images.items()}
    return BumpRequest(context.delivery, environment, own, built, config, _renderers(context))


def _renderers(context: StageContext) -> Mapping[str, Renderer]:
    """What renders targets; an app spec is rendered by Pipegraft itself."""
    declared = context.delivery.environments[context.require_environment()]
    return context.open(RENDERERS) if declared.targets else {}


def _verify(context: StageContext, request: BumpRequest) -> None:
    registry = context.open(REGISTRY)
    for name, image in request.images.items():
        if registry.find(context.delivery.image_repository(name), image.digest) is None:
            raise UsageError(
                f"expected the registry to hold the image of '{name}', it has no {image.reference()}",
                fix="run image-build again; nothing was written",
            )


def _ask_policy(context: StageContext, request: BumpRequest) -> None:
    """Whether the images may be released there; no input of a pipeline turns this off."""
    required = request.delivery.environments[request.environment].require
    if not required.provenance and not required.signed_by:
        return
    registry = context.open(REGISTRY)
    verifier = context.open(VERIFIER) if required.signed_by else None
    for name, image in request.images.items():
        repository = context.delivery.image_repository(name)
        known = what_is_known(registry, repository, image.digest, required.signed_by, verifier)
        if refusal := refuse(required, image.digest, known):
            raise Vetoed(
                f"'{request.environment}' does not take the image of '{name}': {refusal}",
                fix=f"build {image.reference()} where delivery.yaml allows it, attested and signed",
            )


def _holder(branch: IacBranch, path: str, tip: str) -> str:
    """The commit that made the file what it is; the gate waits for it or a descendant."""
    found = branch.log(path, limit=1)
    return found[0].id if found else tip


def show_bump(context: StageContext, edit: Bump, branch: IacBranch) -> None:
    """Report what would be written as a diff, and write nothing."""
    tip = branch.tip()
    edit(CommitFiles(branch, tip))
    files = edit.planned.files if edit.planned.outcome == "written" else {}
    diff = "".join(_difference(path, edit.planned.before[path], text) for path, text in files.items())
    context.report(
        "diff", diff or edit.headline(), edit.request.environment, diff=diff, outcome=edit.planned.outcome
    )


def _difference(path: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
