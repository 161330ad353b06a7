"""What the client raises, as our errors."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from pipegraft.core.errors import AccessDenied, Locked, PipegraftError, Unreachable, UsageError
from pipegraft.core.limits import readable
from pipegraft.kubernetes.kinds import Kind

__all__ = ["translated"]

_BUSY = {408, 429, 500, 502, 503, 504}


@contextmanager
def translated(server: str, kind: Kind | None = None) -> Iterator[None]:
    """Translate what the block raises.

    Arguments:
        server: URL, for messages.
        kind: what was asked for.
    """
    try:
        with readable(f"the Kubernetes API at {server}"):
            yield
    except httpx2.HTTPStatusError as error:
        raise _of_status(error, server, kind) from error
    except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:
        raise _of_connection(error, server) from error


def _of_connection(error: Exception, server: str) -> PipegraftError:
    told = str(error) or type(error).__name__
    if isinstance(error.__cause__, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in told:
        return UsageError(
            f"the certificate of the Kubernetes API at {server} is not trusted: {told}",
            fix="check 'certificate-authority' of the kubeconfig",
        )
    return Unreachable(f"the Kubernetes API at {server} does not answer: {told}")


def _of_status(error: httpx2.HTTPStatusError, server: str, kind: Kind | None) -> PipegraftError:
    code, said = _told(error)
    what = f"the Kubernetes API at {server}"
    if code == 401:
        return AccessDenied(f"{what} does not accept our credentials: {said}", fix="renew the kubeconfig")
    if code == 403:
        return AccessDenied(f"{what} refuses: {said}", fix="grant the rights that docs/gate.md lists")
    if code == 404:
        missing = f"{what} has no {kind.resource} of {kind.version}" if kind else f"{what}: {said}"
        return UsageError(missing, fix="check that its controller is installed there, and the context")
    if code == 410:
        return Unreachable(f"{what} has forgotten the past: {said}")
    if code == 409:
        return Locked(f"{what} found a conflict: {said}")
    if code in _BUSY:
        return Unreachable(f"{what} answered {code}: {said}")
    return UsageError(f"{what} refused with {code}: {said}")


def _told(error: httpx2.HTTPStatusError) -> tuple[int, str]:
    """Code and message, from the Status object where there is one."""
    status = getattr(error, "status", None)
    if status is not None:
        return int(status.code or 500), " ".join(str(status.message or status.reason or "").split())
    return error.response.status_code, error.response.reason_phrase
