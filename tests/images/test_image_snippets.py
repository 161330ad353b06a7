"""How an image gets into a pod."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pipegraft.core.delivery import Component
from pipegraft.core.errors import UsageError
from pipegraft.images.usecases.images import hot_upgrade, sidecar, snippet

IMAGE = "registry.example.com/shop/x@sha256:" + "a" * 64
PRICING = {"path": "p", "intimacy": "in-process", "mount": "/opt/pricing"}
EMPTY = "registry.example.com/shop/empty@sha256:" + "e" * 64
GOVERNANCE = {"path": "g", "intimacy": "ipc"}


def show(component: Component, way: str | None = None, name: str = "pricing") -> dict[str, Any]:
    return snippet("shop", name, component, {name: IMAGE, "empty": EMPTY}, way)


def test_a_data_image_is_a_read_only_volume() -> None:
    assert show(Component.model_validate(PRICING)) == {
        "volumes": [{"name": "pricing", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}}],
        "containers": [
            {"volumeMounts": [{"name": "pricing", "mountPath": "/opt/pricing", "readOnly": True}]}
        ],
    }


def test_an_image_that_can_copy_is_an_init_container() -> None:
    component = Component.model_validate({**PRICING, "base": "busybox@sha256:" + "b" * 64})
    piece = show(component)
    copying = piece["initContainers"][0]
    assert copying["command"] == ["cp", "-a", "/opt/pricing/.", copying["volumeMounts"][0]["mountPath"]]
    assert piece["volumes"] == [{"name": "pricing", "emptyDir": {}}]
    assert piece["containers"][0]["volumeMounts"][0]["mountPath"] == "/opt/pricing"


def test_a_sidecar_is_a_container_ordinary_or_native() -> None:
    ordinary = {"containers": [{"name": "governance", "image": IMAGE}]}
    component = Component.model_validate({"path": "g", "intimacy": "ipc"})
    assert show(component, name="governance") == sidecar("governance", IMAGE) == ordinary
    native = sidecar("governance", IMAGE, native=True)
    assert native["initContainers"][0]["restartPolicy"] == "Always"


def test_a_hot_upgrade_names_both_images() -> None:
    empty = "registry.example.com/empty@sha256:" + "e" * 64
    container = hot_upgrade("shop", "governance", IMAGE, empty)["spec"]["containers"][0]
    assert container["image"] == IMAGE
    assert container["upgradeStrategy"] == {"upgradeType": "HotUpgrade", "hotUpgradeEmptyImage": empty}


@pytest.mark.parametrize("empty", ["empty", EMPTY])
def test_a_sidecar_that_declares_its_empty_image_is_upgraded_hot(empty: str) -> None:
    component = Component.model_validate({**GOVERNANCE, "hot-upgrade": empty})
    assert show(component, name="governance") == hot_upgrade("shop", "governance", IMAGE, EMPTY)
    assert show(component, "container", "governance") == sidecar("governance", IMAGE)
    assert show(component, "native-sidecar", "governance") == sidecar("governance", IMAGE, native=True)


@pytest.mark.parametrize(
    ("declared", "way", "said"),
    [
        (GOVERNANCE, "image-volume", "it has no 'mount'"),
        (GOVERNANCE, "hot-upgrade", "no empty image is declared"),
        ({**GOVERNANCE, "hot-upgrade": "lost"}, None, "the release has no image of 'lost'"),
        (PRICING, "init-container", "its image has no cp"),
    ],
)
def test_what_cannot_be_says_why(declared: dict[str, Any], way: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        show(Component.model_validate(declared), way)
