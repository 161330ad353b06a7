"""Writes the first files for a repository that Pipegraft has not seen before."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipegraft.appspec.hooks import describe_types
from pipegraft.appspec.importing.first_files import Answers, Written, gate_options, write_files
from pipegraft.appspec.importing.survey import Survey, Tree, survey
from pipegraft.appspec.importing.taking import name_from
from pipegraft.core.adapters.files import hide_run_files
from pipegraft.core.adapters.vcs_info import create_repository, origin_url, source_files
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import DELIVERY_FILE, parse_document, validate
from pipegraft.core.errors import ConfigError, Place, UsageError
from pipegraft.core.model import Name
from pipegraft.core.plugins import Plugins
from pipegraft.core.reading import load_marked
from pipegraft.gate.hooks import GITOPS_ENGINES

__all__ = ["Asked", "Initialised", "Question", "initialise"]

_NAME = TypeAdapter(Name)
_LARGEST = 1 << 20
_MOST_SEEN = 8
"""Sentences that tell why nothing was found."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a repository does not tell.

    Arguments:
        option: of the command, which answers it: ``--registry``.
        default: what is taken without an answer.
    """

    option: str
    text: str
    default: str


Asked = Callable[[Sequence[Question]], Mapping[str, str]]
"""Questions → option → answer. Raises UsageError where there is nobody to ask."""


@dataclass(frozen=True, slots=True)
class Initialised:
    """What was written.

    Arguments:
        files: all of them.
        iac: folder of the IaC repository.
        left: what is not carried over, one sentence each.
        unprovided: resources without which nothing is rendered yet, one sentence each.
    """

    survey: Survey
    answers: Answers
    files: tuple[Path, ...]
    iac: Path
    left: tuple[str, ...]
    unprovided: tuple[str, ...]


def initialise(
    root: Path, given: Mapping[str, str], gate: Mapping[str, str], plugins: Plugins, ask: Asked
) -> Initialised:
    """Look at a repository, ask what it does not tell, and write.

    Arguments:
        root: the source repository's folder.
        given: option → answer that is known already.
        gate: keys of every `gate:` beside `engine`; usual ones if empty.
        ask: asks people.

    Raises:
        UsageError: something is in the way, or an answer makes no sense; nothing was written.
    """
    _refuse(root / DELIVERY_FILE)
    tree = _tree(root)
    questions = [one for one in _questions(root, given, plugins) if one.option not in given]
    answers = {**ask(questions), **given}
    app = answers["--app"]
    names = [name.strip() for name in answers["--env"].split(",") if name.strip()]
    for option, name in [("--app", app), *(("--env", name) for name in names)]:
        try:
            _NAME.validate_python(name)
        except ValidationError:
            raise UsageError(
                f"{option}: expected lower-case letters, digits and hyphens, a letter first, found '{name}'",
                fix=f"pass {option} {name_from(name)}",
            ) from None
    iac = root / answers["--iac"]
    _refuse(iac)
    found = survey(tree, app)
    if not found.components:
        raise UsageError(
            f"expected a Dockerfile, sources of a known language or a service that a Compose file builds in "
            f"{root.resolve()}, found none{_seen(found)}",
            fix="name the folder of the sources with --directory, or write delivery.yaml by hand; "
            "`pipegraft import compose FILE` makes an app spec of images that others build",
        )
    chosen = Answers(
        app,
        answers["--registry"],
        answers.get("--iac-url") or os.path.relpath(iac, root),
        "main",
        tuple(names),
        answers["--engine"],
        gate or gate_options(answers["--engine"]),
    )
    written = write_files(found, chosen)
    _check(written, root, chosen, plugins)
    files = _write(root, iac, written, chosen)
    return Initialised(
        found, chosen, files, iac, written.left, tuple(_unprovided(found, chosen.engine, plugins))
    )


def _unprovided(found: Survey, engine: str, plugins: Plugins) -> Iterator[str]:
    """Resources that this machine does not run itself: nothing is rendered until somebody provides them."""
    types = describe_types(plugins)
    for one in found.resources:
        providers = types[one.type]["providers"] if one.type in types else {}
        if engine != "embedded" or "oam" not in providers.get("local", {}).get("targets", ()):
            others = " or ".join(key for key in providers if key != "local") or "a plugin's"
            yield (
                f"resource {one.name} ({one.type}): name who provides it under `providers` in "
                f"environments/*.yaml: {others}"
            )


def _seen(found: Survey) -> str:
    """What was seen instead, images that nobody builds here first."""
    seen = sorted(found.left, key=lambda sentence: ": runs " not in sentence)
    return "".join(f"; {sentence}" for sentence in seen[:_MOST_SEEN])


def _refuse(path: Path) -> None:
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        raise UsageError(
            "it exists, and nothing is written over",
            place=Place(str(path)),
            fix="move it away, or name another",
        )


def _tree(root: Path) -> Tree:
    def read(name: str) -> str | None:
        path = root / name
        try:
            return path.read_text("utf-8") if path.stat().st_size <= _LARGEST else None
        except (OSError, UnicodeDecodeError):
            return None

    return Tree(source_files(root), read)


def _questions(root: Path, given: Mapping[str, str], plugins: Plugins) -> list[Question]:
    origin = origin_url(root)
    called = origin.removesuffix("/").removesuffix(".git").rpartition("/")[2] or root.resolve().name
    app = given.get("--app") or name_from(called)
    engines = ", ".join(plugins.all(GITOPS_ENGINES))
    return [
        Question("--app", "Name of the application", app),
        Question("--registry", "Registry for its images", _registry(origin)),
        Question("--iac", "Folder for the IaC repository", f"../{app}-iac"),
        Question("--env", "Environments, in the order they are delivered to", "production"),
        Question("--engine", f"GitOps engine ({engines})", "embedded"),
    ]


def _registry(origin: str) -> str:
    """GitLab's own registry of the project, where that is known; else a folder."""
    found = re.search(r"gitlab\.com[:/](?P<path>.+?)(?:\.git)?/?$", origin)
    return f"registry.gitlab.com/{found['path'].lower()}" if found else "oci:.pipegraft/registry"


