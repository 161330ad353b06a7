"""WWW-Authenticate headers."""

from __future__ import annotations

import pytest

from pipegraft.images.adapters.registry.session import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("Basic", [Challenge("basic", {})]),
        ('Basic realm="Registry Realm"', [Challenge("basic", {"realm": "Registry Realm"})]),
        (
            'Bearer realm="https://auth.example.com/token",service="registry.example.com",'
            'scope="repository:shop/web:pull,push",error="invalid_token"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.example.com/token",
                        "service": "registry.example.com",
                        "scope": "repository:shop/web:pull,push",
                        "error": "invalid_token",
                    },
                )
            ],
        ),
        (
            'BASIC realm=plain, Bearer realm="https://a", service = "s"',
            [
                Challenge("basic", {"realm": "plain"}),
                Challenge("bearer", {"realm": "https://a", "service": "s"}),
            ],
        ),
        (r'Bearer realm="quo\"ted"', [Challenge("bearer", {"realm": 'quo"ted'})]),
        ('Bearer realm="never closed', [Challenge("bearer", {})]),
        ('realm="alone"', []),
    ],
)
def test_reads_what_registries_send(header: str, expected: list[Challenge]) -> None:
    assert parse_challenges(header) == expected
