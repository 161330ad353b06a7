"""Applications of the engine: the file that lists them, where each is declared, and what of it is live."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, Field

from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.spec import Resolved, resolve
from pipegraft.appspec.traffic_ports import Choice
from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import UsageError
from pipegraft.core.model import Model, Name
from pipegraft.engine.workloads import Plan, RouteSpec
from pipegraft.iac.ports import IacRepository

__all__ = [
    "Application",
    "Desired",
    "EngineApplication",
    "EngineFile",
    "Operator",
    "Place",
    "Reader",
    "Refused",
    "Source",
    "States",
    "Turn",
    "source_name",
]


class EngineApplication(Model):
    """Environments of one app in one repository."""

    repository: str = Field(min_length=1)
    """URL or path of the IaC repository; a relative path counts from the file's folder."""
    branch: str = Field(default="main", min_length=1)
    """Its branch."""
    path: str = ""
    """The app's folder in a repository shared by several; its root if absent."""
    environments: tuple[Name, ...] = Field(min_length=1)
    """Names of the environments to apply."""


def _some(applications: tuple[EngineApplication, ...]) -> tuple[EngineApplication, ...]:
    if not applications:
        raise ValueError("expected one application or more, found none")
    return applications


class EngineFile(Model):
    """The whole file."""

    applications: Annotated[tuple[EngineApplication, ...], AfterValidator(_some)]


@dataclass(frozen=True, slots=True)
class Place:
    """One environment of one application.

    Arguments:
        source: `source_name` of the repository and its branch.
        folder: the app's folder in a repository shared by several, empty for the root.
    """

    source: str
    folder: str
    environment: str

    @property
    def key(self) -> str:
        """Tells it from every other place, in names of files."""
        digest = hashlib.sha256(f"{self.source}\n{self.folder}".encode()).hexdigest()
        return f"{self.environment}-{digest[:12]}"

    def __str__(self) -> str:
        folder = f"{self.folder}/" if self.folder else ""
        return f"{folder}environments/{self.environment}.yaml of {self.source}"


@dataclass(frozen=True, slots=True)
class Source:
    """One branch of one repository, with everything in it that the engine applies.

    Arguments:
        url: of the repository, or its path.
    """

    url: str
    branch: str
    repository: IacRepository
    places: tuple[Place, ...]

    @property
    def name(self) -> str:
        """What people call it."""
        return source_name(self.url, self.branch)


def source_name(url: str, branch: str) -> str:
    """Repository and branch, without the credentials that a URL may hold."""
    return f"{re.sub(r'(?<=://)[^/@]*@', '', url)} ({branch})"


class Reader(Protocol):
    """What an app spec means where it is brought about."""

    platform: Platform
    """What resources are provided by."""

    def understand(self, resolved: Resolved) -> Plan:
        """What a spec means here.

        Raises:
            UsageError: it declares something that cannot run here, by name.
        """


@dataclass(frozen=True, slots=True)
class Desired:
    """A spec that was read without a problem.

    Arguments:
        revision: commit it was read at.
        texts: ``app.yaml`` and the environment's file, as they were read.
    """

    revision: str
    texts: tuple[str, str]
    resolved: Resolved
    plan: Plan

    @classmethod
    def read(cls, revision: str, texts: tuple[str, str], place: Place, reader: Reader) -> Desired:
        """Understand what the files of a commit declare.

        Raises:
            UsageError: they have mistakes, or declare something that cannot run here.
        """
        folder = f"{place.folder}/" if place.folder else ""
        resolved = resolve(
            *texts,
            place.environment,
            app_file=f"{folder}app.yaml",
            environment_file=f"{folder}environments/{place.environment}.yaml",
            platform=reader.platform,
        )
        return cls(revision, texts, resolved, reader.understand(resolved))

    @property
    def name(self) -> str:
        """Name of the application."""
        return self.resolved.name


@dataclass(frozen=True, slots=True)
class Refused:
    """A spec with mistakes.

    Arguments:
        problems: at least one, with places.
        name: of the application, empty if the spec does not even say that.
    """

    problems: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Application:
    """State of one application.

    Arguments:
        name: ``APP-ENVIRONMENT``, empty until it is known.
        observed: newest commit whose spec was looked at.
        problems: why that spec was refused; the last good one stays then.
        desired: the last good spec.
        routed: the routes that are in force, which may still be those of an older spec.
        live: commit of which everything runs, is healthy and gets the requests it should.
    """

    place: Place
    name: str = ""
    observed: str = ""
    problems: tuple[str, ...] = ()
    desired: Desired | None = None
    routed: tuple[RouteSpec, ...] = ()
    live: str = ""

    @property
    def label(self) -> str:
        """What people call it: its name, or where it is declared as long as nothing says its name."""
        return self.name or str(self.place)


class States:
    """Applications on disk, one file each, so that the next engine goes on where this one ended.

    Arguments:
        folder: where the files are; made if absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, place: Place, reader: Reader) -> Application:
        """The application as it was saved last."""
        try:
            data = json.loads(self._path(place).read_bytes())
        except FileNotFoundError:
            return Application(place)
        desired = None
        if data["desired"]:
            with suppress(UsageError):  # another runtime, another version: the next look says so
                texts = tuple(data["desired"]["texts"])
                desired = Desired.read(data["desired"]["revision"], texts, place, reader)
        routed = tuple(
            RouteSpec(
                spec["name"],
                spec["listen"],
                tuple((w, p, weight) for w, p, weight in spec["backends"]),
                tuple(Choice(**choice) for choice in spec["choices"]),
            )
            for spec in data["routed"]
        )
        return Application(
            place, data["name"], data["observed"], tuple(data["problems"]), desired, routed, data["live"]
        )

    def save(self, application: Application) -> None:
        """Keep it, whole or not at all."""
        desired = application.desired
        data = {
            "name": application.name,
            "observed": application.observed,
            "problems": application.problems,
            "desired": desired and {"revision": desired.revision, "texts": desired.texts},
            "routed": [
                {
                    "name": spec.name,
                    "listen": spec.listen,
                    "backends": spec.backends,
                    "choices": [asdict(choice) for choice in spec.choices],
                }
                for spec in application.routed
            ],
            "live": application.live,
        }
        write_atomically(self._path(application.place), json.dumps(data, indent=1).encode())

    def _path(self, place: Place) -> Path:
        return self._folder / f"{place.key}.json"


@dataclass(frozen=True, slots=True)
class Turn:
    """An application after one step, and what can be said of it."""

    application: Application
    status: dict[str, Any]


class Operator(Reader, Protocol):
    """Called again and again; each turn is right for what is seen then, so it may be cut off anywhere."""

    def turn(self, applications: Sequence[Application]) -> Sequence[Turn]:
        """Bring every application one step further; answers them in the same order."""

    def end(self) -> None:
        """End everything that runs, and wait until nothing is left."""
