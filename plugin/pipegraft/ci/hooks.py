"""The hook that CI systems come by: what one offers, what its injector is asked, and what it answers.

Patterns of paths are those of GitLab's includes: ``*`` stays within a folder, ``**`` does not, so that
``configs/**.yml`` finds files in ``configs`` and below it, ``configs/**/*.yml`` those below it alone. Source:
https://docs.gitlab.com/ci/yaml/includes/#use-includelocal-with-wildcard-file-paths
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipegraft.core.planning import Plan
from pipegraft.core.plugins import Kind, hookspec
from pipegraft.core.release import Source
from pipegraft.core.stage import Stage

__all__ = [
    "CI_SYSTEMS",
    "CiSystem",
    "EventRow",
    "InjectOptions",
    "Injection",
    "InjectionRequest",
    "Mode",
    "Sureness",
    "TemplateSource",
    "UsageExample",
    "fixed_folder",
    "pattern_of",
    "provision",
]


Mode = Literal["include", "child"]
"""`include` adds the jobs to the pipeline; `child` adds one job that triggers a child pipeline."""

Sureness = Literal["yes", "no", "maybe"]
"""`maybe`: it depends on what only the server knows."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """What one kind of event starts, and whether delivery is part of it.

    Arguments:
        event: its name for programs.
        name: its name for people.
        pipeline: whether it starts a pipeline, or a build.
        delivery: whether delivery runs in it.
        behind: the team's jobs that must have ended well before delivery starts.
        passed: the team's jobs that stand before delivery and that it does not wait for all the same.
        beside: the team's jobs that run beside delivery.
        after: the team's jobs that wait for delivery.
        waits_for: the team's jobs that a person must start before delivery goes on.
        why: what it depends on, or why it is no; a clause.
        unread: what the configuration includes and could not be read: jobs of it are missing here.
    """

    event: str
    name: str
    pipeline: Sureness
    delivery: Sureness
    behind: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    why: str = ""
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """Where the pipeline takes the templates from.

    Arguments:
        kind: `project` (a project on the same server), `local` (a copy under ``.pipegraft/``),
            `remote` (a URL), `component` (a project of CI/CD components).
        location: project path, URL, or ``HOST/GROUP/PROJECT``; empty for `local`.
        ref: tag, branch or commit that pins the version; a Jenkins library's version.
    """

    kind: Literal["project", "local", "remote", "component"]
    location: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class InjectOptions:
    """What people may ask for; an injection remembers it for the next one.

    Arguments:
        source: where the templates come from; if None, as an injection before, else the injector's choice.
        ref: another version to pin of the source that was chosen before.
        mode: how the jobs come in; if None, as an injection before, else `include`.
        after: name of the team's stage behind which delivery starts; the injector's choice if None.
        image: container image the jobs run in; if None, as before, else the templates' own.
        tags: tags of the runners that take the jobs; if None, as before, else those of the team's jobs.
        packages: what pip installs where the image has no pipegraft; if None, as before, else nothing.
        branch: the branch that is to be delivered; if None, as before, else the default branch.
    """

    source: TemplateSource | None = None
    ref: str | None = None
    mode: Mode | None = None
    after: str | None = None
    image: str | None = None
    tags: tuple[str, ...] | None = None
    packages: str | None = None
    branch: str | None = None


@dataclass(frozen=True, slots=True)
class InjectionRequest:
    """A CI file to graft onto.

    Arguments:
        file: its path, relative to the repository.
        text: its text; a byte-order mark and the line ends are part of it.
        plan: the stages to add.
        options: what people asked for.
        default_branch: the repository's default branch, empty if unknown.
        templates: what `CiSystem.templates` made, for an injector that copies or reads them.
        read: answers the text of another file of the repository, or None.
        find: answers the paths that match a pattern with ``*`` and ``**``.
        version: the version of the templates at hand: a pin to another version moves to it.
    """

    file: str
    text: str
    plan: Plan
    options: InjectOptions = InjectOptions()
    default_branch: str = ""
    templates: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[str], str | None] = lambda _path: None
    find: Callable[[str], Sequence[str]] = lambda _pattern: ()
    version: str = ""

    def current(self, path: str) -> str:
        """The text of a file of the repository as it is, empty for one that there is not."""
        return self.text if path == self.file else self.read(path) or ""


@dataclass(frozen=True, slots=True)
class Injection:
    """An edit, ready to be written.

    Arguments:
        files: path → new text, None to delete; only files that change, so empty means nothing to do.
        jobs_unchanged: names of the team's jobs (GitLab) or stages (Jenkins), proven the same as before.
        jobs_added: names of the jobs or stages that delivery adds or, in an ejection, had added.
        stages_added: names of the pipeline stages that delivery adds (GitLab).
        notes: what a careful person should know, one sentence each.
        events: when delivery runs, and behind which of the team's jobs.
        invalid: why the CI system refuses the configuration already, one clause each with its place.
        verified: what the CI server agreed with, one sentence.
    """

    files: Mapping[str, str | None] = field(default_factory=dict)
    jobs_unchanged: tuple[str, ...] = ()
    jobs_added: tuple[str, ...] = ()
    stages_added: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    events: tuple[EventRow, ...] = ()
    invalid: tuple[str, ...] = ()
    verified: str = ""


def pattern_of(written: str) -> re.Pattern[str]:
    """What a path must match, from the repository's root on."""
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?)", written.lstrip("/"))
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts), re.DOTALL)


