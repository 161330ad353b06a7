"""Push webhooks of git servers: who sent it, and what was pushed where.

Sources: GitLab's documentation "Webhooks" and "Webhook events" (``X-Gitlab-Token``, push events);
GitHub's "Validating webhook deliveries" (``X-Hub-Signature-256``), which Gitea and Forgejo send, too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipegraft.core.errors import AccessDenied, UsageError
from pipegraft.core.reading import load_json

__all__ = ["Push", "read_push"]

_HEADS = "refs/heads/"


@dataclass(frozen=True, slots=True)
class Push:
    """A branch was pushed.

    Arguments:
        urls: by which the repository is known.
    """

    urls: tuple[str, ...]
    branch: str


def read_push(headers: Mapping[str, str], body: bytes, secret: str) -> Push | None:
    """Understand a webhook.

    Arguments:
        headers: of the request, names in lower case.
        secret: that the sender must know.

    Returns:
        None for an event that is no push to a branch.

    Raises:
        AccessDenied: the sender does not know the secret.
        UsageError: the body is none of a push.
    """
    _check(headers, body, secret)
    try:
        data = load_json(body)
        reference = str(data.get("ref") or "")
        repository = data.get("project") or data.get("repository") or {}
        urls = tuple(dict.fromkeys(_urls({**(data.get("repository") or {}), **repository})))
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"expected a push event as JSON: {error}") from error
    if not reference.startswith(_HEADS):
        return None
    return Push(urls, reference.removeprefix(_HEADS))


def _check(headers: Mapping[str, str], body: bytes, secret: str) -> None:
    token = headers.get("x-gitlab-token")
    signature = headers.get("x-hub-signature-256")
    if token is not None:
        known = hmac.compare_digest(token.encode(), secret.encode())
    elif signature is not None:
        expected = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
        known = hmac.compare_digest(signature.encode(), expected.encode())
    else:
        known = False
    if not known:
        raise AccessDenied(
            "expected the webhook's secret in X-Gitlab-Token, or a signature in X-Hub-Signature-256",
            fix="set the same secret at the git server and in PIPEGRAFT_WEBHOOK_SECRET",
        )


def _urls(repository: Mapping[str, Any]) -> list[str]:
    names = ("git_http_url", "git_ssh_url", "web_url", "clone_url", "ssh_url", "html_url", "url", "http_url")
    return [str(repository[name]) for name in names if repository.get(name)]
