"""What a repository tells about an application."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pipegraft.appspec.importing.first_files import Answers, gate_options, write_files
from pipegraft.appspec.importing.survey import Survey, Tree, survey
from pipegraft.appspec.importing.taking import name_from
from pipegraft.core.delivery import BuildCache, Delivery
from pipegraft.images.dockerfile import exposed_ports

COMPOSE = """\
services:
  web:
    build: {context: ./services/web, target: prod}
    ports: ["8080:80"]
    environment:
      DATABASE_URL: postgres://shop:hunter2@db:5432/orders?sslmode=disable
      CACHE_HOST: cache
      CACHE_PORT: "6379"
      CACHE_PASSWORD: hunter3
      SESSION_SECRET: hunter4
      GREETING: hello, $$USER
      HOME_OF_SHELL: ${HOME}
      FLAG: true
    volumes: [data:/data]
    depends_on: [db]
  worker:
    build: services/worker
    command: python -m worker --fast
    environment: [QUEUE=orders, FROM_SHELL]
  db: {image: "postgres:16.2-alpine", environment: {POSTGRES_DB: orders, POSTGRES_PASSWORD: hunter2}}
  cache: {image: "docker.io/library/redis:7"}
  mail: {image: mailhog/mailhog}
  outside: {build: ../other}
volumes: {data: {}}
"""


def look(files: dict[str, str], app: str = "shop") -> Survey:
    return survey(Tree(sorted(files), files.get), app)


def written(files: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
    answers = Answers(
        "shop", "registry.example.com/shop", "../shop-iac", "main", ("production",), "embedded",
        gate_options("embedded"),
    )  # fmt: skip
    made = write_files(look(files), answers)
    return yaml.safe_load(made.delivery), yaml.safe_load(made.iac["app.yaml"]), made.left


def test_a_compose_file_tells_components_ports_variables_and_resources() -> None:
    files = {
        "compose.yaml": COMPOSE,
        "services/web/Dockerfile": "FROM a\nEXPOSE 80\n",
        "Dockerfile": "FROM b\n",
    }
    delivery, app, left = written(files)
    assert {name: one["path"] for name, one in delivery["components"].items()} == {
        "web": "services/web",
        "worker": "services/worker",
    }
    assert app["resources"] == {
        "db": {"type": "postgres", "params": {"version": "16", "database": "orders"}},
        "cache": {"type": "redis", "params": {"version": "7"}},
    }
    web = app["components"]["web"]
    assert web["ports"] == {"http": 80}
    assert web["entrance"] == {}
    assert web["env"] == {
        "DATABASE_URL": "postgres://${resources.db.username}:${resources.db.password}"
        "@${resources.db.host}:${resources.db.port}/${resources.db.database}?sslmode=disable",
        "CACHE_HOST": "${resources.cache.host}",
        "CACHE_PORT": "${resources.cache.port}",
        "CACHE_PASSWORD": "${resources.cache.password}",
        "SESSION_SECRET": {"secret": "shop-web", "key": "SESSION_SECRET"},
        "GREETING": "hello, $USER",
        "FLAG": "true",
    }
    assert app["components"]["worker"] == {"intimacy": "rpc", "env": {"QUEUE": "orders"}}
    assert delivery["components"]["worker"]["command"] == ["python", "-m", "worker", "--fast"]
    assert list(left) == [
        "compose.yaml: service web: ports[0]: 8080:80 (the port of the host)",
        "compose.yaml: service web: depends_on (components start in any order and try again)",
        "compose.yaml: service web: volumes[0]: data:/data (write it as `volumes`, with the size it needs)",
        "compose.yaml: service outside: is built outside of the repository, in '../other'",
        "compose.yaml: service mail: runs mailhog/mailhog, which is not built here",
        "the value of variable 'SESSION_SECRET' of 'web': it looks like a secret; put it under the key "
        "'SESSION_SECRET' into the secret 'shop-web'",
        "variable 'HOME_OF_SHELL' of 'web': its value comes from the shell",
        "variable 'FROM_SHELL' of 'worker': its value comes from the shell",
    ]


def test_no_secret_of_the_compose_file_gets_into_a_file() -> None:
    delivery, app, left = written({"compose.yaml": COMPOSE})
    assert "hunter" not in repr((delivery, app, left))


def test_dockerfiles_tell_components_and_ports() -> None:
    found = look(
        {
            "api/Dockerfile": "FROM a AS build\nEXPOSE 1\nFROM b\nARG PORT=9000\nEXPOSE ${PORT} 9001/tcp\n",
            "tools/api/Dockerfile": "FROM scratch\n",
            "tests/Dockerfile": "FROM a\n",
            "Dockerfile": "FROM a\nEXPOSE 80\n",
            "Jenkinsfile": "",
        }
    )
    assert [(one.name, one.path, dict(one.ports)) for one in found.components] == [
        ("shop", ".", {"http": 80}),
        ("api", "api", {"port-9000": 9000, "port-9001": 9001}),
        ("tools-api", "tools/api", {}),
    ]
    assert found.pipelines == ("Jenkinsfile",)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["package.json"], [("shop", ".", ("node", "."))]),
        (["go.mod", "main.go"], [("shop", ".", ("./app",))]),
        (
            ["package.json", "services/web/package.json", "services/pay/pyproject.toml"],
            [("pay", "services/pay", ("python3", "-m", "app")), ("web", "services/web", ("node", "."))],
        ),
        (["README.md"], []),
    ],
)
def test_sources_without_a_dockerfile(files: list[str], expected: list[Any]) -> None:
    found = look(dict.fromkeys(files, ""))
    assert [(one.name, one.path, one.command) for one in found.components] == expected


@pytest.mark.parametrize(
    "text",
    ["services: [", "services: []", "version: 3", "services: {web: }", "services: {web: {build: 5}}", ""],
)
def test_a_compose_file_that_makes_no_sense_stops_nothing(text: str) -> None:
    found = look({"compose.yaml": text, "package.json": "{}"})
    assert [one.name for one in found.components] == ["shop"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Shop", "shop"),
        ("my_shop.v2", "my-shop-v2"),
        ("42-web", "web"),
        ("日本", "app"),
        ("a" * 99, "a" * 40),
    ],
)
def test_names(text: str, name: str) -> None:
    assert name_from(text) == name


def test_ports_that_are_no_numbers_are_left_out() -> None:
    assert exposed_ports("FROM a\nEXPOSE $PORT 99999 8080-8090/udp 8080\n") == (8080,)


def test_a_service_that_another_tool_builds_tells_of_the_component_of_its_name() -> None:
    boot = "<project><plugin><artifactId>spring-boot-maven-plugin</artifactId></plugin></project>"
    compose = """\
