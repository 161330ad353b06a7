"""What builders share: the context on disk, programs that are run and followed, and scanners."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO

from pipegraft.core.adapters.files import stream_of
from pipegraft.core.errors import BuildFailed, OutsideError, UsageError
from pipegraft.core.foreign_text import keep_secret
from pipegraft.core.reading import load_json
from pipegraft.images.hooks import BuildRequest, ContextEntry, FoundPackages, Package
from pipegraft.images.layers import tar_blocks

__all__ = [
    "Finished",
    "Opener",
    "archive_kind",
    "common_options",
    "dockerfile_missing",
    "further_contexts",
    "hiding",
    "lay_out",
    "note_statements",
    "opener",
    "refuse",
    "run_program",
    "scan_archive",
    "scan_context",
    "scanner",
    "scanner_image",
    "secret_options",
]

_MOST_LINES = 1000
_SHORTEST_HIDDEN = 4
"""Characters; to hide a shorter value would spoil the log and tell the value."""

_SCANNER = "PIPEGRAFT_BUILDKIT_SCANNER"
_PATIENCE = 900.0
"""Seconds that a scan may take."""
_COMMANDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "syft": {
        "archive": ("scan", "--quiet", "--output=cyclonedx-json", "docker-archive:{}"),
        "folder": ("scan", "--quiet", "--output=cyclonedx-json", "dir:{}"),
    },
    "trivy": {
        "archive": ("image", "--quiet", "--format=cyclonedx", "--input={}"),
        "folder": ("filesystem", "--quiet", "--format=cyclonedx", "{}"),
    },
}
"""Scanner → what is scanned → arguments."""
_QUIET = {"SYFT_CHECK_FOR_APP_UPDATE": "false", "TRIVY_SKIP_VERSION_CHECK": "true"}

_STEP = re.compile(r"#\d+ |(?:\[\d+/\d+\] )?STEP \d")
"""How BuildKit and buildah begin the lines of a build's steps."""
_OF_STEP = re.compile(r"#\d+ |failed to solve: process |building at STEP ")
"""What names the command of a step that failed."""

Opener = Callable[[ContextEntry], AbstractContextManager[BinaryIO]]
"""Opens the content of an entry that is a file."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Arguments:
        status: its exit code.
        lines: the last of what it printed, secrets hidden.
    """

    status: int
    lines: tuple[str, ...]

    @property
    def last(self) -> str:
        """The last line."""
        return self.lines[-1] if self.lines else "it printed nothing"

    def said(self, *signs: str) -> str | None:
        """The first line of the program's own with one of these signs.

        Its own are those ahead of the first step, and the last: in between, and where the last repeats a
        command, what is built speaks, and may say anything.
        """
        whole = len(self.lines) < _MOST_LINES
        own = [*takewhile(lambda line: whole and not _STEP.match(line), self.lines)]
        own += [self.last] * (not _OF_STEP.search(self.last))
        return next((line for line in own if any(sign in line for sign in signs)), None)


def dockerfile_missing(context: Path, dockerfile: str) -> str | None:
    """Why a folder is none for a Dockerfile, as a clause; None if it is one."""
    if not context.is_dir():
        return "it is not a folder"
    return None if (context / dockerfile).is_file() else f"it has no {dockerfile}"


def refuse(request: BuildRequest, reason: str | None) -> None:
    """Raise `BuildFailed` for a reason not to build."""
    if reason:
        raise BuildFailed(f"component '{request.component}': {reason}")


def secret_options(request: BuildRequest) -> list[str]:
    """The options ``--secret`` that docker, BuildKit and buildah take alike."""
    options: list[str] = []
    for name, source in request.extras.secrets.items():
        kind = "src" if isinstance(source, Path) else "env"
        options += ["--secret", f"id={name},{kind}={source}"]
    return options


def hiding(request: BuildRequest, log: Callable[[str], None]) -> Callable[[str], str]:
    """Logs a line without the values of secrets, and answers it as it was logged.

    Raises:
        UsageError: a secret is not there.
    """
    hidden = _secret_values(request)

    def note(line: str) -> str:
        for value in hidden:
            line = line.replace(value, "***")
        log(line)
        return line

    return note


