"""What every commit of the IaC repository says, and that what it holds can be rendered.

It says a subject, lines for people, trailers for machines. Teams whose servers have push rules write the
words themselves, by a template; what machines read stays.

Whoever writes (a bump, a step of a gray release, a rollback, a fleet) writes `environments/NAME.yaml` alone.
What is rendered follows from the app spec at that commit and nothing else, so a restored file has the
manifests it had before, byte for byte but for KubeVela's `publishVersion`; so have Applications of others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipegraft.appspec.environment_file import app_path, environment_path, read_environment
from pipegraft.appspec.rendering.oam import PUBLISH_VERSION
from pipegraft.appspec.rendering.yaml_output import environment_of, rendered_path, with_own_version
from pipegraft.appspec.resource_binding import UNBOUND
from pipegraft.appspec.spec import resolve
from pipegraft.core.errors import EditRefused, Place, Problem, UsageError
from pipegraft.core.foreign_text import redacted
from pipegraft.core.hooks import Closable
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import Marked
from pipegraft.core.release import GateResult, Source
from pipegraft.core.stage import DeliveryCheck, Project
from pipegraft.iac.optimistic_commit import Change, Changes
from pipegraft.iac.ports import Commit, CommitFiles, Edited, Files, IacBranch
from pipegraft.text.yaml import Path, Set, apply, read_documents, value_at

__all__ = [
    "EFFECT",
    "GATE",
    "Render",
    "RenderedApp",
    "RenderedBranch",
    "commit_message",
    "gate_trailer",
    "in_words_of",
    "pipegraft_delivery_checks",
    "release_trailers",
    "rendered_by_engines",
]


GATE = "Pipegraft-Gate"
"""Trailer of the first commit after the gate, so that git alone tells what the gate said."""


EFFECT = "Pipegraft-Effect"
"""Trailer of a commit that writes images: what is known of what its files render to, and by what."""

VARIABLE = "PIPEGRAFT_COMMIT_MESSAGE"
"""A template for whoever has no `delivery.yaml`, or one that says nothing of messages."""


def commit_message(subject: str, lines: Iterable[str], trailers: Mapping[str, str]) -> str:
    """Put a message together (git-interpret-trailers(1) on the last paragraph).

    Arguments:
        subject: one line.
        lines: the body; none leaves it out.
        trailers: key → value; empty values are left out.
    """
    body = "\n".join(_one_line(line) for line in lines)
    ending = "\n".join(f"{key}: {_one_line(value)}" for key, value in trailers.items() if value)
    return "\n\n".join(part for part in (_one_line(subject), body, ending) if part) + "\n"


def release_trailers(app: str, environment: str, source: Source, step: str) -> dict[str, str]:
    """The trailers of every commit Pipegraft makes for a release.

    Arguments:
        app: name of the application.
        environment: name of the environment.
        source: where the release comes from.
        step: what this commit does in the release: ``bump``, ``prepare``, ``weight 25``, ``promote``,
            ``rollback``.
    """
    return {
        "Pipegraft-App": app,
        "Pipegraft-Environment": environment,
        "Pipegraft-Release": str(source.number),
        "Pipegraft-Source-Commit": source.commit,
        "Pipegraft-Pipeline": source.pipeline,
        "Pipegraft-Step": step,
    }


def gate_trailer(gate: GateResult | None) -> str:
    """Verdict, revision it is about, and seconds it took: ``succeeded 4f0c… 12s``; empty without a gate."""
    return f"{gate.verdict} {gate.revision} {gate.seconds:g}s" if gate else ""


def _one_line(text: str) -> str:
    return " ".join(redacted(text).split())


_TRAILER = re.compile(r"(?P<key>[A-Za-z0-9][A-Za-z0-9-]*): (?P<value>.*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_FAILURES = (
    jinja2.TemplateError,
    *(ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError),
)
"""What a template can come to."""
_IDENTITY = re.compile(r"[^<>\x00-\x1f\s]([^<>\x00-\x1f]*[^<>\x00-\x1f\s])? <[^<>\s\x00-\x1f]+>")
_NAMES = ("app", "environment", "release", "source_commit", "pipeline", "step")
_HOW = "correct the template of the commit's message; nothing was written"


def in_words_of(
    declared: str | None, variables: Mapping[str, str], place: Place | None = None
) -> Callable[[str], str]:
    """What turns a message of ours into one that a template words; trailers and body stay.

    Arguments:
        declared: the template of the delivery; that of ``PIPEGRAFT_COMMIT_MESSAGE`` if None.
        variables: of the process, for the template; secrets among them are hidden.
        place: of the declared template, for messages.

    Returns:
        It raises `UsageError` where the template cannot be filled in, gives no subject, or trailers that are
        Pipegraft's.

    Raises:
        UsageError: it is no template.
    """
    template = declared or variables.get(VARIABLE)
    if not template:
        return lambda message: message
    place = place if declared else Place(VARIABLE)
    for message in _faults(template):
        raise UsageError(message, place=place, fix=_HOW)
    made = _environment().from_string(template)

    def worded(message: str) -> str:
        subject, body, trailers = _parts(message)
        values = {name: trailers.get(f"pipegraft-{name.replace('_', '-')}", "") for name in _NAMES}
        try:
            said = made.render(**values, subject=subject, variables=variables)
        except _FAILURES as error:
            raise UsageError(
                f"the commit's message cannot be filled in: {error}", place=place, fix=_HOW
            ) from None
        return _joined(redacted(_CONTROL.sub("", said.replace("\r\n", "\n"))), body, message, place)

    return worded


def _environment() -> jinja2.Environment:
    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)


def _parts(message: str) -> tuple[str, list[str], Mapping[str, str]]:
    """Subject, paragraphs of the body, and trailers by their keys in small letters."""
    subject, *body = message.strip().split("\n\n")
    ending = _trailers(body[-1]) if body else []
    return subject, body[:-1] if ending else body, {key.lower(): value for key, value in ending}


def _trailers(paragraph: str) -> list[tuple[str, str]]:
    """The trailers of a paragraph of nothing else; none if it is no such one."""
    found = [_TRAILER.fullmatch(line) for line in paragraph.splitlines()]
    return [(one["key"], one["value"]) for one in found if one] if all(found) else []


def _joined(said: str, body: list[str], message: str, place: Place | None) -> str:
    subject, _, rest = said.strip().partition("\n")
    if not subject.strip():
        raise UsageError("the commit's message would have no subject", place=place, fix=_HOW)
    if strange := re.search(r"^pipegraft-[a-z0-9-]+[ \t]*:", said, re.IGNORECASE | re.MULTILINE):
        raise UsageError(
            f"the commit's message would say '{strange[0]}', a trailer that is Pipegraft's own",
            place=place,
            fix=_HOW,
        )
    further = [one.strip("\n") for one in re.split(r"\n[ \t]*\n", rest.strip()) if one.strip()]
    ours = message.strip().split("\n\n")[1 + len(body) :]
    if further and _trailers(further[-1]):
        ours = ["\n".join((further.pop(), *ours))]
    return "\n\n".join((subject.strip(), *body, *further, *ours)) + "\n"


def _problems(project: Project, marked: Marked) -> Iterator[Problem]:
    words = project.delivery.iac.commit
    if words.committer and project.delivery.iac.write != "push":
        yield Problem(
            "GitLab's API commits as the user of the token",
            marked.place(("iac", "commit", "committer")),
            "remove 'committer'",
        )
    for role, said in (("author", words.author), ("committer", words.committer)):
        if said is not None and not _IDENTITY.fullmatch(said):
            place = marked.place(("iac", "commit", role))
            yield Problem(
                f"'iac.commit.{role}': expected 'Name <mail>', as git writes it, found {said!r}", place
            )
    place = marked.place(("iac", "commit", "message"))
    yield from (Problem(f"'iac.commit.message': {said}", place) for said in _faults(words.message or ""))


def _faults(template: str) -> Iterator[str]:
    """What is wrong with a template by itself."""
    environment = _environment()
    try:
        environment.from_string(template)
        used = meta.find_undeclared_variables(environment.parse(template))
    except jinja2.TemplateSyntaxError as error:
        yield f"line {error.lineno} of the template: {error.message}"
        return
    except RecursionError:
        yield "the template is nested too deeply"
        return
    known = ("subject", *_NAMES, "variables")
    for name in sorted(used - {*known}):
        yield f"the template names '{name}', which is none of: {', '.join(known)}"


@hookimpl
def pipegraft_delivery_checks() -> Iterable[DeliveryCheck]:
    yield DeliveryCheck("commit-words", _problems)


Render = Callable[[str, str, str], str]
"""Text of ``app.yaml``, text of an environment's file, name of the environment → its manifests."""


