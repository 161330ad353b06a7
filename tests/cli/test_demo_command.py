"""The demo leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from pipegraft.cli import demo, run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_way_to_end_it_takes_its_folder_along(
    number: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tidied: list[bool] = []

    def interrupted(folder: Path, *_: object, **__: object) -> NoReturn:
        (folder / "shop").mkdir()
        try:
            os.kill(os.getpid(), number)
        finally:
            tidied.append(folder.is_dir())
        raise AssertionError("the signal was ignored")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "run_demo", interrupted)
    if number == signal.SIGINT:  # ignored where the shell started pytest in the background
        signal.signal(number, signal.default_int_handler)
    before = signal.getsignal(number)
    assert run(["demo"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert tidied == [True]
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is before