def fixed_folder(written: str) -> str:
    """The folder below which everything lies that can match; empty for the root."""
    head = re.split(r"[*?]", written.lstrip("/"), maxsplit=1)[0]
    return head.rpartition("/")[0]


# mypy: disable-error-code="empty-body"


@dataclass(frozen=True, slots=True)
class UsageExample:
    """How a CI system uses a stage, for the stage's page.

    Arguments:
        title: the CI system, as people write it.
        language: of the code, for highlighting.
        code: a whole example.
    """

    title: str
    language: str
    code: str


@dataclass(frozen=True, slots=True)
class CiSystem:
    """A CI system that stages can be grafted onto.

    Arguments:
        name: ``gitlab``, ``jenkins``, …
        files: names its configuration has at the root of a repository, most usual first.
        inject: pure; adds the plan's stages to a pipeline.
        eject: pure; takes them out again: file, text and a reader of other files → what to write.
        templates: pure; everything below ``ci_templates/<name>``, from the stage definitions.
        source: what the CI's variables say of the running pipeline; None outside of it.
        pinned: pure; the version of the templates that a configuration takes, ``copies`` for one that holds
            them itself, None for one without delivery: file, text and a reader of other files → version.
        example: how to use a stage without an injection.
        components: pure; a project of the CI system's own reusable parts, from the stage definitions.
        verify: asks the CI server about an injection that is not written yet: what was asked for, what came
            of it, the project's URL and the process's variables → the same, with what the server knows of it.
    """

    name: str
    files: tuple[str, ...]
    inject: Callable[[InjectionRequest], Injection]
    eject: Callable[[str, str, Callable[[str], str | None]], Injection]
    templates: Callable[[Sequence[Stage]], Mapping[str, str]]
    source: Callable[[Mapping[str, str]], Source | None]
    pinned: Callable[[str, str, Callable[[str], str | None]], str | None] = lambda _file, _text, _read: None
    example: Callable[[Stage], UsageExample] | None = None
    components: Callable[[Sequence[Stage]], Mapping[str, str]] | None = None
    verify: Callable[[InjectionRequest, Injection, str, Mapping[str, str]], Injection] | None = None


CI_SYSTEMS = Kind("pipegraft_ci_systems", CiSystem, "CI system")


@hookspec
def pipegraft_ci_systems() -> Iterable[CiSystem]:
    """CI systems that stages can be grafted onto. Called once, by inject, eject and templates.

    Example::

        @hookimpl
        def pipegraft_ci_systems():
            yield CiSystem(name="gitlab", files=(".gitlab-ci.yml",), inject=…, eject=…, templates=…, source=…)

    Returns:
        CI systems, each with a name no other plugin uses.
    """


_LINES = """\
if ! command -v pipegraft >/dev/null; then
  case " $PIPEGRAFT_PACKAGES" in
    " ")
      echo "pipegraft is not installed here: name an image that has it, or what pip installs ({option})" >&2
      exit 2 ;;
    *://* | *" -"* | *" /"* | *" ./"*) ;;
    *)
      if [ -z "$PIP_INDEX_URL" ]; then
        echo "'$PIPEGRAFT_PACKAGES' names no index, wheel or list of requirements to come from ({option})" >&2
        exit 2
      fi ;;
  esac
  PIPEGRAFT_INSTALLED="$(mktemp -d)"
  trap 'rm -rf "$PIPEGRAFT_INSTALLED"' EXIT
  python3 -I -m pip install -q --target "$PIPEGRAFT_INSTALLED" $PIPEGRAFT_PACKAGES || exit 3
  export PYTHONPATH="$PIPEGRAFT_INSTALLED" PATH="$PIPEGRAFT_INSTALLED/bin:$PATH"
fi
case "$(pipegraft --version)" in
  *" {series}."*) ;;
  *) echo "made for pipegraft {series}, found: $(pipegraft --version)" >&2; exit 2 ;;
esac
"""


def provision(version: str, option: str) -> str:
    """The lines of shell that every job begins with: they find or install the program, and check its series.

    Nothing is installed unless the team said what and from where: the name on a public index is anybody's.
    Python runs isolated (``-I``), since a repository's own ``pip.py`` would run with the job's tokens, and
    installs into a new folder, which an externally managed Python (PEP 668) allows.

    Arguments:
        version: the templates' version, such as ``0.2.1``; any release of ``0.2`` fits.
        option: what to set where the program is not there, for the message.

    Returns:
        Lines for a POSIX shell; they read ``PIPEGRAFT_PACKAGES``.
    """
    series = ".".join(version.split(".")[:2])
    return _LINES.format(series=series, option=option)
