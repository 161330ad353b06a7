"""How an image gets into a pod."""

from __future__ import annotations

from pipegraft.domain.images.snippets import hot_upgrade, sidecar, snippet
from pipegraft.model.delivery import Component

IMAGE = "registry.example.com/shop/x@sha256:" + "a" * 64
PRICING = {"path": "p", "intimacy": "in-process", "mount": "/opt/pricing"}


def test_a_data_image_is_a_read_only_volume() -> None:
    assert snippet("pricing", Component.model_validate(PRICING), IMAGE) == {
        "volumes": [{"name": "pricing", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}}],
        "containers": [
            {"volumeMounts": [{"name": "pricing", "mountPath": "/opt/pricing", "readOnly": True}]}
        ],
    }


def test_an_image_that_can_copy_is_an_init_container() -> None:
    component = Component.model_validate({**PRICING, "base": "busybox@sha256:" + "b" * 64})
    piece = snippet("pricing", component, IMAGE)
    copying = piece["initContainers"][0]
    assert copying["command"] == ["cp", "-a", "/opt/pricing/.", copying["volumeMounts"][0]["mountPath"]]
    assert piece["volumes"] == [{"name": "pricing", "emptyDir": {}}]
    assert piece["containers"][0]["volumeMounts"][0]["mountPath"] == "/opt/pricing"


def test_a_sidecar_is_a_container_ordinary_or_native() -> None:
    ordinary = {"containers": [{"name": "governance", "image": IMAGE}]}
    component = Component.model_validate({"path": "g", "intimacy": "ipc"})
    assert snippet("governance", component, IMAGE) == sidecar("governance", IMAGE) == ordinary
    native = sidecar("governance", IMAGE, native=True)
    assert native["initContainers"][0]["restartPolicy"] == "Always"


def test_a_hot_upgrade_names_both_images() -> None:
    empty = "registry.example.com/empty@sha256:" + "e" * 64
    container = hot_upgrade("shop", "governance", IMAGE, empty)["spec"]["containers"][0]
    assert container["image"] == IMAGE
    assert container["upgradeStrategy"] == {"upgradeType": "HotUpgrade", "hotUpgradeEmptyImage": empty}