@dataclass(frozen=True, slots=True)
class RenderedApp:
    """How the environments of an application are rendered.

    Arguments:
        render: does it; raises where it cannot be done.
        kept: whether the manifests are committed too.
    """

    render: Render
    kept: bool


def rendered_by_engines(folder: str) -> RenderedApp:
    """An application whose environments engines render; who provides its resources is known there.

    Arguments:
        folder: of the app, empty for the root.
    """

    def resolved(app: str, text: str, name: str) -> str:
        file = environment_path(folder, name)
        resolve(app, text, name, app_file=app_path(folder), environment_file=file, platform=UNBOUND)
        return ""

    return RenderedApp(resolved, kept=False)


class RenderedBranch:
    """`IacBranch` that refuses what cannot be rendered, and adds manifests to what is written.

    Arguments:
        branch: the branch itself.
        apps: folder of an app, empty for the root → how its environments are rendered.
        word: turns what a commit would say into what it says.
    """

    def __init__(
        self,
        branch: IacBranch,
        apps: Mapping[str, RenderedApp],
        word: Callable[[str], str] = lambda message: message,
    ) -> None:
        self.branch = branch
        self._apps = apps
        self._word = word

    def turn(self) -> AbstractContextManager[None]:
        return self.branch.turn()

    def tip(self) -> str:
        return self.branch.tip()

    def read(self, path: str, at: str) -> str | None:
        return self.branch.read(path, at)

    def files_below(self, folder: str, at: str) -> Mapping[str, bytes]:
        return self.branch.files_below(folder, at)

    def files_holding(self, words: Sequence[str], at: str) -> Mapping[str, bytes] | None:
        return self.branch.files_holding(words, at)

    def contains(self, revision: str, at: str) -> bool:
        return self.branch.contains(revision, at)

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        return self.branch.log(path, limit=limit)

    def complete(self, change: Change) -> Change:
        """An edit with its manifests: one that cannot be rendered is refused by itself."""

        def whole(read: Files) -> Changes | None:
            made = change(read)
            return made and Changes(self._with_manifests(made.files, read), made.message)

        return whole

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        """As the branch does, with the manifests of the environments that change.

        Raises:
            ConfigError: an environment cannot be rendered; nothing was written.
            UsageError: what the commit is to say cannot be made; nothing was written.
        """
        whole = self._with_manifests(changes, CommitFiles(self.branch, parent))
        return self.branch.commit(whole, self._word(message), parent)

    def commit_all(self, commits: Sequence[tuple[Mapping[str, str | None], str]], parent: str) -> list[str]:
        """As the branch does, with the manifests of the environments that change in each."""
        held: dict[str, str | None] = {}
        read = Edited(CommitFiles(self.branch, parent), held)
        whole = []
        for changes, message in commits:
            added = self._with_manifests(changes, read)
            held |= added
            whole.append((added, self._word(message)))
        return self.branch.commit_all(whole, parent)

    def close(self) -> None:
        """Close the branch, if it holds something open."""
        if isinstance(self.branch, Closable):
            self.branch.close()

    def _with_manifests(self, changes: Mapping[str, str | None], read: Files) -> dict[str, str | None]:
        whole = dict(changes)
        for path, text in changes.items():
            place = environment_of(path)
            if place is None or place[0] not in self._apps:
                whole[path] = text and _with_own_versions(text, read(path), path)
                continue
            folder, name = place
            app, rendered = self._apps[folder], rendered_path(folder, name)
            if rendered in changes:
                continue
            if text is not None and read_environment(text, path).release:
                made = app.render(_text(changes, app_path(folder), read), text, name)
                if app.kept:
                    whole[rendered] = with_own_version(made, read(rendered))
            elif app.kept and read(rendered) is not None:  # nothing is released there: nothing is to run
                whole[rendered] = None
        return whole


