"""Whether git is there, and whether the IaC repository can be read and pushed to."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipegraft.core.adapters.git_command import GitCommand
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.plugins import hookimpl
from pipegraft.iac.adapters.git import GitBranch
from pipegraft.iac.ports.repository import IAC
from pipegraft.iac.rendered import RenderedBranch

__all__ = ["pipegraft_examinations"]

_OLDEST = (2, 34)
"""The first version that signs with SSH keys; older ones fetch and push as well."""


def run(patient: Patient, _subject: str) -> Iterator[Diagnosis]:
    """The program, then the branch: its tip is read, and a push that changes nothing is tried, not done."""
    yield _program()
    yield from _key_files(patient)
    iac, branch = patient.delivery.iac, patient.open(IAC)
    subject = f"IaC branch {iac.branch}"
    tip = branch.tip()
    yield Diagnosis(subject, Health.GOOD, f"can be read: it is at {tip[:12]}")
    path = f"{iac.path.rstrip('/')}/app.yaml" if iac.path else "app.yaml"
    by_targets = all(one.targets for one in patient.delivery.environments.values())
    if not by_targets and branch.read(path, tip) is None:
        yield Diagnosis(
            subject,
            Health.WRONG,
            f"{path} is not there",
            "add the app spec, or correct 'iac.path' in delivery.yaml",
        )
    written = branch.branch if isinstance(branch, RenderedBranch) else branch
    if isinstance(written, GitBranch):
        written.try_push()
        yield Diagnosis(subject, Health.GOOD, "takes pushes; whether it is protected only a real one tells")


def _program() -> Diagnosis:
    program = shutil.which("git")
    if program is None:
        return Diagnosis("git", Health.WRONG, "it is not installed", "install git in the job's image")
    said = GitCommand().run("--version").text
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        wanted = ".".join(map(str, _OLDEST))
        return Diagnosis(
            "git", Health.NOTE, f"{said}: too old to sign with SSH keys", f"install git {wanted} or newer"
        )
    return Diagnosis("git", Health.GOOD, said)


def _key_files(patient: Patient) -> Iterator[Diagnosis]:
    """Files of keys that variables name."""
    for variable in ("PIPEGRAFT_IAC_SSH_KEY", "PIPEGRAFT_SIGNING_KEY"):
        named = patient.environment.get(variable, "")
        if "/" not in named:
            continue
        path = Path(named)
        if not path.is_file() or not os.access(path, os.R_OK):
            yield Diagnosis(
                variable,
                Health.WRONG,
                "the file it names is not there",
                "set it to the path of a private key's file",
            )
        elif path.stat().st_mode & 0o077:
            yield Diagnosis(
                variable, Health.WRONG, "others may read the file it names", "chmod 600 it: ssh refuses it"
            )
        else:
            yield Diagnosis(variable, Health.GOOD, "the file it names is there, and nobody else may read it")


@hookimpl
def pipegraft_examinations() -> Iterable[Examination]:
    yield Examination("iac-repository", "The IaC repository can be read and pushed to.", run, limit=40.0)
