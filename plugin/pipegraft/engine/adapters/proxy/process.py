"""The proxy as a process of its own: one configuration file, reread on SIGHUP, ended by SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import PipegraftError, Unreachable, UsageError
from pipegraft.engine.adapters.proxy.config import ProxyConfig, ProxyFiles, fingerprint
from pipegraft.engine.adapters.proxy.server import Proxy

__all__ = ["serve", "serve_in_background"]


def serve(config: Path, ready: Callable[[], None] = lambda: None) -> None:
    """Serve a configuration file until SIGTERM or SIGINT.

    Arguments:
        config: the file.
        ready: called once everything is listened on.

    Raises:
        UsageError: the file cannot be read as a configuration.
        Unreachable: an address cannot be listened on.
        Locked: another process serves this file.
    """
    if not config.is_file():
        raise UsageError(f"expected a proxy configuration, found no file {config}")
    files = ProxyFiles(config)
    with files.held():
        asyncio.run(_serve(files, ready))


def serve_in_background(config: Path) -> None:
    """Serve in a process that outlives this one and its terminal; return once it serves.

    Raises:
        Unreachable: it ended before that; why, it has printed.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor, not a path
            if not pipe.read():
                raise Unreachable("the proxy ended before it served anything")
        return
    os.close(reading)
    os.setsid()

    def ready() -> None:
        os.write(writing, b"ready")
        os.close(writing)

    serve(config, ready)


async def _serve(files: ProxyFiles, ready: Callable[[], None]) -> None:
    proxy = Proxy()
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    try:
        await _load(proxy, files)
        ready()
        while not stop.is_set():
            waiting = [asyncio.create_task(event.wait()) for event in (stop, reload)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            if reload.is_set():
                reload.clear()
                await _reload(proxy, files)
    finally:
        await proxy.close()
        files.status.unlink(missing_ok=True)


async def _load(proxy: Proxy, files: ProxyFiles) -> None:
    text = files.config.read_text("utf-8")
    try:
        await proxy.apply(parse_document(text, str(files.config), ProxyConfig))
    except OSError as error:
        raise Unreachable(
            f"{error.strerror}", fix="end what listens there, or choose another address"
        ) from error
    _tell(proxy, files, text)


async def _reload(proxy: Proxy, files: ProxyFiles) -> None:
    """Read the file again; what cannot be served is told in the status, and nothing changes."""
    try:
        await _load(proxy, files)
    except (OSError, PipegraftError) as error:
        _tell(proxy, files, files.config.read_text("utf-8"), str(error))


def _tell(proxy: Proxy, files: ProxyFiles, text: str, error: str = "") -> None:
    status = {
        "process": os.getpid(),
        "config": fingerprint(text),
        "admin": proxy.admin,
        "listening": dict(proxy.listening),
        "error": error,
    }
    write_atomically(files.status, json.dumps(status, indent=2).encode())
