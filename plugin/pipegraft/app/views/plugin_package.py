"""The files of a new plugin's package."""

from __future__ import annotations

from typing import Any

import jinja2

from pipegraft import __version__
from pipegraft.core.plugins import HOOKS_VERSION

__all__ = ["module_of", "plugin_package"]


def module_of(name: str) -> str:
    """Name of the module that holds a plugin.

    Arguments:
        name: the stage's, in kebab-case.
    """
    return f"pipegraft_{name.replace('-', '_')}"


def plugin_package(name: str) -> dict[str, str]:
    """A package that works as it is: a stage, its tests, and a pipeline that runs them.

    Arguments:
        name: of the stage, in kebab-case; the package is called ``pipegraft-NAME``.

    Returns:
        Path below the package's folder → text.
    """
    module = module_of(name)
    words = {
        "name": name,
        "package": f"pipegraft-{name}",
        "module": module,
        "pipegraft": __version__,
        "hooks": HOOKS_VERSION,
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        ".gitlab-ci.yml": "gitlab-ci.yml",
        f"src/{module}/__init__.py": "module.py",
        f"src/{module}/py.typed": "",
        f"tests/test_{name.replace('-', '_')}.py": "test.py",
    }
    environment = _environment()
    return {
        path: environment.get_template(f"plugin/{template}.j2").render(words) if template else ""
        for path, template in templates.items()
    }


def _environment() -> Any:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("pipegraft.app.views"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - these are source files
    )
