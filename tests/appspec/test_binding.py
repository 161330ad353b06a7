"""Resources of an app spec: identity, providers, placeholders, and every mistake with its place."""

from __future__ import annotations

from typing import Any

import pytest

from pipegraft.appspec.model import Reference
from pipegraft.appspec.rendering.compose import render_compose
from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.rendering.oam import render_application
from pipegraft.appspec.resource_binding import UNBOUND, Platform
from pipegraft.appspec.resource_ports import Target
from pipegraft.appspec.resource_providers import pipegraft_resource_providers
from pipegraft.appspec.spec import Resolved, resolve
from pipegraft.core.errors import ConfigError

APP = """\
app: shop
components:
  web:
    image: registry/web@sha256:1
    ports: {http: 8080}
    args: ["--cache", "${resources.cache.host}:6379"]
    env:
      DB_HOST: ${resources.db.host}
      DSN: postgres://${resources.db.username}:${resources.db.password}@${resources.db.host}/x
      LITERAL: $${resources.db.host} $(date) ${OTHER}
resources:
  db: {type: postgres, params: {version: "16"}}
  cache: {type: redis}
"""
CROSSPLANE = """\
providers:
  - {provider: crossplane, options: {group: platform.example.com}}
"""


def resolved(environment: str = CROSSPLANE, app: str = APP, target: Target | None = "kubernetes") -> Resolved:
    providers = {one.name: one for one in pipegraft_resource_providers()}
    return resolve(app, environment, "production", platform=Platform(lambda: providers, target))


def problems(environment: str = CROSSPLANE, app: str = APP) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolved(environment, app)
    return [str(problem) for problem in caught.value.problems]


def environment_of(rendered: Any) -> list[dict[str, Any]]:
    deployment = next(item for item in rendered if item["kind"] == "Deployment")
    found: list[dict[str, Any]] = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return found


def test_an_output_alone_is_a_reference_and_inside_a_text_a_variable_before_it() -> None:
    variables = environment_of(render_kubernetes(resolved()))
    names = [one["name"] for one in variables]
    by_name = {one["name"]: one for one in variables}

    def kept(output: str) -> dict[str, Any]:
        return {"valueFrom": {"secretKeyRef": {"name": "shop-db-connection", "key": output}}}

    assert by_name["DB_HOST"] == {"name": "DB_HOST", **kept("host")}
    assert by_name["DSN"]["value"] == (
        "postgres://$(PIPEGRAFT_RESOURCE_DB_USERNAME):$(PIPEGRAFT_RESOURCE_DB_PASSWORD)"
        "@$(PIPEGRAFT_RESOURCE_DB_HOST)/x"
    )
    for output in ("username", "password", "host"):
        name = f"PIPEGRAFT_RESOURCE_DB_{output.upper()}"
        assert by_name[name] == {"name": name, **kept(output)}
        assert names.index(name) < names.index("DSN")


def test_what_is_escaped_or_means_something_else_stays() -> None:
    variables = {one["name"]: one for one in environment_of(render_kubernetes(resolved()))}
    assert variables["LITERAL"]["value"] == "${resources.db.host} $(date) ${OTHER}"


