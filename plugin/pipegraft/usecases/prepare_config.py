"""A change of configuration, prepared as a gray release: the same stage as for images, without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipegraft.errors import UsageError
from pipegraft.model.release import Release
from pipegraft.ports.progress import Progress
from pipegraft.ports.stage import Connections
from pipegraft.usecases.gray import choose_environment
from pipegraft.usecases.project import Project
from pipegraft.usecases.run import RunRequest, run_stages

__all__ = ["prepare_config"]


def prepare_config(
    project: Project,
    environment: str | None,
    config: Sequence[str],
    progress: Progress,
    *,
    variables: Mapping[str, str],
    dry_run: bool = False,
    connections: Connections | None = None,
) -> tuple[str, Release]:
    """Add a gray block of weight 0 with configuration to an environment; gray-release goes on.

    Arguments:
        environment: its name; may be None if only one declares gray releases.
        config: ``PATH=VALUE``, each of one line.
        variables: the process's environment variables, for the number of the release.
        dry_run: report the difference and write nothing.

    Returns:
        The environment, and the release record: one of its own, which holds no images.

    Raises:
        UsageError: it is no configuration, or cannot be released now; nothing was written.
    """
    name, _gray = choose_environment(project, environment)
    for word in config:
        if len(word.splitlines()) != 1:
            raise UsageError(
                f"expected PATH=VALUE on one line, found {word!r}",
                fix='write a line break as \\n within double quotes: PATH="one\\ntwo"',
            )
    settings = {
        "iac-bump.config": "\n".join(config),
        "iac-bump.images": "false",
        "iac-bump.dry-run": str(dry_run).lower(),
    }
    request = RunRequest(("iac-bump",), name, settings, variables, anew=True)
    return name, run_stages(project, request, progress, connections)
