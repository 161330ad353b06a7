"""Push webhooks: who may send them, and which repository they mean."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from pipegraft.core.errors import AccessDenied
from pipegraft.engine.adapters.server import Push, read_push
from pipegraft.gate.conditions import same_repository


def test_a_push_of_gitlab() -> None:
    body = json.dumps(
        {
            "ref": "refs/heads/release/2",
            "project": {
                "git_http_url": "https://gitlab.example.com/iac/shop.git",
                "git_ssh_url": "git@gitlab.example.com:iac/shop.git",
                "web_url": "https://gitlab.example.com/iac/shop",
            },
            "repository": {"url": "git@gitlab.example.com:iac/shop.git"},
        }
    ).encode()
    push = read_push({"x-gitlab-token": "hush"}, body, "hush")
    assert push is not None
    assert push.branch == "release/2"
    assert set(push.urls) == {
        "https://gitlab.example.com/iac/shop.git",
        "git@gitlab.example.com:iac/shop.git",
        "https://gitlab.example.com/iac/shop",
    }


def test_a_push_of_github_or_gitea_is_signed() -> None:
    body = json.dumps({"ref": "refs/heads/main", "repository": {"clone_url": "https://x/y.git"}}).encode()
    signature = "sha256=" + hmac.new(b"hush", body, hashlib.sha256).hexdigest()
    assert read_push({"x-hub-signature-256": signature}, body, "hush") == Push(("https://x/y.git",), "main")
    with pytest.raises(AccessDenied):
        read_push({"x-hub-signature-256": signature}, body + b" ", "hush")


def test_a_tag_and_a_deleted_project_are_no_push() -> None:
    assert read_push({"x-gitlab-token": "s"}, b'{"ref": "refs/tags/v1"}', "s") is None
    assert read_push({"x-gitlab-token": "s"}, b"{}", "s") is None


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlab.example.com/iac/shop",
        "https://user:secret@GitLab.example.com/iac/shop.git",
        "ssh://git@gitlab.example.com:2222/iac/shop.git",
        "git@gitlab.example.com:iac/shop.git",
        "https://gitlab.example.com/iac/shop/",
    ],
)
def test_the_same_repository_by_other_ways(url: str) -> None:
    assert same_repository(url, "https://gitlab.example.com/iac/shop.git")


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlab.example.com/iac/shop2",
        "https://example.com/iac/shop",
        "git@gitlab.example.com:shop",
        "../shop",
    ],
)
def test_another_repository(url: str) -> None:
    assert not same_repository(url, "https://gitlab.example.com/iac/shop.git")