_PUBLISHED: Path = ("metadata", "annotations", PUBLISH_VERSION)


def _with_own_versions(text: str, before: str | None, file: str) -> str:
    """A file whose Applications of KubeVela have a `publishVersion` that none had before, where they change.

    KubeVela applies a version once: with an old one it would go on with what runs.
    """
    if not before or PUBLISH_VERSION not in text or text == before:
        return text
    try:
        old, new = read_documents(before, file), read_documents(text, file)
    except EditRefused:  # a template
        return text
    for number, document in enumerate(new):
        version = value_at(document, _PUBLISHED)
        held = next((one for one in old if _is_same(one, document)), None)
        if isinstance(version, str) and held is not None and held != document:
            said = f"{version} after {value_at(held, _PUBLISHED)}: {document}"
            own = hashlib.sha256(said.encode()).hexdigest()[:40]
            text = apply(text, [Set(_PUBLISHED, own)], document=number, file=file)
    return text


def _is_same(one: Any, other: Any) -> bool:
    """Whether two documents are one object."""
    places = (("kind",), ("metadata", "name"), ("metadata", "namespace"))
    return all(value_at(one, place) == value_at(other, place) for place in places)


def _text(changes: Mapping[str, str | None], path: str, read: Files) -> str:
    text = changes[path] if path in changes else read(path)
    if text is None:
        raise UsageError(f"expected {path} in the IaC repository, found nothing", fix="commit it")
    return text
