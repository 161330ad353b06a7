"""Values kept outside of the repository: a folder of ``NAME/KEY`` files, as Kubernetes mounts them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipegraft.core.errors import UsageError
from pipegraft.engine.ports import Container, SecretKey

__all__ = ["SecretFolder"]


class SecretFolder:
    """Where references to secrets and config maps are looked up.

    Arguments:
        folder: the folder; None if the engine was given none.
        outputs: the same for what resources of this machine tell, looked at first.
    """

    def __init__(self, folder: Path | None, outputs: Path | None = None) -> None:
        self._folder = folder
        self._outputs = outputs

    def value(self, wanted: SecretKey) -> str:
        """The value of a reference, without the line break at its end.

        Raises:
            UsageError: there is none.
        """
        where = f"{wanted.name}/{wanted.key}"
        if self._outputs and (told := self._outputs / where).is_file():
            return told.read_text("utf-8")
        path = self._given(wanted.kind, where)
        try:
            return path.read_text("utf-8").removesuffix("\n")
        except OSError as error:
            raise _missing(wanted.kind, path, str(error.strerror)) from None

    def folder(self, kind: str, name: str) -> Path:
        """The folder of all keys of a secret or config map.

        Raises:
            UsageError: there is none.
        """
        path = self._given(kind, name)
        if not path.is_dir():
            raise _missing(kind, path, "no such folder")
        return path

    def bundled(self, container: Container) -> Container:
        """The container with the variables of `env_from` put in front of its own.

        Raises:
            UsageError: a secret or config map is missing.
        """
        env: list[tuple[str, str | SecretKey]] = []
        for kind, name in container.env_from:
            keys = sorted(path.name for path in self.folder(kind, name).iterdir() if path.is_file())
            env += [(key, SecretKey(kind, name, key)) for key in keys if not key.startswith(".")]
        return replace(container, env=(*env, *container.env), env_from=())

    def _given(self, kind: str, where: str) -> Path:
        if self._folder is None:
            raise UsageError(
                f"{kind} {where} is wanted, and this engine was given no folder of secrets",
                fix="start the engine with --secrets FOLDER",
            )
        return self._folder / where


def _missing(kind: str, path: Path, why: str) -> UsageError:
    return UsageError(f"{kind} {path.parent.name}/{path.name} is not there: {why}", fix=f"make {path}")