services:
  vets: {image: a/vets, ports: ["8083:8080"], environment: {MQ: "amqp://rabbit:5672"}, restart: "no"}
  rabbit: {image: rabbitmq}
"""
    pom = "<project><packaging>pom</packaging><modules><module>vets</module></modules></project>"
    files = {"pom.xml": pom, "vets/pom.xml": boot, "compose.yaml": compose}
    _, app, left = written(files)
    assert app["components"]["vets"] == {
        "intimacy": "rpc",
        "ports": {"http": 8080},
        "env": {"MQ": "amqp://rabbit:5672"},
        "entrance": {},
    }
    assert (
        "compose.yaml: service rabbit: runs rabbitmq, which is not built here; it is named by vets (MQ)"
        in left
    )


def test_a_service_with_a_command_of_its_own_does_not_listen_where_its_image_does() -> None:
    compose = """\
x-app: &app {build: ., environment: {DATABASE_URL: "postgres://u:hunter2@db/x"}}
services:
  web: *app
  worker: {<<: *app, command: bundle exec sidekiq}
  migrate: {<<: *app, command: bin/migrate, restart: "no"}
"""
    _, app, left = written({"compose.yaml": compose, "Dockerfile": "FROM a\nEXPOSE 3000\n"})
    assert {name: one.get("ports") for name, one in app["components"].items()} == {
        "web": {"http": 3000},
        "worker": None,
    }
    assert "hunter2" not in repr(left)


@pytest.mark.parametrize(
    ("files", "components"),
    [
        (
            {"go.mod": "module a", "cmd/api/main.go": "package main", "build/api/Dockerfile": "FROM a"},
            {"api": (".", {"dockerfile": "build/api/Dockerfile"})},
        ),
        (
            {
                "settings.gradle": "include 'orders'\n",
                "orders/build.gradle": "plugins { id 'application' }",
                "orders/src/main/docker/Dockerfile.jvm": "FROM a",
            },
            {"orders": ("orders", {"dockerfile": "src/main/docker/Dockerfile.jvm"})},
        ),
        (
            {"apps/shop/project.json": '{"projectType": "application"}', "libs/a/project.json": "{}"},
            {"shop": ("apps/shop", {})},
        ),
        (
            {
                "pyproject.toml": "[tool.uv.workspace]\n",
                "a/pyproject.toml": '[project.scripts]\nserve = "a:b"\n',
            },
            {"a": ("a", {})},
        ),
    ],
)
def test_where_a_program_is_built(files: dict[str, str], components: dict[str, object]) -> None:
    found = look(files).components
    assert {one.name: (one.path, dict(one.build_keys)) for one in found} == components


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"Jenkinsfile.prod": "pipeline { }", "Jenkinsfile.md": "# how"}, ["Jenkinsfile.prod"]),
        ({"ci/deploy.jenkinsfile": "node { }", "tests/Jenkinsfile": "node { }"}, ["ci/deploy.jenkinsfile"]),
        (
            {"ci/pipeline.yml": "stages: [a]\na:\n  script: b\n", "ci/jobs.yml": "c:\n  script: d\n"},
            ["ci/pipeline.yml"],
        ),
        ({".gitlab/ci.yaml": "build:\n  stage: a\n  script:\n    - make\n"}, [".gitlab/ci.yaml"]),
        ({"azure-pipelines.yml": "steps:\n  script: a\n", "ci/values.yml": "a: b\n"}, []),
        (
            {
                "jobs/build.groovy": "// ours\npipeline {\n}\n",
                "vars/deliver.groovy": "def call() {\n  pipeline { }\n}\n",
                "ops/delivery.yml": "stages: [a]\na:\n  script: b\n",
                ".travis.yml": "stages: [a]\njobs:\n  script: b\n",
                "deploy/values.yml": "web:\n  script: b\n",
            },
            ["jobs/build.groovy", "ops/delivery.yml"],
        ),
        ({".gitlab-ci.yml": "a: {script: b}\n", "ci/jobs.yml": "c:\n  script: d\n"}, [".gitlab-ci.yml"]),
    ],
)
def test_pipelines_under_other_names_are_found(files: dict[str, str], found: list[str]) -> None:
    assert list(look({**files, "Dockerfile": "FROM a"}).pipelines) == found


RICH = {
    "name": "shop",
    "services": {
        "web": {
            "build": {"context": "web", "args": {"A": "1"}, "ssh": ["default"]},
            "ports": ["8080:80", "9000-9005:9000-9005", "53:53/udp"],
            "expose": ["81"],
            **{key: ["one"] for key in ("networks", "depends_on")},
            **dict.fromkeys(("restart", "hostname", "healthcheck", "deploy", "x-own"), "some"),
        },
        "worker": {"build": "worker", "ports": ["8081:90"]},
        "db": {"image": "postgres:16", "volumes": ["data:/data"], "healthcheck": {"test": "x"}},
    },
    **{key: {} for key in ("networks", "volumes", "secrets", "configs")},
    "x-own": "kept",
}


def test_every_key_of_a_compose_file_is_used_or_named() -> None:
    _, app, left = written({"compose.yaml": yaml.safe_dump(RICH)})
    said = "\n".join(left)
    used = {"ports", "expose", "build", "image", "restart", "hostname", "volumes", "healthcheck"}
    named = {f"service {name}: {key}" for name, one in RICH["services"].items() for key in one.keys() - used}
    for words in (
        *named,
        "x-own (read where services take it in)",
        "service web: build.ssh (an agent's keys reach no build here",
        "service web: healthcheck: some",
        "service web: ports[1]: 9000-9005:9000-9005 (no single TCP port)",
        "service web: ports[2]: 53:53/udp (no single TCP port)",
    ):
        assert words in said
    assert app["components"]["web"]["ports"] == {"port-80": 80, "port-81": 81}
    assert {name: "entrance" in one for name, one in app["components"].items()} == {
        "web": True,
        "worker": True,
    }


def test_addresses_of_resources_in_every_form_become_theirs() -> None:
    compose = """\
