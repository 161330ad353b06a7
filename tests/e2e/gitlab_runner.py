"""Real GitLab pipelines without a server: gitlab-ci-local parses, lists and runs them in a shell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import need

from pipegraft.ci.gitlab.configuration import include_entries, load, local_of

_BIN = Path(__file__).parent / "gitlab-ci-local" / "node_modules" / ".bin"
_IDENTITY = {
    f"GIT_{role}_{what}": "shop@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}

_NO_VARIABLES = "variables: {}\n"
"""What gitlab-ci-local lays on every pipeline: it crashes on `inherit:variables` where none are global."""
_LACKING = re.compile(
    r"^\s*(?:(\S.*?) (?:is unspecified, used by|must have script specified)"
    r"|!reference \[(.*?)(?:, (?P<key>\w+))?\] is undefined)",
    re.MULTILINE,
)


def environment(**more: str) -> dict[str, str]:
    """The process's variables without those of a CI system, with the tools in reach."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CI", "GITLAB_", "PIPEGRAFT_"))
    }
    path = os.pathsep.join([str(_BIN), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, **_IDENTITY, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, **more}


def need_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip, or in CI fail, where gitlab-ci-local cannot run."""
    monkeypatch.setenv("PATH", environment()["PATH"])
    need("gitlab-ci-local", "rsync", "git")


@dataclass(frozen=True)
class Project:
    """A git repository that gitlab-ci-local takes for a project with a default branch.

    Arguments:
        folder: its work tree.
        variables: environment of everything that runs in it.
    """

    folder: Path
    variables: Mapping[str, str]

    @classmethod
    def create(
        cls, folder: Path, files: Mapping[str, bytes], branch: str = "main", **variables: str
    ) -> Project:
        project = cls(folder, environment(**variables))
        folder.mkdir(parents=True, exist_ok=True)
        project.git("init", "-q", "-b", branch)
        project.git("remote", "add", "origin", "https://gitlab.example.com/teams/shop.git")
        project.git("symbolic-ref", "refs/remotes/origin/HEAD", f"refs/remotes/origin/{branch}")
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / ".gitlab-ci-local.yml").write_text(_NO_VARIABLES)
        return project

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.folder, env=self.variables, capture_output=True, text=True, check=True
        )
        return done.stdout

    def commit(self, message: str = "change") -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.git("update-ref", self.git("symbolic-ref", "refs/remotes/origin/HEAD").strip(), "HEAD")

    def ci(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run gitlab-ci-local."""
        return subprocess.run(
            ["gitlab-ci-local", "--color=false", *words],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def run(self, **predefined: str) -> subprocess.CompletedProcess[str]:
        """Run the pipeline, each job in a folder of its own; GitLab's own variables may be set."""
        variables = {"GITLAB_CI": "true", **predefined}
        set_them = [word for name, value in variables.items() for word in ("--variable", f"{name}={value}")]
        return self.ci(
            *("--force-shell-executor", "--shell-isolation"),
            *(*set_them, "--ignore-predefined-vars", ",".join(variables)),
        )

    def jobs(self, **predefined: str) -> dict[str, Any] | None:
        """Name → everything gitlab-ci-local knows of a job; None if it does not take the configuration.

        GitLab's own variables may be set, which say what started the pipeline.
        """
        set_them = [word for name, value in predefined.items() for word in ("--variable", f"{name}={value}")]
        ignored = ["--ignore-predefined-vars", ",".join(predefined)] if predefined else []
        done = self.ci("--list-json", "--json-schema-validation=false", *set_them, *ignored)
        if done.returncode:
            return None
        listed = done.stdout[re.search(r"^\[", done.stdout, re.MULTILINE).start() :]  # behind the warnings
        return {job["name"]: job for job in json.loads(listed)}

    def stages(self) -> list[str]:
        """The order of stages as gitlab-ci-local merges it, ``.pre`` and ``.post`` around them."""
        done = self.ci("--preview", "--json-schema-validation=false")
        assert done.returncode == 0, done.stderr
        listed = re.search(r"^stages:\n((?: *- .*\n)*)", done.stdout, re.MULTILINE)
        found: list[str] = yaml.safe_load(listed[1])
        return found

    def stand_in_for_what_is_elsewhere(self, root: str) -> None:
        """Put empty files where includes of other projects and servers, and lacking local ones, would be.

        What jobs extend and nobody defines is then defined there, until the configuration is taken.
        """
        stand_ins = [path for entry in self._includes(root) for path in self._places(entry)]
        for path in stand_ins:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(".stands-in: {}\n")
        self.commit()
        defined: dict[str, dict[str, list[str]]] = {}
        for _ in range(40):
            said = self.ci("--list-json", "--json-schema-validation=false")
            lacking = _LACKING.search(said.stderr)
            if not stand_ins or said.returncode == 0 or lacking is None:
                return
            name, key = (lacking[1] or lacking[2]).split(", ")[0], lacking["key"] or "script"
            defined.setdefault(name, {})[key] = ["elsewhere"]
            stand_ins[0].write_text(json.dumps(defined))

    def _includes(self, file: str) -> Iterator[Any]:
        path = self.folder / file.lstrip("/")
        values = load(path.read_bytes().decode(), file).values if path.is_file() else {}
        for entry in include_entries(values):
            yield entry
            local = local_of(entry)
            if local and "*" not in local:
                yield from self._includes(local)

    def _places(self, entry: Any) -> Iterator[Path]:
        """Where gitlab-ci-local looks for the files of an include."""
        cache = self.folder / ".gitlab-ci-local" / "includes"
        local = local_of(entry)
        if local is not None:
            path = self.folder / local.lstrip("/")
            yield from () if path.exists() or "*" in local else (path,)
        elif isinstance(entry, str) or "remote" in entry:
            url = entry if isinstance(entry, str) else entry["remote"]
            yield cache / re.sub("^https?://", "", url)
        elif "project" in entry:
            names = entry["file"] if isinstance(entry["file"], list) else [entry["file"]]
            folder = cache / "gitlab.example.com" / entry["project"] / str(entry.get("ref") or "HEAD")
            yield from (folder / name.lstrip("/") for name in names)
        elif "template" in entry:
            templates = "gitlab.com/gitlab-org/gitlab/-/raw/HEAD/lib/gitlab/ci/templates"
            yield cache / templates / entry["template"]
