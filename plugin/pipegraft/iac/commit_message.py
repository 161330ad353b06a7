"""What a commit of the IaC repository says: a subject, lines for people, trailers for machines.

Teams whose servers have push rules write the words themselves, by a template; what machines read stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipegraft.core.errors import Place, Problem, UsageError
from pipegraft.core.foreign_text import redacted
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import Marked
from pipegraft.core.release import GateResult, Source
from pipegraft.core.stage import DeliveryCheck, Project

__all__ = [
    "EFFECT",
    "GATE",
    "commit_message",
    "gate_trailer",
    "in_words_of",
    "pipegraft_delivery_checks",
    "release_trailers",
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