services:
  api:
    build: .
    environment:
      SPRING_DATASOURCE_URL: jdbc:postgresql://db:5432/shop?ssl=false
      SPRING_DATASOURCE_USERNAME: shop
      SPRING_DATASOURCE_PASSWORD: hunter2
      CACHE: cache:6379
      HOSTS: "a=cache:6379,b"
  db: {image: "postgres:16"}
  cache: {image: "redis:7"}
"""
    _delivery, app, left = written({"compose.yaml": compose, "Dockerfile": "FROM a\n"})
    db = "${resources.db.host}:${resources.db.port}/${resources.db.database}"
    assert app["components"]["api"]["env"] == {
        "SPRING_DATASOURCE_URL": f"jdbc:postgresql://{db}?ssl=false",
        "SPRING_DATASOURCE_USERNAME": "${resources.db.username}",
        "SPRING_DATASOURCE_PASSWORD": "${resources.db.password}",
        "CACHE": "${resources.cache.host}:${resources.cache.port}",
        "HOSTS": "a=cache:6379,b",
    }
    assert "the address of 'cache' in variable 'HOSTS' of 'api': it is the resource 'cache' now" in left


def test_a_build_section_becomes_the_keys_of_a_component() -> None:
    compose = """\
services:
  web:
    build:
      context: .
      dockerfile: services/web/prod.Dockerfile
      target: runtime
      args: {LEVEL: production, SHELL: "${USER}"}
      platforms: [linux/amd64, linux/arm64]
      additional_contexts: [shared=libraries/shared, tools=docker-image://node:22, base=service:api]
      ssh: [default]
  api:
    build: {context: api, dockerfile: ../Dockerfile.api}
"""
    files = {"compose.yaml": compose, "services/web/prod.Dockerfile": "FROM a\nEXPOSE 8080\n", "api/x": ""}
    delivery, app, left = written(files)
    assert delivery["components"] == {
        "web": {
            "path": ".",
            "intimacy": "rpc",
            "dockerfile": "services/web/prod.Dockerfile",
            "target": "runtime",
            "build-args": {"LEVEL": "production"},
            "platforms": ["linux/amd64", "linux/arm64"],
            "additional-contexts": {"shared": "libraries/shared", "tools": "docker-image://node:22"},
        }
    }
    assert app["components"]["web"]["ports"] == {"http": 8080}
    for lost in (
        "build.args: SHELL",
        "additional_contexts: base",
        "build.ssh",
        "outside of its context 'api'",
    ):
        assert any(lost in one for one in left), (lost, left)
    Delivery.model_validate({**delivery, "environments": {"production": {"gate": {"engine": "embedded"}}}})


BUILT = """\
services:
  web:
    build:
      context: web
      secrets: [npm, {source: pip, target: conf}, {source: vault}]
      cache_from: ["registry.example.com/web:cache", "$PLACE"]
      cache_to: ["type=inline", "type=s3,secret_access_key=hunter2"]
      labels: {team: shop}
      network: host
  inline: {build: {dockerfile_inline: FROM scratch}}
  far: {build: "https://user:hunter2@git.example.com/far.git#main:web"}
  other: {build: {context: ./other, additional_contexts: {far: "git@example.com:far.git", near: ./near}}}
secrets: {npm: {environment: NPM_TOKEN}, pip: {file: pip.conf}, vault: {external: true}}
"""


def test_what_compose_builds_is_what_image_build_builds_or_told() -> None:
    delivery, _, left = written({"compose.yaml": BUILT, "web/Dockerfile": "FROM a", "other/Dockerfile": ""})
    components = Delivery.model_validate(delivery).components
    web = components["web"]
    assert {name: (one.env, one.file) for name, one in web.secrets.items()} == {
        "npm": ("NPM_TOKEN", None),
        "conf": (None, "pip.conf"),
    }
    assert web.cache == BuildCache.model_validate(
        {"from": ["type=registry,ref=registry.example.com/web:cache"], "to": ["type=inline"]}
    )
    assert components["inline"].dockerfile == "inline.Dockerfile"
    assert components["other"].additional_contexts == {"near": "./near"}
    assert "far" not in components
    said = "\n".join(left)
    for line in (
        "service web: build.secrets[2]: vault (the file declares neither a variable nor a file for it)",
        "service web: build.cache_from[1] (of the shell, or with a secret)",
        "service web: build.cache_to[1] (of the shell, or with a secret)",
        "service web: build.labels (write them as LABEL into the Dockerfile)",
        "service web: build.network: host (the settings of BuildKit's daemon decide it)",
        "service inline: build.dockerfile_inline (write it into 'inline.Dockerfile' in '.')",
        "service other: build.additional_contexts: far (neither a folder here nor an image)",
        "service far: is built outside of the repository",
    ):
        assert f"compose.yaml: {line}" in said
    assert "hunter2" not in f"{delivery}{said}"


def test_variables_of_the_env_file_stand_for_their_values() -> None:
    env = """\
# one line a variable
IMAGE=shop
export PORT = 8080   # of the page
BUILT='./docker/$web.Dockerfile'
GREETING="hello\\n$IMAGE"
DB_PASSWORD=hunter2
HOST=${ELSEWHERE}
EMPTY=
"""
    compose = """\
services:
  web:
    image: ${IMAGE}:${TAG:-latest}
    build: {context: ., dockerfile: "${BUILT}", args: {PAGE: "${PORT}"}}
    ports: ["${PORT}"]
    env_file: [shared.env, {path: absent.env, required: false}]
    environment:
      NAMED: "$IMAGE at ${PORT}"
      NESTED: ${NONE:-${IMAGE}-${EMPTY:-none}}
      ALTERNATIVE: ${IMAGE:+yes}
      DOLLARS: $$IMAGE $$$PORT
      URL: postgres://shop:${DB_PASSWORD}@far.example.com/shop
      HOST:
      IMAGE:
  shell: {build: "${OUT_OF_NOWHERE}"}
"""
    shared = "LEVEL=info\nNAMED=less\nSHOP_TOKEN=abc\nFULL=${IMAGE}/x\n"
    files = {
        ".env": env, "compose.yaml": compose, "shared.env": shared, "docker/$web.Dockerfile": "FROM a\n"
    }  # fmt: skip
    delivery, app, left = written(files)
    assert delivery["components"] == {
        "web": {
            "path": ".",
            "intimacy": "rpc",
            "dockerfile": "./docker/$web.Dockerfile",
            "build-args": {"PAGE": "8080"},
        }
    }
    assert app["components"]["web"]["ports"] == {"http": 8080}
    assert app["components"]["web"]["env"] == {
        "LEVEL": "info",
        "NAMED": "shop at 8080",
        "SHOP_TOKEN": {"secret": "shop-web", "key": "SHOP_TOKEN"},
        "FULL": "shop/x",
        "NESTED": "shop-none",
        "ALTERNATIVE": "yes",
        "DOLLARS": "$IMAGE $8080",
        "URL": {"secret": "shop-web", "key": "URL"},
        "IMAGE": "shop",
    }
    said = "\n".join(left)
    assert "hunter2" not in said
    for part in (
        "the values that .env has are taken: IMAGE, BUILT, PORT",
        "service web: env_file: absent.env (it is not there",
        "variable 'HOST' of 'web': its value comes from the shell",
        "service shell: only the shell knows what it runs",
    ):
        assert part in said


def test_what_git_ignores_is_not_read() -> None:
    compose = "services: {web: {build: ., image: 'x:${TAG}', environment: [TAG]}}"
    files = {"compose.yaml": compose, "Dockerfile": "FROM a\n"}
    tree = Tree(sorted(files), {**files, ".env": "TAG=1"}.get)
    assert survey(tree, "shop").components[0].env == {"TAG": None}


def test_dockerfiles_beside_those_that_a_compose_file_builds_are_named() -> None:
    files = {
        "compose.yaml": "services: {api: {build: {context: ., dockerfile: src/api/Dockerfile}}}",
        "src/api/Dockerfile": "FROM a\n",
        "src/api/protos/Dockerfile": "FROM a\n",
        "src/mail/Dockerfile": "FROM a\n",
    }
    found = look(files)
    assert {one.name: one.path for one in found.components} == {"api": ".", "mail": "src/mail"}
    assert any("src/api/protos/Dockerfile: beside what the Compose file builds" in one for one in found.left)


def test_an_image_that_a_module_is_called_after_points_to_it() -> None:
    pom = "<project><packaging>pom</packaging><modules><module>shop-vets</module></modules></project>"
    boot = "<project><plugin><artifactId>spring-boot-maven-plugin</artifactId></plugin></project>"
    files = {
        "pom.xml": pom,
        "shop-vets/pom.xml": boot,
        "compose.yaml": "services: {page: {build: page}, vets: {image: 'corp/shop-vets:1'}}",
        "page/Dockerfile": "FROM a\n",
    }
    said = "its build tool may make of shop-vets; name that in `components`"
    assert any(said in one for one in look(files).left)


def test_a_folder_that_says_nothing_holds_the_sources_beside_other_languages() -> None:
    files = {
        "src/cart/src/Dockerfile": "FROM a\n",
        "src/cart/src/Dockerfile.debug": "FROM a\n",
        "src/cart/src/cart.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web"/>',
        "src/page/Dockerfile": "FROM a\n",
        "src/page/package.json": '{"scripts": {"start": "node ."}}',
    }
    found = {one.name: one.path for one in look(files).components}
    assert found == {"cart": "src/cart/src", "page": "src/page"}


def test_ports_of_databases_and_queues_are_no_entrances() -> None:
    compose = """\
services:
  rows: {build: rows, ports: ["3306:3306"]}
  queue: {build: queue, ports: ["5672:5672", "15672:15672"]}
  store: {build: store}
"""
    _, app, _ = written({"compose.yaml": compose, "store/Dockerfile": "FROM a\nEXPOSE 27017\n"})
    told = {name: (one["ports"], one.get("entrance")) for name, one in app["components"].items()}
    assert told == {
        "rows": ({"mysql": 3306}, None),
        "queue": ({"http": 15672, "amqp": 5672}, {}),
        "store": ({"mongodb": 27017}, None),
    }