def run_program(
    command: list[str], log: Callable[[str], str], variables: Mapping[str, str] | None = None
) -> Finished:
    """Run a program to its end and log what it prints.

    Arguments:
        variables: further variables of its environment.
    """
    lines: deque[str] = deque(maxlen=_MOST_LINES)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(variables or {})},
        text=True,
        errors="replace",
    ) as process:
        lines.extend(log(line.strip()) for line in process.stdout or () if line.strip())
    return Finished(process.returncode, tuple(lines))


def _secret_values(request: BuildRequest) -> list[str]:
    """What secrets hold, to keep it out of logs; the builder itself reads them from where they are."""
    found: list[str] = []
    for name, source in request.extras.secrets.items():
        try:
            value = source.read_text(errors="replace") if isinstance(source, Path) else os.environ[source]
        except (OSError, KeyError) as error:
            lost = isinstance(error, OSError)
            place = f"file '{source}' cannot be read" if lost else f"variable {source} is not set"
            raise UsageError(
                f"component '{request.component}': build secret '{name}': {place}",
                fix="provide it to this job, or remove it from delivery.yaml",
            ) from None
        keep_secret(value)
        found += [line.strip() for line in value.splitlines()]
    return sorted((line for line in found if len(line) >= _SHORTEST_HIDDEN), key=len, reverse=True)


def lay_out(request: BuildRequest, folder: Path) -> tuple[Path, Path]:
    """Put the context into a folder: exactly what was hashed, modes and times always the same.

    Returns:
        That folder, and another that holds the Dockerfile alone: an ignored one is no part of the context.
    """
    context, apart = folder / "context", folder / "dockerfile"
    context.mkdir()
    _unpack(tar_blocks(request.entries, opener(request)), context)
    dockerfile = apart / request.dockerfile
    dockerfile.parent.mkdir(parents=True)
    dockerfile.write_bytes((request.context / request.dockerfile).read_bytes())
    return context, apart


def common_options(request: BuildRequest, folder: Path) -> tuple[list[str], Path]:
    """The options that docker and buildah take alike, and the context they are for, laid out in a folder."""
    context, apart = lay_out(request, folder)
    options = [
        f"--file={apart / request.dockerfile}",
        f"--platform={request.platform}",
        *secret_options(request),
        *([f"--target={request.stage}"] if request.stage else []),
    ]
    options += [f"--build-arg={name}={value}" for name, value in request.build_args.items()]
    options += [f"--build-context={name}={place}" for name, place in further_contexts(request, folder)]
    return options, context


def further_contexts(request: BuildRequest, folder: Path) -> Iterator[tuple[str, str]]:
    """Name and place of each further context: an image, or a folder below that gets what was hashed."""
    for number, (name, extra) in enumerate(request.extras.contexts.items()):
        place = folder / f"further-{number}"
        if extra.folder is None:
            yield name, f"docker-image://{extra.image}"
        else:
            place.mkdir()
            files = extra.folder
            _unpack(tar_blocks(extra.entries, lambda entry: (files / entry.path).open("rb")), place)  # noqa: B023
            yield name, str(place)


def _unpack(blocks: Iterator[bytes], folder: Path) -> None:
    with stream_of(blocks) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extractall(folder, filter="fully_trusted")  # noqa: S202 - packed from a folder of this machine


def opener(request: BuildRequest, prefix: str = "") -> Opener:
    """Opens the files of a context for `tar_blocks`.

    Arguments:
        prefix: folder that the entries' paths were put below.
    """

    def open_file(entry: ContextEntry) -> AbstractContextManager[BinaryIO]:
        path = request.context / entry.path.removeprefix(f"{prefix}/" if prefix else "")
        try:
            return path.open("rb")
        except OSError as error:
            raise BuildFailed(f"'{path}' cannot be read: {error.strerror}") from error

    return open_file


def scanner() -> str | None:
    """The scanner that is taken, None if none is installed."""
    return next((name for name in _COMMANDS if shutil.which(name)), None)


def scan_archive(request: BuildRequest, archive: Path, log: Callable[[str], None]) -> None:
    """Note the packages in all layers of an image.

    Arguments:
        archive: as `docker save` writes it.

    Raises:
        OutsideError: the scanner failed.
    """
    if request.note_packages is not None:
        if scanner_image(request):
            log(f"SBOM: this builder has no use for {_SCANNER}: a BuildKit apart from engines has")
        _note(request, _scan("archive", archive, "all layers of the image"), log)


