"""Score workloads as an app spec: everything is carried over or named."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipegraft.appspec.importing.score import import_score
from pipegraft.appspec.importing.taking import Imported
from pipegraft.appspec.rendering.compose import render_compose
from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.resource_providers import pipegraft_resource_providers
from pipegraft.appspec.spec import resolve
from pipegraft.core.errors import ConfigError

SCHEMA = (
    Path(os.environ.get("PIPEGRAFT_SCHEMAS", Path(__file__).parents[3] / "../shared/schemas"))
    / "score-v1b1.json"
)
SCORE = """\
apiVersion: score.dev/v1b1
metadata:
  name: shop
  annotations: {team.example.com/name: team-a}
  team: extra-metadata
service:
  ports:
    www: {port: 8080, protocol: TCP}
    admin: {port: 9000, targetPort: 9001}
    dns: {port: 53, protocol: UDP}
    a-name-that-is-too-long: {port: 7000}
containers:
  main:
    image: .
    command: [/bin/shop]
    args: ["--name=${metadata.name}", "--price=$$5"]
    variables:
      DB: postgres://${resources.db.username}:${resources.db.password}@${resources.db.host}/${resources.db.database}
      ESCAPED: $${resources.db.host}
    files:
      /etc/shop.conf: {content: some-content, mode: "0640", noExpand: true}
      /etc/other.conf: {source: ./some-file}
      /etc/binary: {binaryContent: c29tZQ==}
    volumes:
      /data: {source: "${resources.data}", readOnly: true}
      /part: {source: "${resources.data}", path: sub-path}
    before: {proxy: {ready: started}}
    resources:
      requests: {cpu: 100m, memory: 64Mi}
      limits: {memory: 128Mi}
    livenessProbe:
      httpGet: {path: /live, port: 8080, scheme: HTTP, httpHeaders: [{name: X-H, value: header-value}]}
    readinessProbe: {exec: {command: [probe-command]}}
  proxy:
    image: registry.example.com/proxy:1
    livenessProbe: {httpGet: {path: /, port: 4444, host: example-host}}
resources:
  db: {type: postgres, class: ha, id: main.db, params: {version: "16"}, metadata: {annotations: {ab: note}}}
  data: {type: volume, params: {size: 2Gi}}
  zone: {type: DNS}
