"""The program as a command line has it, without the start of an interpreter."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

from pipegraft import cli
from pipegraft.core import foreign_text


def pipegraft(
    *words: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command in this process, with nothing on standard input.

    Arguments:
        words: what stands after the program's name.
        folder: the working folder; this process's own if absent.
        environment: all of its variables; this process's own if absent.

    Returns: what a process of its own would have answered.
    """
    out, err = io.StringIO(), io.StringIO()
    variables = dict(os.environ if environment is None else environment)
    with (
        contextlib.chdir(folder or Path.cwd()),
        mock.patch.dict(os.environ, variables, clear=True),
        mock.patch.object(foreign_text, "_SECRETS", foreign_text._Secrets()),
        mock.patch("sys.stdin", io.StringIO()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = cli.run(list(words))
    return subprocess.CompletedProcess(["pipegraft", *words], code, out.getvalue(), err.getvalue())
