"""The example plugins can be imported without being installed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in sorted(EXAMPLES.glob("plugin-*/src")):
        monkeypatch.syspath_prepend(source)


@pytest.fixture
def dripping() -> Iterator[str]:
    """The URL of a server that begins an answer and goes on with a byte every fifth of a second."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            while not done.is_set():
                with contextlib.suppress(OSError):
                    client, _address = listening.accept()
                    with client:
                        client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                        while not done.wait(0.2):
                            client.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        done.set()
        with contextlib.suppress(OSError):
            socket.create_connection(listening.getsockname()).close()
        thread.join()