"""


def imported(text: str = SCORE) -> Imported:
    into = Imported("shop")
    import_score(yaml.safe_load(text), "score.yaml", into)
    return into


def test_the_example_is_valid_and_sets_every_field_there_is() -> None:
    if not SCHEMA.exists():
        pytest.skip("the official schema is not here")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(SCORE))
    known = set(re.findall(r"\"(\w+)\":", json.dumps(list(properties(schema)))))
    listed = {"target"}  # of files and volumes as lists, see below
    assert known - listed <= set(re.findall(r"([\w-]+):", SCORE))


def properties(schema: Any) -> list[dict[str, None]]:
    if isinstance(schema, list):
        return [found for part in schema for found in properties(part)]
    if not isinstance(schema, dict):
        return []
    own = [dict.fromkeys(schema["properties"])] if isinstance(schema.get("properties"), dict) else []
    return own + [found for part in schema.values() for found in properties(part)]


def test_what_is_carried_over() -> None:
    assert imported().app_file() == {
        "app": "shop",
        "components": {
            "shop": {
                "intimacy": "rpc",
                "ports": {"www": 8080, "admin": 9001, "port-7000": 7000},
                "command": ["/bin/shop"],
                "args": ["--name=shop", "--price=$5"],
                "env": {
                    "DB": "postgres://${resources.db.username}:${resources.db.password}"
                    "@${resources.db.host}/${resources.db.database}",
                    "ESCAPED": "$${resources.db.host}",
                },
                "cpu": "100m",
                "memory": "64Mi",
                "limits": {"memory": "128Mi"},
                "readiness": {"exec": ["probe-command"]},
                "liveness": {"path": "/live"},
                "volumes": {"data": {"path": "/data", "read-only": True, "persistent": {"size": "2Gi"}}},
                "annotations": {"team.example.com/name": "team-a"},
            },
            "proxy": {"intimacy": "ipc", "host": "shop"},
        },
        "resources": {
            "db": {"type": "postgres", "class": "ha", "id": "main.db", "params": {"version": "16"}}
        },
    }
    assert imported().environment_file() == {
        "components": {"proxy": {"image": "registry.example.com/proxy:1"}}
    }


def test_what_is_not_carried_over_is_named() -> None:
    assert imported().left == [
        "score.yaml: metadata.team: extra-metadata",
        "score.yaml: service.ports.admin.port: 9000",
        "score.yaml: service.ports.dns.port: 53",
        "score.yaml: service.ports.dns.protocol: UDP",
        "score.yaml: service.ports.a-name-that-is-too-long.renamed-to: port-7000",
        "score.yaml: containers.main.files./etc/shop.conf.content: some-content",
        "score.yaml: containers.main.files./etc/shop.conf.mode: 0640",
        "score.yaml: containers.main.files./etc/shop.conf.noExpand: True",
        "score.yaml: containers.main.files./etc/other.conf.source: ./some-file",
        "score.yaml: containers.main.files./etc/binary.binaryContent: c29tZQ==",
        "score.yaml: containers.main.volumes./part.source: ${resources.data}",
        "score.yaml: containers.main.volumes./part.path: sub-path",
        "score.yaml: containers.main.before.proxy.ready: started",
        "score.yaml: containers.main.livenessProbe.httpGet.httpHeaders[0].name: X-H",
        "score.yaml: containers.main.livenessProbe.httpGet.httpHeaders[0].value: header-value",
        "score.yaml: containers.proxy.livenessProbe.httpGet.path: /",
        "score.yaml: containers.proxy.livenessProbe.httpGet.port: 4444",
        "score.yaml: containers.proxy.livenessProbe.httpGet.host: example-host",
        "score.yaml: resources.db.metadata.annotations.ab: note",
        "score.yaml: resources.zone.type: DNS",
    ]


def walk(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [found for part in value.values() for found in walk(part)]
    return [found for part in value for found in walk(part)] if isinstance(value, list) else [str(value)]


def test_every_value_is_carried_over_or_named() -> None:
    into = imported()
    said = yaml.safe_dump([into.app_file(), into.environment_file()], width=4096) + "\n".join(into.left)
    understood = {"score.dev/v1b1", ".", "HTTP", "TCP", "9001", "volume"}  # say what a thing is
    texts = [one for one in walk(yaml.safe_load(SCORE)) if one not in understood and "$" not in one]
    assert [one for one in texts if one not in said and one.lower() not in said] == []


def test_volumes_as_a_list() -> None:
    text = SCORE.replace('/data: {source: "${resources.data}", readOnly: true}', "").replace(
        '/part: {source: "${resources.data}", path: sub-path}',
        '- {source: "${resources.data}", target: /data}\n      - {source: "${resources.none}", target: /x}',
    )
    into = imported(text)
    assert into.components["shop"]["volumes"] == {"data": {"path": "/data", "persistent": {"size": "2Gi"}}}
    assert "score.yaml: containers.main.volumes[1].target: /x" in into.left


def test_it_renders() -> None:
    variables = {"HOST": "${resources.db.host}", "NAME": "${metadata.name}"}
    simple = {
        "apiVersion": "score.dev/v1b1",
        "metadata": {"name": "shop"},
        "service": {"ports": {"www": {"port": 80}}},
        "containers": {"main": {"image": "a", "variables": variables}},
        "resources": {"db": {"type": "postgres"}},
    }
    into = Imported("shop")
    import_score(simple, "score.yaml", into)
    assert into.left == []
    providers = {one.name: one for one in pipegraft_resource_providers()}
    resolved = resolve(
        yaml.safe_dump(into.app_file()),
        yaml.safe_dump(into.environment_file()),
        "production",
        platform=Platform(lambda: providers, "compose"),
    )
    services = render_compose(resolved)["services"]
    assert services["shop"]["environment"]["HOST"] == "shop-db"
    assert services["shop"]["environment"]["NAME"] == "shop"


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"apiVersion": "score.dev/v1b2", "metadata": {"name": "a"}, "containers": {"b": {}}},
        {"apiVersion": "score.dev/v1b1", "metadata": {}, "containers": {"b": {}}},
        {"apiVersion": "score.dev/v1b1", "metadata": {"name": "a"}, "containers": {}},
        {"apiVersion": "score.dev/v1b1", "metadata": {"name": "1a"}, "containers": {"b": {"image": "."}}},
    ],
)
def test_what_is_no_score_workload(data: Any) -> None:
    with pytest.raises(ConfigError, match=r"score\.yaml: expected a"):
        import_score(data, "score.yaml", Imported("shop"))


SAMPLE = """\
apiVersion: score.dev/v1b1
metadata: {name: front}
containers:
  front:
    image: registry/front:1
    variables:
      ADS: "${resources.ads.name}:9555"
      PEOPLE: ${resources.people.url}
resources:
  ads: {type: service, params: {version: v1}}
  people: {type: service}
  dns: {type: dns}
  route: {type: route, params: {host: "${resources.dns.host}", path: /shop, port: 8080}}
service: {ports: {admin: {port: 9000}, http: {port: 8080, targetPort: 8080}}}
"""


def test_other_workloads_and_routes_of_the_official_samples() -> None:
    into = Imported("shop")
    import_score(yaml.safe_load(SAMPLE), "score.yaml", into)
    front = into.components["front"]
    assert front["env"] == {"ADS": "ads:9555", "PEOPLE": "${resources.people.url}"}
    assert front["entrance"] == {"port": "http", "path": "/shop"}
    assert into.resources == {"people": {"type": "service"}}  # of which more than the name is asked
    assert into.left == [
        "score.yaml: resources.ads.params.version: v1",
        "score.yaml: resources.dns.type: dns",
        "score.yaml: resources.route.params.host: ${resources.dns.host}",
    ]


def test_a_route_says_its_host() -> None:
    into = Imported("shop")
    sample = SAMPLE.replace("${resources.dns.host}", "shop.example.com").replace("/shop", "/")
    import_score(
        yaml.safe_load(sample.replace("port: 8080}}\nservice", "port: elsewhere}}\nservice")), "s", into
    )
    assert "entrance" not in into.components["front"]
    again = Imported("shop")
    import_score(yaml.safe_load(sample), "score.yaml", again)
    assert again.components["front"]["entrance"] == {"port": "http", "hosts": ["shop.example.com"]}