def test_placeholders_in_arguments() -> None:
    rendered = render_kubernetes(resolved())
    container = next(one for one in rendered if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert container["containers"][0]["args"] == ["--cache", "$(PIPEGRAFT_RESOURCE_CACHE_HOST):6379"]


def test_the_same_spec_for_every_target() -> None:
    kinds = [item["kind"] for item in render_kubernetes(resolved())]
    assert kinds == ["PostgreSQL", "Redis", "Deployment", "Service"]
    components = render_application(resolved(target="oam"))["spec"]["components"]
    assert [(one["name"], one["type"]) for one in components] == [
        ("shop-db", "k8s-objects"),
        ("shop-cache", "k8s-objects"),
        ("web", "webservice"),
    ]
    services = render_compose(resolved(target="compose"))["services"]
    assert list(services) == ["shop-db", "shop-cache", "web"]
    password = "${SHOP_DB_CONNECTION_PASSWORD:?set it to the key password of shop-db-connection}"
    assert services["web"]["environment"]["DB_HOST"] == "shop-db"
    assert services["web"]["environment"]["DSN"] == f"postgres://app:{password}@shop-db/x"
    assert services["web"]["environment"]["LITERAL"] == "$${resources.db.host} $$(date) $${OTHER}"
    assert services["web"]["command"] == ["--cache", "shop-cache:6379"]
    assert services["shop-db"]["environment"]["POSTGRES_PASSWORD"] == password
    healthy = {"condition": "service_healthy"}
    assert services["web"]["depends_on"] == {"shop-db": healthy, "shop-cache": healthy}
    assert services["shop-db"]["image"] == "docker.io/library/postgres:16"


def test_a_terraform_component_comes_before_those_who_use_it() -> None:
    there = "providers: [{provider: kubevela-terraform, options: {component: acme-rds}}]\n"
    components = {
        one["name"]: one for one in render_application(resolved(there, target="oam"))["spec"]["components"]
    }
    assert components["web"]["dependsOn"] == ["shop-db", "shop-cache"]


def test_resources_with_an_id_may_be_applied_by_several_applications() -> None:
    app = APP.replace("{type: redis}", "{type: redis, id: sessions}")
    policies = render_application(resolved(app=app, target="oam"))["spec"]["policies"]
    assert policies == [
        {
            "name": "shared-resources",
            "type": "shared-resource",
            "properties": {"rules": [{"selector": {"componentNames": ["redis-default-sessions"]}}]},
        }
    ]


def test_one_identity_is_one_resource() -> None:
    app = APP + "  orders: {type: postgres, id: main}\n  audit: {type: postgres, id: main}\n"
    found = resolved(app=app).resources
    assert [one.request.identity for one in found] == [
        "postgres.default#shop.db",
        "redis.default#shop.cache",
        "postgres.default#main",
    ]
    assert found[-1].names == ("orders", "audit")
    assert [one.request.name for one in found] == ["shop-db", "shop-cache", "postgres-default-main"]


def test_one_identity_has_one_set_of_parameters() -> None:
    more = """\
  orders: {type: postgres, id: main}
  audit: {type: postgres, id: main, params: {storage: 1Gi}}
"""
    app = APP + more
    (problem,) = problems(app=app)
    assert problem.startswith("app.yaml:15:37: 'orders' and 'audit' are the same resource and have")


def test_an_environment_sets_class_and_parameters() -> None:
    there = """\
resources:
  db: {class: ha, params: {storage: 20Gi, version: null}}
providers:
  - {provider: crossplane, class: ha, options: {group: ha.example.com}}
  - {provider: crossplane, options: {group: platform.example.com}}
"""
    database, cache = render_kubernetes(resolved(there))[:2]
    assert database["apiVersion"] == "ha.example.com/v1"
    assert database["spec"]["storage"] == "20Gi"
    assert "version" not in database["spec"]
    assert database["metadata"]["annotations"]["pipegraft.dev/resource"] == "postgres.ha#shop.db"
    assert cache["apiVersion"] == "platform.example.com/v1"


def test_the_first_choice_that_fits_provides() -> None:
    there = """\
providers:
  - {provider: crossplane, id: elsewhere, options: {group: a.example.com}}
  - {provider: crossplane, type: redis, options: {group: b.example.com}}
  - {provider: kubevela-terraform, options: {component: acme}}
  - {provider: crossplane, options: {group: c.example.com}}
"""
    versions = [item["apiVersion"] for item in render_kubernetes(resolved(there))[:2]]
    assert versions == ["c.example.com/v1", "b.example.com/v1"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "db: {type: postgres",
            "db: {type: postgress",
            "app.yaml:12:8: there is no resource type 'postgress'; "
            "there are: bucket, mysql, postgres, redis, sqlite\n    fix: write 'postgres'",
        ),
        (
            'params: {version: "16"}',
            'params: {verion: "16"}',
            "app.yaml:12:33: postgres has no parameter 'verion'; it has: version, storage, database\n"
            "    fix: write 'version'",
        ),
        (
            'version: "16"',
            "version: 16",
            "app.yaml:12:33: 'resources.db.params.version': "
            "expected a string like ^\\d+(\\.\\d+)*$, found 16",
        ),
        (
            "DB_HOST: ${resources.db.host}",
            "DB_HOST: ${resources.dbb.host}",
            "app.yaml:8:7: there is no resource 'dbb'; there are: db, cache\n    fix: write 'db'",
        ),
        (
            "DB_HOST: ${resources.db.host}",
            "DB_HOST: ${resources.db.hst}",
            "app.yaml:8:7: resource 'db' has no output 'hst'; "
            "it has: host, port, database, username, password\n    fix: write 'host'",
        ),
        (
            "DB_HOST: ${resources.db.host}",
            "DB_HOST: ${resources.db}",
            "app.yaml:8:7: expected ${resources.NAME.OUTPUT}, found ${resources.db}",
        ),
        (
            "DB_HOST: ${resources.db.host}",
            "DB_HOST: ${resource.db.host}",
            "app.yaml:8:7: expected ${resources.NAME.OUTPUT}, found ${resource.db.host}",
        ),
        (
            "image: registry/web@sha256:1",
            "image: registry/${resources.db.password}@sha256:1",
            "app.yaml:4:5: ${resources.db.password} is kept in a secret and known only where the container "
            "runs\n    fix: use it in 'env', 'command' or 'args'",
        ),
    ],
)
def test_a_mistake_in_app_yaml(old: str, new: str, problem: str) -> None:
    assert problems(app=APP.replace(old, new, 1)) == [problem]


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (
            CROSSPLANE.replace("crossplane", "crosplane"),
            "environments/production.yaml:2:16: there is no resource provider called 'crosplane'; "
            "there are: local, crossplane, kubevela-terraform\n    fix: write 'crossplane'",
        ),
        (
            CROSSPLANE.replace("group", "grup"),
            "environments/production.yaml:2:28: 'providers[0].options.group' is missing",
        ),
        (
            CROSSPLANE.replace("options", "type: sqlite, options"),
            "environments/production.yaml:2:34: crossplane provides no sqlite; "
            "it provides: postgres, mysql, redis, bucket",
        ),
        (
            f"{CROSSPLANE}resources: {{dbx: {{class: ha}}}}\n",
            "environments/production.yaml:3:13: resource 'dbx' is not declared in app.yaml; "
            "there are: db, cache\n    fix: write 'db'",
        ),
        (
            "resources: {db: {class: ha}}\nproviders:\n"
            "  - {provider: crossplane, type: postgres, class: small, options: {group: a.example.com}}\n"
            "  - {provider: crossplane, type: redis, options: {group: a.example.com}}\n",
            "environments/production.yaml:1:13: in production nobody provides postgres of class 'ha' for the "
            "target kubernetes; of postgres there are: small\n"
            "    fix: name who provides it under 'providers' in environments/production.yaml",
        ),
    ],
)
def test_a_mistake_in_the_environment(environment: str, problem: str) -> None:
    found = problems(environment)
    assert any(one.startswith(problem) for one in found), found


