"""From an address to a registry: scheme, certificates, patience."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from registry_server import RegistryServer

from pipegraft.core.errors import UsageError
from pipegraft.core.model import RegistryAddress
from pipegraft.images.adapters.registry import open_registry
from pipegraft.images.adapters.registry.endpoint import Endpoint, is_loopback


@pytest.mark.parametrize(
    ("name", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.1.2.3", True),
        ("[::1]:5000", True),
        ("[::1]", True),
        ("registry.example.com", False),
        ("10.0.0.1:5000", False),
    ],
)
def test_loopback(name: str, loopback: bool) -> None:
    assert is_loopback(name) is loopback


def test_plain_http_is_spoken_on_request_and_on_the_loopback_only(tmp_path: Path) -> None:
    variables = {"HOME": str(tmp_path), "PIPEGRAFT_INSECURE_REGISTRIES": "a.example.com, b.example.com:5000"}
    schemes = {
        name: Endpoint.of(name, variables).schemes
        for name in ("a.example.com", "b.example.com:5000", "b.example.com", "127.0.0.1:5000")
    }
    assert schemes == {
        "a.example.com": ("http",),
        "b.example.com:5000": ("http",),
        "b.example.com": ("https",),
        "127.0.0.1:5000": ("https", "http"),
    }


def test_a_loopback_registry_without_tls_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with RegistryServer() as server:
        registry = open_registry(f"{server.name}/shop", tmp_path)
        assert registry.find("web", "v1") is None
        assert server.count("/v2/shop/web/manifests/v1") == 1


def test_an_upper_case_path_is_told_with_the_right_one() -> None:
    adapter = TypeAdapter(RegistryAddress)
    assert adapter.validate_python("Registry.Example.com/shop") == "Registry.Example.com/shop"
    with pytest.raises(ValidationError, match=r"in a registry's path: r\.example\.com/shop/web"):
        adapter.validate_python("r.example.com/Shop/Web")


@pytest.mark.parametrize("address", ["", "/shop", "https://registry.example.com", "host name/shop", "-x/y"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="expected a registry"):
        open_registry(address, tmp_path)


def test_missing_certificates_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.pem"):
        Endpoint("registry.example.com", ca=tmp_path / "missing.pem").trust()
    (tmp_path / "none.pem").write_text("no certificate")
    with pytest.raises(UsageError, match=r"none\.pem"):
        Endpoint("registry.example.com", ca=tmp_path / "none.pem").trust()
