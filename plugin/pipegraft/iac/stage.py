"""The iac-bump stage: pins the release's images in the IaC repository by one commit."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import Field

from pipegraft.appspec.environment_file import ConfigPath
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import UsageError, Vetoed
from pipegraft.core.model import Duration, Name
from pipegraft.core.plugins import hookimpl
from pipegraft.core.release import IacCommit, Release, ReleaseMark, Source
from pipegraft.core.stage import Requirement, Stage, StageContext, StageInputs
from pipegraft.iac.commits import EFFECT, commit_message, release_trailers
from pipegraft.iac.config import read_config
from pipegraft.iac.optimistic_commit import Changes, Read, rewrite
from pipegraft.iac.plan import BumpRequest, PlannedBump, plan_bump, refuse_conflict
from pipegraft.iac.ports import IAC, CommitFiles, IacBranch, NewerProposed, renderers_of
from pipegraft.iac.released_images import PinnedImage, released_in
from pipegraft.images.ports import REGISTRY, VERIFIER
from pipegraft.images.signatures import refuse, what_is_known
from pipegraft.text.yaml.values import Value

__all__ = [
    "STAGE",
    "Bump",
    "IacBumpInputs",
    "pipegraft_stages",
    "prepare_bump",
    "record_bump",
    "record_newer",
    "show_bump",
]


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
    renderers = renderers_of(context, context.delivery, environment)
    if origin:
        tip = branch.tip()
        mark, carried = released_in(CommitFiles(branch, tip), context.delivery, origin, environment)
        return BumpRequest(context.delivery, environment, mark, carried, config, renderers)
    if not release.images:
        raise UsageError(
            f"expected the release record to name images of commit {own.source[:12]}, found none",
            fix="run image-build on this commit first, and carry .pipegraft/release.json to this job",
        )
    built = {name: PinnedImage.parse(one.reference, one.input_hash) for name, one in release.images.items()}
    return BumpRequest(context.delivery, environment, own, built, config, renderers)


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


class IacBumpInputs(StageInputs):
    """What a pipeline may set."""

    dry_run: bool = False
    """Show the change as a diff and write nothing."""
    promote_from: Name | None = Field(default=None, alias="from")
    """Carry exactly what another environment runs, instead of this pipeline's images."""
    config: str = ""
    """Configuration to release too: a PATH=VALUE a line, such as components.web.env.LIMIT=5."""
    images: bool = True
    """Release images; without, `config` alone is a release on what runs there."""
    verify: bool = True
    """Ask the registry for every digest before it is written."""
    deadline: Duration = 900.0
    """How long to go on while other pipelines keep moving the branch."""


def run(context: StageContext, inputs: IacBumpInputs) -> None:
    """Write the release into the environment's files, or find that there is nothing to write.

    Raises:
        UsageError: there are no images, the configuration cannot be released, or the IaC repository is not
            this application's.
        Conflict: somebody changed the same image by hand meanwhile.
        Vetoed: an image lacks the signature or provenance that the environment requires.
        OutsideError: the repository or the registry did not answer.
    """
    branch = context.open(IAC)
    edit = prepare_bump(
        context,
        branch,
        inputs.promote_from,
        verify=inputs.verify,
        config=[line for line in inputs.config.splitlines() if line.strip()],
        images=inputs.images,
    )
    if inputs.dry_run:
        show_bump(context, edit, branch)
        return
    try:
        done = rewrite(
            branch,
            edit,
            deadline=inputs.deadline,
            notice=lambda reason: context.report("progress", f"waiting: {reason}", context.environment or ""),
        )
    except NewerProposed as newer:
        record_newer(context, edit, newer)
        return
    written = done.commit if done.written else None
    record_bump(context, edit, branch, written, tip=done.commit, attempts=done.attempts)


def _may_use_http(delivery: Delivery) -> bool:
    """Whether the IaC repository is written over HTTP, or by the forge's API, as far as its address tells."""
    ssh = re.match(r"ssh://|[\w.-]+@[\w.-]+:", delivery.iac.repository)
    return ssh is None or delivery.iac.write != "push"


def _may_use_ssh(delivery: Delivery) -> bool:
    return not delivery.iac.repository.startswith(("http://", "https://"))


STAGE = Stage(
    name="iac-bump",
    summary="Writes the release to the IaC repository by one commit.",
    run=run,
    inputs=IacBumpInputs,
    scope="environment",
    after=("image-build",),
    deploys=True,
    requires=(
        Requirement("git", "reads and writes the IaC repository"),
        Requirement(
            "PIPEGRAFT_IAC_TOKEN", "writes to the IaC repository over HTTP", secret=True, wanted=_may_use_http
        ),
        Requirement(
            "PIPEGRAFT_IAC_USER",
            "goes with the token where the server wants a certain user",
            wanted=_may_use_http,
        ),
        Requirement(
            "PIPEGRAFT_IAC_SSH_KEY",
            "file with the key that writes over SSH",
            secret=True,
            wanted=_may_use_ssh,
        ),
        Requirement(
            "PIPEGRAFT_SIGNING_KEY", "signs commits: a file with an SSH or OpenPGP key, or a GPG key's id"
        ),
        Requirement("PIPEGRAFT_SIGNING_PASSWORD", "opens an OpenPGP key of a file", secret=True),
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