def test_a_provider_that_is_not_for_the_target_is_named() -> None:
    there = "providers: [{provider: kubevela-terraform, options: {component: acme}}]\n"
    assert problems(there)[0] == (
        "app.yaml:12:3: in production nobody provides postgres of class 'default' for the target kubernetes: "
        "kubevela-terraform provides it for oam\n"
        "    fix: name who provides it under 'providers' in environments/production.yaml, as a list: "
        "{provider: crossplane, type: postgres, options: {group: …}}"
    )


def test_all_mistakes_come_at_once() -> None:
    app = APP.replace("cache: {type: redis}", "cache: {type: redis, params: {size: 1}}").replace(
        "${resources.db.host}", "${resources.db.nothing}", 1
    )
    assert [one.split(": ")[0] for one in problems(app=app)] == ["app.yaml:8:7", "app.yaml:13:33"]


def test_a_name_that_a_component_has_is_refused() -> None:
    app = APP.replace("web:\n", "shop-db:\n")
    assert problems(app=app)[0].startswith(
        "app.yaml:12:3: resource 'db' and component 'shop-db' would both be called 'shop-db'"
    )


def test_without_providers_the_embedded_engine_provides() -> None:
    components = render_application(resolved("namespace: a\n", target="oam"))["spec"]["components"]
    assert components[0]["properties"]["objects"][0]["kind"] == "LocalResource"
    assert problems("namespace: a\n")[0].startswith("app.yaml:12:3: in production nobody provides postgres")


def test_namespaces_of_one_engine_do_not_share_secrets() -> None:
    def secret(environment: str) -> str:
        found = resolved(environment, target="oam").resources[0].provision.outputs["password"]
        assert isinstance(found, Reference)
        return found.secret or ""

    assert secret("namespace: one\n") != secret("namespace: two\n")


def test_a_spec_without_resources_loads_no_provider() -> None:
    def load() -> Any:
        raise AssertionError("loaded")

    app = "app: shop\ncomponents: {web: {image: a}}\n"
    assert resolve(app, "namespace: a\n", "production", platform=Platform(load, "oam")).resources == ()


def test_who_looks_at_other_things_needs_no_provider() -> None:
    found = resolve(APP, CROSSPLANE, "production", platform=UNBOUND)
    assert found.resources == ()
    assert (found.pods[0].main.spec.env or {})["DB_HOST"] == "${resources.db.host}"
