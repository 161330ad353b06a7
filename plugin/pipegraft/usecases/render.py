"""Shows what an app spec becomes, from a folder that holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipegraft.domain.appspec import Resolved, resolve
from pipegraft.domain.rendering.compose import render_compose
from pipegraft.domain.rendering.dump import dump_documents
from pipegraft.domain.rendering.kubernetes import render_kubernetes
from pipegraft.domain.rendering.oam import render_application
from pipegraft.domain.rendering.routers.registered import CLUSTER_ROUTERS
from pipegraft.domain.resources.binding import Platform
from pipegraft.errors import ConfigError, Place, Problem, UsageError
from pipegraft.ports.resources import ResourceProvider, Target
from pipegraft.ports.traffic import ClusterRouter

__all__ = ["TARGETS", "environments_of", "render"]

Manifests = list[dict[str, Any]]

Routers = Mapping[str, ClusterRouter]

TARGETS: Mapping[Target, Callable[[Resolved, str | None, Routers], Manifests]] = {
    "oam": lambda resolved, revision, routers: [render_application(resolved, revision, routers)],
    "kubernetes": render_kubernetes,
    "compose": lambda resolved, revision, _routers: [render_compose(resolved, revision)],
}
"""Target → what it makes of one environment."""


def render(
    folder: Path,
    environments: Sequence[str],
    target: Target,
    revision: str | None = None,
    routers: Routers = CLUSTER_ROUTERS,
    *,
    load_providers: Callable[[], Mapping[str, ResourceProvider]] = dict,
) -> str:
    """Render environments for one target.

    Arguments:
        folder: holds ``app.yaml`` and ``environments/``.
        environments: names; all there are if empty.
        target: one of `TARGETS`.
        revision: commit to put into the output; a digest of it if None.
        routers: name → what splits requests in a cluster.
        load_providers: answers the resource providers; called only for a spec with resources.

    Returns:
        YAML documents, the same bytes for the same spec.

    Raises:
        ConfigError: everything wrong with the files, of all environments.
        UsageError: there is no such environment.
    """
    chosen = environments or environments_of(folder)
    if target == "compose" and len(chosen) > 1:
        raise UsageError(
            f"a Compose file is of one environment; there are: {', '.join(chosen)}",
            fix="choose one with --env",
        )
    app = _read(folder / "app.yaml")
    platform = Platform(load_providers, target)
    manifests: Manifests = []
    problems: dict[Problem, None] = {}
    for name in chosen:
        file = f"environments/{name}.yaml"
        try:
            resolved = resolve(app, _read(folder / file), name, environment_file=file, platform=platform)
        except ConfigError as error:
            problems |= dict.fromkeys(error.problems)
        else:
            manifests += TARGETS[target](resolved, revision, routers)
    if problems:
        raise ConfigError(problems)
    return dump_documents(manifests)


def environments_of(folder: Path) -> list[str]:
    """Names of the environments a folder declares.

    Raises:
        UsageError: there is none.
    """
    found = sorted(path.stem for path in (folder / "environments").glob("*.yaml"))
    if not found:
        raise UsageError(
            f"expected {folder}/environments/NAME.yaml, found none", fix="add one, or name the folder"
        )
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"expected {path}, found no such file", fix="name the folder that holds the app spec"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"expected {path} to be text in UTF-8: {error}", place=Place(str(path))) from error