def scanner_image(request: BuildRequest) -> str:
    """Image by which BuildKit scans what it builds, empty for none (moby/buildkit, docs/attestations)."""
    return os.environ.get(_SCANNER, "") if request.note_packages is not None else ""


def archive_kind(request: BuildRequest) -> str:
    """What BuildKit writes: only an OCI layout has room for what its scanner states."""
    return "oci" if scanner_image(request) else "docker"


def note_statements(request: BuildRequest, statements: Iterable[bytes], log: Callable[[str], None]) -> None:
    """Note the packages that BuildKit's scanner found, by its statements in SPDX.

    Raises:
        OutsideError: they are none.
    """
    try:
        bills = [load_json(one)["predicate"] for one in statements]
        packages = {package for bill in bills for package in _spdx_packages(bill)}
        tools = [
            made for bill in bills for made in bill["creationInfo"]["creators"] if made.startswith("Tool: ")
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutsideError(f"expected statements in SPDX from BuildKit's scanner: {error}") from error
    by = " ".join(tools[0].removeprefix("Tool: ").rsplit("-", 1)) if tools else "BuildKit"
    _note(request, FoundPackages(tuple(sorted(packages)), by, "the image's files", sees_bases=True), log)


def scan_context(request: BuildRequest, log: Callable[[str], None]) -> None:
    """Note the packages in a build context, ignored files left out.

    Raises:
        OutsideError: the scanner failed.
    """
    if request.note_packages is None:
        return
    if scanner() is None:
        _note(request, FoundPackages(), log)
        return
    with tempfile.TemporaryDirectory() as name:
        for entry in request.entries:
            if entry.kind == "file":
                path = Path(name, entry.path)
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(request.context / entry.path, path)
        _note(request, _scan("folder", Path(name), "the component's files"), log)


def _note(request: BuildRequest, found: FoundPackages, log: Callable[[str], None]) -> None:
    if not found.by:
        log("SBOM: files alone, for neither syft nor trivy is installed")
    else:
        count = f"{len(found.packages)} package{'s' * (len(found.packages) != 1)}"
        log(f"SBOM: {count} found by {found.by} in {found.looked_at}")
    if request.note_packages is not None:
        request.note_packages(found)


def _scan(kind: str, target: Path, looked_at: str) -> FoundPackages:
    name = scanner()
    if name is None:
        return FoundPackages()
    command = [name, *(word.format(target) for word in _COMMANDS[name][kind])]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_PATIENCE, check=False, env={**os.environ, **_QUIET}
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise OutsideError(f"{name} ended with exit code {done.returncode}: {said[-1]}")
        bill = load_json(done.stdout)
        packages = tuple(sorted(set(_packages(bill))))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutsideError(f"expected a CycloneDX document from {name}: {error}") from error
    except subprocess.TimeoutExpired:
        raise OutsideError(f"{name} did not end within {_PATIENCE:g} s") from None
    by = f"{name} {_version(bill)}".strip()
    return FoundPackages(packages, by, looked_at, sees_bases=kind == "archive")


def _packages(bill: Mapping[str, Any]) -> Iterator[Package]:
    for component in bill.get("components", ()):
        if component.get("purl"):
            name = "/".join(filter(None, (component.get("group"), component["name"])))
            yield Package(component["purl"], name, component.get("version", ""), _place(component))


def _spdx_packages(bill: Mapping[str, Any]) -> Iterator[Package]:
    """Packages of a document in SPDX 2 that have a package URL."""
    for one in bill.get("packages", ()):
        for reference in one.get("externalRefs", ()):
            if reference["referenceType"] == "purl":
                yield Package(reference["referenceLocator"], one["name"], one.get("versionInfo", ""), "")


def _place(component: Mapping[str, Any]) -> str:
    """The file that told the scanner of a package, empty if it does not say."""
    for one in component.get("properties", ()):
        if one.get("name") in ("syft:location:0:path", "aquasecurity:trivy:FilePath"):
            return str(one["value"]).lstrip("/")
    return ""


def _version(bill: Mapping[str, Any]) -> str:
    """Version of the scanner; CycloneDX had a list of tools before 1.5, an object from then on."""
    tools = bill.get("metadata", {}).get("tools", [])
    named = tools.get("components", []) if isinstance(tools, dict) else tools
    return str(named[0].get("version", "")) if named else ""