def _check(written: Written, root: Path, answers: Answers, plugins: Plugins) -> None:
    """What would be written must be good, or nothing is."""
    delivery = parse_document(written.delivery, DELIVERY_FILE, Delivery)
    marked = load_marked(written.delivery, DELIVERY_FILE)
    engine = plugins.get(GITOPS_ENGINES, answers.engine)
    for name, environment in delivery.environments.items():
        try:
            validate(marked, dict(environment.gate.options), engine.options, ("environments", name, "gate"))
        except ConfigError as error:
            raise UsageError(
                f"the engine '{answers.engine}' wants other keys: {error.problems[0].message}",
                fix="pass them with --gate KEY=VALUE, repeatable; {app} and {env} are put in",
            ) from None
    missing = [
        f"'{one.path}' of '{name}'"
        for name, one in delivery.components.items()
        if not (root / one.path).is_dir()
    ]
    if missing:
        raise UsageError(
            f"expected folders that the Compose file builds from, found none: {', '.join(missing)}",
            fix="install the dependencies where they bring it, correct `build`, or take that service out",
        )


def _write(root: Path, iac: Path, written: Written, answers: Answers) -> tuple[Path, ...]:
    """The IaC repository, then `delivery.yaml`, which a second attempt looks for."""
    create_repository(iac, written.iac, answers.branch, f"{answers.app}: app spec and environments")
    delivery = root / DELIVERY_FILE
    with delivery.open("x", encoding="utf-8") as stream:
        stream.write(written.delivery)
    hide_run_files(root / ".pipegraft")
    return (delivery, *(iac / name for name in written.iac))
