from __future__ import annotations

import pytest

from pipegraft.appspec.model import AppComponent, Reference
from pipegraft.appspec.pods import merge
from pipegraft.appspec.spec import resolve
from pipegraft.core.errors import ConfigError

APP = """\
app: shop
components:
  web:
    ports: {http: 8080}
    env: {GREETING: hello, DEBUG: "1"}
    readiness: {path: /healthz, period: 5s}
    entrance: {via: governance}
  pricing: {intimacy: in-process, host: web, mount: /opt/pricing}
  governance: {intimacy: ipc, host: web, ports: {http: 8000}}
"""
PRODUCTION = """\
release: {number: 12, source: 4be1}
components:
  web: {image: "r/web@sha256:1", replicas: 2}
  pricing: {image: "r/pricing@sha256:1"}
  governance: {image: "r/governance@sha256:1"}
"""
GRAY = """\
gray:
  release: {number: 13, source: 77aa}
  weight: 5
  phase: step
  components:
    web: {image: "r/web@sha256:2"}
"""


def problems(app: str, environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(app, environment, "production")
    return [str(problem).splitlines()[0] for problem in caught.value.problems]


def test_everything_wrong_with_both_files_is_told_at_once() -> None:
    app = APP.replace("GREETING: hello", "GREETING: 5").replace("{intimacy: ipc", "{intimcy: ipc")
    there = PRODUCTION.replace("replicas: 2", "replicas: true").replace("  pricing:", "  prices:")
    assert problems(app, there + "without: [stock]\n") == [
        "app.yaml:5:21: 'components.web.env.GREETING': expected text; put quotes around it, found 5",
        "app.yaml:9:16: unknown key 'components.governance.intimcy'",
        "environments/production.yaml:3:44: 'components.web.replicas': expected a whole number, found true",
        "environments/production.yaml:4:3: component 'prices' is not declared in app.yaml",
        "environments/production.yaml:6:11: component 'stock' is not declared in app.yaml; there are: web,"
        " pricing, governance",
    ]


def test_components_gather_in_the_pod_of_their_host() -> None:
    resolved = resolve(APP, PRODUCTION, "production")
    (pod,) = resolved.pods
    assert (resolved.name, resolved.namespace) == ("shop-production", "shop-production")
    assert [member.name for member in pod.sidecars] == ["governance"]
    assert [member.name for member in pod.mounted] == ["pricing"]
    assert pod.entrance == ("governance", 8000)
    assert pod.variables() == {
        "PIPEGRAFT_PORT_WEB": "8080",
        "PIPEGRAFT_PORT_GOVERNANCE": "8000",
        "PIPEGRAFT_MOUNT_PRICING": "/opt/pricing",
    }


def test_the_environment_wins_key_by_key_and_null_takes_away() -> None:
    overlay = PRODUCTION.replace(
        "replicas: 2", "env: {DEBUG: null, MODE: live}, readiness: {period: 1s}, ports: {admin: 9000}"
    )
    spec = resolve(APP, overlay, "production").pods[0].main.spec
    assert spec.env == {"GREETING": "hello", "MODE": "live"}
    assert spec.readiness is not None
    assert (spec.readiness.path, spec.readiness.period) == ("/healthz", 1)
    assert spec.ports == {"http": 8080, "admin": 9000}


def test_null_takes_a_whole_block_away() -> None:
    overlay = PRODUCTION.replace("replicas: 2", "readiness: null")
    assert resolve(APP, overlay, "production").pods[0].main.spec.readiness is None


def test_an_overlay_of_nothing_equals_the_base() -> None:
    base = merge(AppComponent(), AppComponent.model_validate({"env": {"A": "1"}, "replicas": 3}))
    assert merge(base, AppComponent()) == base


def test_a_gray_block_makes_a_second_version_of_the_pods_it_changes() -> None:
    gray = resolve(APP, PRODUCTION + GRAY, "production").gray
    assert gray is not None
    assert (gray.weight, gray.phase, gray.release.number) == (5, "step", 13)
    assert [pod.main.spec.image for pod in gray.pods.values()] == ["r/web@sha256:2"]
    assert gray.pods["web"].main.spec.replicas == 2


def test_a_gray_release_of_a_sidecar_makes_a_second_version_of_its_host() -> None:
    block = GRAY.replace('web: {image: "r/web@sha256:2"}', 'governance: {image: "r/governance@sha256:2"}')
    gray = resolve(APP, PRODUCTION + block, "production").gray
    assert gray is not None
    assert [member.spec.image for member in gray.pods["web"].sidecars] == ["r/governance@sha256:2"]


def test_every_problem_is_told_with_its_place() -> None:
    wrong = PRODUCTION.replace('pricing: {image: "r/pricing@sha256:1"}', "pricin: {image: x}")
    assert problems(APP, wrong) == [
        "app.yaml:8:3: component 'pricing' has no image",
        "environments/production.yaml:4:3: component 'pricin' is not declared in app.yaml",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("host: web, ports", "host: shop, ports", "'shop' is not an rpc component; there are: web"),
        ("{http: 8000}", "{http: 8080}", "share one pod and both listen on 8080"),
        ("via: governance", "via: pricing", "the entrance of 'web' leads to no port"),
        ("{path: /healthz", "{port: admin", "'web' has no port 'admin' to probe; there are: http"),
        (", mount: /opt/pricing", "", "'pricing' is in-process and has no 'mount'"),
        ("mount: /opt/pricing", "mount: /x, replicas: 2", "'replicas' belongs to the pod's main component"),
        ("intimacy: ipc, host: web", "intimacy: ipc, host: web, mount: /x", "'mount' is for in-process"),
        ("  web:\n", "  web-gray: {image: x}\n  web:\n", "is the name of the new version of 'web'"),
        ("intimacy: ipc, host: web", "intimacy: rpc, host: web, image: x", "'host' is for components in"),
        ("GREETING: hello", "PIPEGRAFT_PORT_X: '1'", "are set by Pipegraft"),
        ("GREETING: hello", "GREETING: 1", "expected text; put quotes around it, found 1"),
        ("GREETING: hello", "GREETING: {secret: a}", "'components.web.env.GREETING.key' is missing"),
        ("period: 5s", "period: 1500ms", "expected whole seconds"),
        ("intimacy: ipc", "intimacy: icp", "expected 'in-process', 'ipc' or 'rpc', found 'icp'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(old: str, new: str, expected: str) -> None:
    assert old in APP
    assert any(expected in problem for problem in problems(APP.replace(old, new), PRODUCTION))


def test_a_gray_block_cannot_move_a_component() -> None:
    block = GRAY.replace('web: {image: "r/web@sha256:2"}', "governance: {intimacy: rpc, host: null}")
    assert any("cannot move 'governance'" in problem for problem in problems(APP, PRODUCTION + block))


WHOLE = """\
components:
  web: {image: w}
  pricing: {image: p}
  governance: {image: g}
"""


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("autoscaling: {cpu: 70}", "the autoscaling of 'web' has no 'max'"),
        ("autoscaling: {min: 4, max: 3, cpu: 70}", "expected 'min' to be at most 'max', found 4 and 3"),
        ("autoscaling: {max: 3}", "the autoscaling of 'web' has nothing to go by"),
        ("autoscaling: {max: 3, cpu: 70}, cpu: 100m", "and 'governance' says none"),
        ("autoscaling: {max: 3, cpu: 70}, replicas: 2", "'web' has both 'replicas' and 'autoscaling'"),
        ("memory: 1Gi, limits: {memory: 900Mi}", "the limit 900Mi is less than the 1Gi"),
        ("cpu: '1', limits: {cpu: 900m}", "the limit 900m is less than the 1 that are kept"),
        ("update: {strategy: recreate, surge: 1}", "'surge' is for rolling updates"),
        ("update: {surge: 0, unavailable: 0%}", "no update can begin"),
        ("update: {surge: lots}", "or a share of them such as 25%, found 'lots'"),
        ("disruption: {min-available: 1, max-unavailable: 1}", "expected either 'min-available' or"),
        ("volumes: {data: {persistent: {size: 1Gi}}}", "the volume 'data' of 'web' has no 'path'"),
        ("volumes: {data: {path: /d, persistent: {}}}", "the persistent volume 'data' has no 'size'"),
        ("volumes: {data: {path: /d, config: a, secret: b}}", "found 'config' and 'secret'"),
        ("volumes: {pricing: {path: /d}}", "is the volume of an in-process component already"),
        ("volumes: {data: {path: /opt/pricing/}}", "are both mounted at /opt/pricing"),
        (
            "replicas: 2, volumes: {data: {path: /d, persistent: {size: 1Gi}}}",
            "can be used from one node, and 'web' has several instances",
        ),
        ("sidecar: native", "'sidecar' is for components in another one's pod"),
        ("job: {}, ports: null, entrance: null, readiness: null", "would never end beside 'governance'"),
        ("job: {time-zone: Europe/Berlin}", "'time-zone' needs a 'schedule'"),
        ("job: {schedule: daily}", "expected text that matches"),
        ("annotations: {pipegraft.dev/x: y}", "annotations of pipegraft.dev are set by Pipegraft"),
        ("security: {capabilities: {net_admin: add}}", "expected text that matches"),
    ],
)  # fmt: skip
def test_traits_that_do_not_fit_are_refused_with_their_place(keys: str, expected: str) -> None:
    found = problems(APP, WHOLE.replace("image: w", f"image: w, {keys}"))
    assert any(expected in problem for problem in found), found
    assert all(problem.startswith(("app.yaml:", "environments/production.yaml:")) for problem in found)


def test_policies_lie_below_every_layer_and_null_takes_them_away() -> None:
    app = "policies: {security: {user: 7, files-group: 9}, spread: {zone: required}, sidecar: native}\n" + APP
    overlay = WHOLE.replace("image: w", "image: w, spread: null, security: {user: 8}")
    (pod,) = resolve(app, "policies: {security: {non-root: true}}\n" + overlay, "production").pods
    security, beside = pod.main.spec.security, pod.sidecars[0]
    assert security is not None
    assert (security.user, security.non_root, security.files_group) == (8, True, 9)
    assert pod.main.spec.spread is None
    assert beside.sidecar == "native"
    assert beside.spec.security is not None
    assert (beside.spec.security.user, beside.spec.security.files_group) == (7, None)


def test_volumes_merge_by_name_and_key_and_references_whole() -> None:
    app = (
        APP.replace("ports: {http: 8080}", "volumes: {data: {path: /d, persistent: {size: 1Gi}}}")
        .replace('DEBUG: "1"', "DEBUG: {secret: a, key: b}")
        .replace("    readiness: {path: /healthz, period: 5s}\n", "")
    )
    overlay = WHOLE.replace(
        "image: w",
        "image: w, volumes: {data: {persistent: {size: 2Gi}}, tmp: {path: /tmp}}, "
        "env: {DEBUG: {config: c, key: k}}",
    )
    spec = resolve(app, overlay, "production").pods[0].main.spec
    assert spec.volumes is not None
    data = spec.volumes["data"]
    assert data is not None
    assert data.persistent is not None
    assert (data.path, data.persistent.size, list(spec.volumes)) == ("/d", "2Gi", ["data", "tmp"])
    debug = (spec.env or {})["DEBUG"]
    assert isinstance(debug, Reference)
    assert (debug.config, debug.secret) == ("c", None)


SEVERAL = """\
app: shop
components:
  web: {image: "r/web@sha256:1", ports: {http: 8080}, entrance: {via: mesh}}
  mesh: {image: "r/mesh@sha256:1", intimacy: ipc, host: web, ports: {proxy: 9000}}
  nightly: {image: "r/nightly@sha256:1", job: {schedule: "0 3 * * *"}}
"""


def test_an_environment_is_without_components_whatever_it_says_of_them() -> None:
    there = "without: [nightly]\ncomponents: {nightly: {image: 'r/nightly@sha256:2', cpu: 1m}}\n"
    gray = (
        "gray: {release: {number: 2, source: a}, weight: 5, phase: step, components: {nightly: {image: x}}}\n"
    )
    resolved = resolve(SEVERAL, there + gray, "test")
    assert [pod.name for pod in resolved.pods] == ["web"]
    assert resolved.gray is not None
    assert dict(resolved.gray.pods) == {}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("[web]", "app.yaml:4:51: 'web' is not an rpc component; there are: nightly"),
        ("[mesh]", "app.yaml:3:55: the entrance of 'web' leads to no port"),
        (
            "[mesch]",
            "environments/test.yaml:1:11: component 'mesch' is not declared in app.yaml; "
            "there are: web, mesh, nightly",
        ),
        ("[web, mesh, nightly]", "environments/test.yaml:1:10: nothing is left of the application here"),
    ],
)
def test_what_does_not_fit_without_a_component_is_an_error(names: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(SEVERAL, f"without: {names}\n", "test")
    assert any(message in str(problem) for problem in caught.value.problems), caught.value.problems
