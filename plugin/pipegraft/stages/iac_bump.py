"""The iac-bump stage: pins the release's images in the IaC repository by one commit."""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import Field

from pipegraft.actions.attest import provenance_of
from pipegraft.actions.rewrite import Changes, Read, rewrite
from pipegraft.domain.bump.pinned import PinnedImage
from pipegraft.domain.bump.plan import BumpRequest, PlannedBump, plan_bump, refuse_conflict
from pipegraft.domain.bump.policy import refuse_provenance
from pipegraft.domain.bump.promotion import released_in
from pipegraft.domain.commit_message import commit_message, release_trailers
from pipegraft.errors import UsageError, Vetoed
from pipegraft.hookspecs import hookimpl
from pipegraft.model.appspec import ReleaseMark
from pipegraft.model.base import Duration, Name
from pipegraft.model.release import IacCommit, Release, Source
from pipegraft.ports.stage import IacBranch, Requirement, Stage, StageContext, StageInputs

__all__ = ["STAGE", "IacBumpInputs", "pipegraft_stages"]


class IacBumpInputs(StageInputs):
    """What a pipeline may set."""

    dry_run: bool = False
    """Show the change as a diff and write nothing."""
    promote_from: Name | None = Field(default=None, alias="from")
    """Carry exactly what another environment runs, instead of this pipeline's images."""
    verify: bool = True
    """Ask the registry for every digest before it is written."""
    deadline: Duration = 120.0
    """How long to go on while other pipelines keep moving the branch."""


def run(context: StageContext, inputs: IacBumpInputs) -> None:
    """Write the release into the environment's files, or find that there is nothing to write.

    Raises:
        UsageError: there are no images, or the IaC repository is not this application's.
        Conflict: somebody changed the same image by hand meanwhile.
        Vetoed: an image lacks the provenance that the environment requires.
        OutsideError: the repository or the registry did not answer.
    """
    branch = context.connections.iac()
    edit = _Edit(_request(context, inputs, branch), context.releases.load())
    if inputs.verify:
        _verify(context, edit.request)
    _ask_policy(context, edit.request)
    if inputs.dry_run:
        _show(context, edit, branch)
        return
    done = rewrite(
        branch,
        edit,
        clock=context.clock,
        rng=random.SystemRandom(),
        deadline=inputs.deadline,
        notice=lambda reason: context.report("progress", f"waiting: {reason}", edit.request.environment),
    )
    planned = edit.planned
    commit = done.commit if done.written else _holder(branch, planned.path, done.commit)
    context.update_environment(bump=IacCommit(commit=commit, path=planned.path, outcome=planned.outcome))
    context.report(
        "commit",
        edit.headline(),
        edit.request.environment,
        commit=commit,
        path=planned.path,
        outcome=planned.outcome,
        attempts=done.attempts,
    )


@dataclass(slots=True)
class _Edit:
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
            return f"unchanged: {environment} has these images already"
        if self.planned.step == "prepare":
            return f"{app}: prepare release {number} in {environment}"
        return f"{app}: release {number} in {environment}"

    def _message(self) -> str:
        lines = (
            f"{place}: {before or 'new'} → {after}" for place, (before, after) in self.planned.changes.items()
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
        return commit_message(self.headline(), lines, trailers)


def _request(context: StageContext, inputs: IacBumpInputs, branch: IacBranch) -> BumpRequest:
    environment = context.require_environment()
    release = context.releases.load()
    if inputs.promote_from:
        tip = branch.tip()
        mark, images = released_in(
            lambda path: branch.read(path, tip), context.delivery, inputs.promote_from, environment
        )
        return BumpRequest(context.delivery, environment, mark, images)
    if not release.images:
        raise UsageError(
            "expected the release record to name images, found none", fix="run image-build before iac-bump"
        )
    images = {name: PinnedImage.parse(one.reference, one.input_hash) for name, one in release.images.items()}
    mark = ReleaseMark(number=release.source.number, source=release.source.commit)
    return BumpRequest(context.delivery, environment, mark, images)


def _verify(context: StageContext, request: BumpRequest) -> None:
    registry = context.connections.registry()
    for name, image in request.images.items():
        if registry.find(context.delivery.image_repository(name), image.digest) is None:
            raise UsageError(
                f"expected the registry to hold the image of '{name}', it has no {image.reference()}",
                fix="run image-build again; nothing was written",
            )


def _ask_policy(context: StageContext, request: BumpRequest) -> None:
    """Whether the images may be released there; no input of a pipeline turns this off."""
    required = request.delivery.environments[request.environment].require
    if not required.provenance:
        return
    registry = context.connections.registry()
    for name, image in request.images.items():
        repository = context.delivery.image_repository(name)
        said = list(provenance_of(registry, repository, image.digest))
        if refusal := refuse_provenance(required, image.digest, said):
            raise Vetoed(
                f"'{request.environment}' requires provenance, and that of '{name}' does not do: {refusal}",
                fix=f"build {image.reference()} where delivery.yaml allows it, with attestations",
            )


def _holder(branch: IacBranch, path: str, tip: str) -> str:
    """The commit that made the file what it is; the gate waits for it or a descendant."""
    found = branch.log(path, limit=1)
    return found[0].id if found else tip


def _show(context: StageContext, edit: _Edit, branch: IacBranch) -> None:
    tip = branch.tip()
    edit(lambda path: branch.read(path, tip))
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


STAGE = Stage(
    name="iac-bump",
    summary="Pins the release's images in the IaC repository by one commit.",
    run=run,
    inputs=IacBumpInputs,
    scope="environment",
    after=("image-build",),
    deploys=True,
    requires=(
        Requirement("git", "reads and writes the IaC repository"),
        Requirement("PIPEGRAFT_IAC_TOKEN", "writes to the IaC repository over HTTP", secret=True),
        Requirement("PIPEGRAFT_IAC_USER", "goes with the token where the server wants a certain user"),
        Requirement("PIPEGRAFT_IAC_SSH_KEY", "file with the key that writes over SSH", secret=True),
        Requirement("PIPEGRAFT_SIGNING_KEY", "signs commits: a file with an SSH key, or a GPG key's id"),
    ),
    description="""\
Sets the digests of the release in `environments/NAME.yaml` of the IaC repository, or in the files that
`targets` names, and changes no other byte of them. With `gray:` in `delivery.yaml` the release is
prepared first: a `gray:` block of weight 0 is added, and gray-release raises its weight.

The branch moves by compare-and-swap: when another pipeline was faster, the edit is made again on the
new tip. Files that hold a newer release are left alone (`superseded`), those that hold the same images
too (`unchanged`); both succeed, and the release record names the commit that holds them. When a person
changed the same image meanwhile, the stage stops and names both values.
""",
)


@hookimpl
def pipegraft_stages() -> Iterable[Stage]:
    """The stage."""
    yield STAGE
