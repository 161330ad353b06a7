"""The iac-bump stage: pins the release's images in the IaC repository by one commit."""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipegraft.actions.rewrite import Changes, Read, rewrite
from pipegraft.domain.commit_message import commit_message, release_trailers
from pipegraft.domain.environment_file import Bump, app_path, bump, check_app, environment_path
from pipegraft.errors import Conflict, UsageError
from pipegraft.hookspecs import hookimpl
from pipegraft.model.appspec import ReleaseMark
from pipegraft.model.base import Duration
from pipegraft.model.delivery import Delivery
from pipegraft.model.release import IacCommit, Release
from pipegraft.ports.stage import IacBranch, Requirement, Stage, StageContext, StageInputs

__all__ = ["STAGE", "IacBumpInputs", "pipegraft_stages"]


class IacBumpInputs(StageInputs):
    """What a pipeline may set."""

    dry_run: bool = False
    """Show the change as a diff and write nothing."""
    verify: bool = True
    """Ask the registry for every digest before it is written."""
    deadline: Duration = 120.0
    """How long to go on while other pipelines keep moving the branch."""


def run(context: StageContext, inputs: IacBumpInputs) -> None:
    """Write the release into the environment's file, or find that there is nothing to write.

    Raises:
        UsageError: the record names no images, or the IaC repository is not this application's.
        Conflict: somebody changed the same image by hand meanwhile.
        OutsideError: the repository or the registry did not answer.
    """
    environment = context.require_environment()
    release = context.releases.load()
    if not release.images:
        raise UsageError(
            "expected the release record to name images, found none", fix="run image-build before iac-bump"
        )
    if inputs.verify:
        _verify(context, release)
    edit = _Edit(context.delivery, environment, release)
    branch = context.connections.iac()
    if inputs.dry_run:
        _show(context, edit, branch)
        return
    done = rewrite(branch, edit, clock=context.clock, rng=random.SystemRandom(), deadline=inputs.deadline)
    commit = done.commit if done.written else _holder(branch, edit.path, done.commit)
    outcome = edit.result.outcome
    context.update_environment(bump=IacCommit(commit=commit, path=edit.path, outcome=outcome))
    context.report(
        "commit",
        edit.headline(),
        environment,
        commit=commit,
        path=edit.path,
        outcome=outcome,
        attempts=done.attempts,
    )


@dataclass(slots=True)
class _Edit:
    """The edit as `rewrite` makes it on every tip, and what it found on the last one."""

    delivery: Delivery
    environment: str
    release: Release
    result: Bump = field(default_factory=lambda: Bump("unchanged"))
    before: str = ""
    _first: Bump | None = None

    @property
    def path(self) -> str:
        """The environment's file."""
        return environment_path(self.delivery.iac.path, self.environment)

    def __call__(self, read: Read) -> Changes | None:
        app_file = app_path(self.delivery.iac.path)
        check_app(read(app_file), self.delivery.app, app_file)
        text = read(self.path)
        source = self.release.source
        self.result = bump(
            text,
            {name: image.reference for name, image in self.release.images.items()},
            ReleaseMark(number=source.number, source=source.commit),
            gray=self.delivery.environments[self.environment].gray is not None,
            file=self.path,
        )
        self.before = text or ""
        self._refuse_conflict()
        if self.result.outcome != "written":
            return None
        return Changes({self.path: self.result.text}, self._message())

    def headline(self) -> str:
        """What came of it, in one line."""
        number, held = self.release.source.number, self.result.held
        if self.result.outcome == "superseded" and held:
            return f"superseded: {self.path} holds release {held.number}, newer than {number}"
        if self.result.outcome == "unchanged":
            return f"unchanged: {self.path} holds these images already"
        if self.result.step == "prepare":
            return f"{self.delivery.app}: prepare release {number} in {self.environment}"
        return f"{self.delivery.app}: release {number} in {self.environment}"

    def _message(self) -> str:
        lines = (
            f"{name}: {_short(before)} → {_short(self.release.images[name].reference)}"
            for name, before in self.result.images.items()
        )
        trailers = release_trailers(
            self.delivery.app, self.environment, self.release.source, self.result.step
        )
        return commit_message(self.headline(), lines, trailers)

    def _refuse_conflict(self) -> None:
        """On a later attempt: an image that changed while its release did not was changed by a person."""
        first, now = self._first, self.result
        self._first = first or now
        if first is None or now.outcome != "written" or first.held != now.held:
            return
        for name, found in now.images.items():
            wanted = self.release.images[name].reference
            seen = first.images.get(name, wanted)
            if found != seen:
                raise Conflict(
                    f"{self.path}: somebody changed the image of '{name}' meanwhile: "
                    f"it was {_short(seen)}, is {_short(found)}, and this release wants {_short(wanted)}",
                    fix="agree on the image with whoever changed it, then run this again",
                )


def _verify(context: StageContext, release: Release) -> None:
    registry = context.connections.registry()
    for name, image in release.images.items():
        if registry.find(context.delivery.image_repository(name), image.digest) is None:
            raise UsageError(
                f"expected the registry to hold the image of '{name}', it has no {image.reference}",
                fix="run image-build again; nothing was written",
            )


def _holder(branch: IacBranch, path: str, tip: str) -> str:
    """The commit that made the file what it is; the gate waits for it or a descendant."""
    found = branch.log(path, limit=1)
    return found[0].id if found else tip


def _show(context: StageContext, edit: _Edit, branch: IacBranch) -> None:
    tip = branch.tip()
    edit(lambda path: branch.read(path, tip))
    lines = difflib.unified_diff(
        edit.before.splitlines(keepends=True),
        edit.result.text.splitlines(keepends=True),
        f"a/{edit.path}",
        f"b/{edit.path}",
    )
    diff = "".join(lines)
    context.report("diff", diff or edit.headline(), edit.path, diff=diff, outcome=edit.result.outcome)


def _short(reference: str | None) -> str:
    """A reference with as much of its digest as people compare."""
    if reference is None:
        return "nothing"
    name, at, digest = reference.rpartition("@")
    return f"{name}@{digest[:19]}" if at else reference


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
    ),
    description="""\
Sets the digests of the release in `environments/NAME.yaml` of the IaC repository and changes no other
byte of it. With `gray:` in `delivery.yaml` the release is prepared first: a `gray:` block of weight 0
is added, and gray-release raises its weight.

The branch moves by compare-and-swap: when another pipeline was faster, the edit is made again on the
new tip. A file that holds a newer release is left alone (`superseded`), one that holds the same images
too (`unchanged`); both succeed, and the release record names the commit that holds them. When a person
changed the same image meanwhile, the stage stops and names both values.
""",
)


@hookimpl
def pipegraft_stages() -> Iterable[Stage]:
    """The stage."""
    yield STAGE
