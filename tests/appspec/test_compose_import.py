"""A Compose file as an app spec: what runs comes over, and nothing is lost without a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_files import NESTED

from pipegraft.appspec.importing.compose import read_compose
from pipegraft.appspec.importing.compose_parts import http_question
from pipegraft.appspec.importing.taking import leaves
from pipegraft.appspec.usecases.importing import ImportResult, compose_files
from pipegraft.core.errors import ConfigError, UsageError

BASE = """\
name: Lending
services:
  web:
    build: {context: ./web, target: runtime}
    image: registry.example.com/web:1
    ports: ["8080:3000"]
    environment:
      DATABASE_URL: postgres://lender:secret@db:5432/lending
      RATES: http://rates-api:9000
      LEVEL: ${LEVEL:-info}
    depends_on: {db: {condition: service_healthy}, migrate: {condition: service_completed_successfully}}
    healthcheck: {test: ["CMD", "wget", "-q", "localhost:3000/ok"], interval: 1m30s, retries: 4}
    deploy: {replicas: 3, resources: {limits: {memory: 512M}}, placement: {constraints: [kept-apart]}}
    volumes: ["uploads:/uploads"]
    tmpfs: /scratch
    user: "1000:1001"
    cap_drop: [ALL]
    develop: {watch: [{path: ./web, action: sync}]}
  rates:
    image: registry.example.com/rates:2
    container_name: rates-api
    expose: ["9000"]
    env_file: rates.env
    logging: {driver: lost-driver}
  migrate:
    image: registry.example.com/web:1
    command: ["migrate", "--all"]
  db:
    image: postgres:16
    environment: {POSTGRES_DB: lending, POSTGRES_PASSWORD: secret}
    volumes: ["rows:/var/lib/postgresql/data"]
  seeder:
    image: registry.example.com/seed:1
    profiles: [seed]
volumes: {uploads: {}, rows: {}}
"""
OVER = """\
services:
  web:
    command: [npm, start]
    environment: [LEVEL=debug]
"""


def imported(
    folder: Path, *texts: str, profiles: tuple[str, ...] = ()
) -> tuple[dict[str, Any], ImportResult]:
    files = []
    for at, text in enumerate(texts or (BASE,)):
        files.append(folder / f"compose-{at}.yaml")
        files[-1].write_text(text)
    done = compose_files(files, None, "production", folder / "iac", profiles=profiles)
    return yaml.safe_load((folder / "iac" / "app.yaml").read_text()), done


def test_services_become_components_jobs_and_resources(tmp_path: Path) -> None:
    app, done = imported(tmp_path)
    assert app["app"] == "lending"
    assert app["resources"] == {
        "db": {"type": "postgres", "params": {"version": "16", "database": "lending"}}
    }
    assert app["components"] == {
        "web": {
            "intimacy": "rpc",
            "ports": {"http": 3000},
            "env": {
                "DATABASE_URL": "postgres://${resources.db.username}:${resources.db.password}"
                "@${resources.db.host}:${resources.db.port}/${resources.db.database}",
                "RATES": "http://rates-api:9000",
                "LEVEL": "info",
            },
            "replicas": 3,
            "memory": "512Mi",
            "readiness": {"path": "/ok", "period": "90s", "failures": 4},
            "security": {"user": 1000, "group": 1001, "capabilities": {"ALL": "drop"}},
            "volumes": {"scratch": {"path": "/scratch", "ephemeral": {"memory": True}}},
            "entrance": {},
        },
        "rates": {"intimacy": "rpc", "ports": {"http": 9000}},
        "migrate": {"intimacy": "rpc", "args": ["migrate", "--all"], "job": {}},
    }
    there = yaml.safe_load((tmp_path / "iac" / "environments" / "production.yaml").read_text())
    assert there["components"]["rates"] == {"image": "registry.example.com/rates:2"}
    assert "seeder" not in done.components


def test_what_is_not_carried_over_is_named(tmp_path: Path) -> None:
    _, done = imported(tmp_path)
    said = "\n".join(done.left)
    for part in (
        "'${LEVEL:-info}': its default is taken",
        "service seeder: the whole service (of the profile seed)",
        "service web: ports[0]: 8080:3000 (the port of the host)",
        "service web: volumes[0]: uploads:/uploads",
        "service web: deploy.placement.constraints[0]: kept-apart",
        "service web: develop (for developers' machines)",
        'service web: build: in delivery.yaml, `components: web: {"path": "./web", "target": "runtime"}`',
        "service rates: env_file: rates.env (it is not there",
        "service rates: logging.driver: lost-driver",
        "service rates: container_name: rates-api",
        "variable 'RATES' of 'web' names 'rates-api': others reach it as 'rates'",
    ):
        assert part in said


def test_every_value_is_carried_over_or_named(tmp_path: Path) -> None:
    app, done = imported(tmp_path, profiles=("seed",))
    environment = (tmp_path / "iac" / "environments" / "production.yaml").read_text()
    told = f"{app} {environment} {done.left}"
    changed = {"Lending", "512M", "1m30s", "1000:1001", "${LEVEL:-info}", "service_healthy"}
    of_resource = {"postgres:16", "secret", "rows:/var/lib/postgresql/data"}
    words = {"CMD", "wget", "-q", "localhost:3000/ok", "service_completed_successfully", "sync"}
    values = {str(value) for _, value in leaves(yaml.safe_load(BASE), "") if value not in ({}, [])}
    url = "postgres://lender:secret@db:5432/lending"
    assert {one for one in values - changed - of_resource - words - {url} if one not in told} == set()


def test_a_profile_that_is_asked_for_comes_over(tmp_path: Path) -> None:
    app, _ = imported(tmp_path, profiles=("seed",))
    assert app["components"]["seeder"] == {"intimacy": "rpc"}


def test_overrides_are_put_over_the_file_before(tmp_path: Path) -> None:
    app, _ = imported(tmp_path, BASE, OVER)
    web = app["components"]["web"]
    assert (web["args"], web["env"]["LEVEL"]) == (["npm", "start"], "debug")
    assert web["ports"] == {"http": 3000}


OTHERS = """\
include: [parts/mail.yaml, {path: [parts/mail.yaml]}, parts/gone.yaml]
services:
  web: {build: ., command: npm start, environment: {LEVEL: info, TOKEN_FILE: /run/token}, expose: [3000]}
  worker: {extends: web, command: npm run work, environment: [LEVEL=debug]}
  far: {extends: {service: base, file: parts/base.yaml}}
  lost: {image: "reg/lost:1", extends: {service: nobody}}
  round: {image: "reg/round:1", extends: round}
"""
PARTS = {
    "parts/mail.yaml": "include: [mail.yaml]\nservices: {mail: {build: ./mail, expose: [2525]}}\n",
    "parts/base.yaml": "services: {base: {build: {dockerfile: B}, env_file: base.env, expose: [80]}}\n",
    "parts/base.env": "A=1\n",
}


def test_what_other_files_and_services_say_is_put_in(tmp_path: Path) -> None:
    for name, text in PARTS.items():
        (tmp_path / "parts").mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    app, done = imported(tmp_path, OTHERS)
    components = app["components"]
    assert components["worker"]["env"] == {"LEVEL": "debug", "TOKEN_FILE": "/run/token"}
    assert (components["worker"]["args"], components["worker"]["ports"]) == (
        ["npm", "run", "work"],
        {"http": 3000},
    )
    assert components["far"] == {"intimacy": "rpc", "ports": {"http": 80}, "env": {"A": "1"}}
    said = "\n".join(done.left)
    assert 'components: mail: {"path": "parts/mail"}' in said
    assert 'components: far: {"path": ".", "dockerfile": "B"}' in said
    assert [line.partition(": ")[2] for line in done.left if "extends" in line or "include" in line] == [
        "include: parts/mail.yaml (a file that includes itself, or none)",
        "include: parts/gone.yaml (no Compose file that can be read is there)",
        "service lost: extends.service: nobody",
        "service round: extends: round",
    ]


def test_files_that_include_and_extend_one_another_are_read_as_compose_does() -> None:
    services, left = read_compose(yaml.safe_load(NESTED["compose.yaml"]), "compose.yaml", NESTED.get)
    found = {one.name: one for one in services}
    assert {name: one.env for name, one in found.items()} == {
        "app": {"FROM": "common"},
        "a": {"LEVEL": "warn"},
        "c": {},
        "tagged": {"V": "1.2"},
        "s": {"V": "1.3"},
        "deep": {"D": "1.3"},
    }
    assert (found["app"].image, found["app"].left) == ("nginx:1", ())
    assert [found[name].build for name in ("a", "c", "s")] == ["./a", "./api", "sub"]
    assert found["a"].build_keys == {"target": "prod"}
    assert found["s"].build_keys["secrets"] == {"npm": {"file": "sub/npm.txt"}}
    assert found["s"].build_keys["additional-contexts"] == {"shared": "sub/shared"}
    assert left == [
        "tagged.yml: the values that e.env has are taken: TAG",
        "sub/compose.yaml: the values that sub/.env has are taken: TAG",
        "sub/sub/compose.yaml: the values that sub/.env has are taken: TAG",
        "compose.yaml: secrets (read where services take it in)",
    ]


def test_files_that_cannot_be_included_are_told_and_each_is_read_once() -> None:
    names = [f"f{at}.yml" for at in range(12)]
    text = "\n".join(("include:", *(f"  - {name}" for name in names), "services: {}"))
    files = {
        **dict.fromkeys(names, text),
        "b/in.yml": "include: [gone.yml, {path: f0.yml, env_file: no.env}]",
    }
    reads = list[str]()

    def read(name: str) -> str | None:
        reads.append(name)
        return files.get(name)

    services, left = read_compose({"services": {}, "include": [*names, "b/in.yml"]}, "c.yaml", read)
    assert services == []
    assert "b/in.yml: include: b/gone.yml (no Compose file that can be read is there)" in left
    assert "b/in.yml: include: env_file: b/no.env (it is not there)" in left
    assert "f1.yml: include: f0.yml (a file that includes itself, or none)" in left
    assert len(reads) < 100


def test_a_service_that_two_included_files_declare_otherwise_is_told() -> None:
    files = {"a.yml": 'services: {a: {image: "r/a:1"}}', "b.yml": 'services: {a: {image: "r/a:2"}}'}
    (a,), left = read_compose({"services": {}, "include": ["a.yml", "b.yml"]}, "c.yaml", files.get)
    assert a.image == "r/a:1"
    assert left[0].startswith("c.yaml: services.a (another file that is included says something else")


def test_what_a_shell_puts_in_is_put_in_or_told(tmp_path: Path) -> None:
    app, done = imported(
        tmp_path,
        """\
services:
  nested: {image: 'nginx:${A:-${B:-1}}', command: [sh, -c, 'echo $$HOME ${Y} $$$Z'], tmpfs: [/v/a, /v_a]}
  unknown: {image: 'r.io/web:${TAG:?}', entrypoint: 'run $$X', healthcheck: {test: 'ask $WHO'}}
  db: {image: 'postgres:${VERSION:?}'}
""",
    )
    there = yaml.safe_load((tmp_path / "iac" / "environments" / "production.yaml").read_text())
    assert there["components"] == {"nested": {"image": "nginx:1"}}
    assert app["components"]["nested"]["args"] == ["sh", "-c", "echo $HOME ${Y} $$Z"]
    assert app["components"]["unknown"]["command"] == ["run", "$X"]
    volumes = app["components"]["nested"]["volumes"]
    assert {name: one["path"] for name, one in volumes.items()} == {"v-a": "/v/a", "v-a-2": "/v_a"}
    assert app["resources"] == {"db": {"type": "postgres"}}
    told = [one.partition(": service ")[2] for one in done.left if "from the shell" in one]
    stays = "(its value comes from the shell: it stays as it is written)"
    assert told == [
        f"nested: command[2]: '${{Y}}' {stays}",
        f"nested: command[2]: '$Z' {stays}",
        "unknown: image: '${TAG:?}' (its value comes from the shell: left out)",
        f"unknown: healthcheck.test: '$WHO' {stays}",
    ]


def test_a_driver_or_a_user_that_is_called_as_a_service_is_no_address(tmp_path: Path) -> None:
    app, done = imported(
        tmp_path,
        """\
services:
  web:
    image: web:1
    environment:
      {DB_HOST: mysql, DB_CONNECTION: mysql, DB_USER: mysql, DB_NAME: mysql, CACHE: redis, STORE: db,
       REDIS_SERVER: redis, POSTGRES_USER: postgres, POSTGRES_URL: 'postgres://a:b@postgres/c'}
  mysql: {image: 'mysql:8'}
  redis: {image: 'redis:7'}
  postgres: {image: 'postgres:16'}
  db: {image: 'postgres:16'}
""",
    )
    env = app["components"]["web"]["env"]
    assert env.pop("POSTGRES_URL").startswith("postgres://${resources.postgres.username}:")
    assert env == {
        "DB_HOST": "${resources.mysql.host}",
        "DB_CONNECTION": "mysql",
        "DB_USER": "${resources.mysql.username}",
        "DB_NAME": "${resources.mysql.database}",
        "CACHE": "redis",
        "REDIS_SERVER": "${resources.redis.host}",
        "POSTGRES_USER": "postgres",
        "STORE": "${resources.db.host}",
    }
    told = "\n".join(done.left)
    kind = "as an address: it is taken for the name of a kind; otherwise write ${resources"
    assert f"'mysql' in variable 'DB_CONNECTION' of 'web' {kind}.mysql.host}}" in told
    assert f"'redis' in variable 'CACHE' of 'web' {kind}.redis.host}}" in told


@pytest.mark.parametrize("address", ["DB_HOST: 'db:3306'", "DB_JDBC_URL: 'jdbc:mysql://db:3306/shop'"])
def test_who_is_asked_stands_beside_an_address_of_every_form(tmp_path: Path, address: str) -> None:
    env = f"{{{address}, DB_USER: wp, DB_PASSWORD: wp}}"
    services = f"{{web: {{image: 'web:1', environment: {env}}}, db: {{image: 'mariadb:11'}}}}"
    app, _ = imported(tmp_path, f"services: {services}")
    found = app["components"]["web"]["env"]
    assert found["DB_USER"] == "${resources.db.username}"
    assert found["DB_PASSWORD"] == "${resources.db.password}"


def test_a_value_that_looks_like_a_secret_is_said_to_be_put_into_one(tmp_path: Path) -> None:
    text = "name: shop\nservices: {web: {image: 'web:1', environment: {JWT_SECRET: abc123}}}"
    app, done = imported(tmp_path, text)
    assert app["components"]["web"]["env"] == {"JWT_SECRET": {"secret": "shop-web", "key": "JWT_SECRET"}}
    (line,) = done.left
    assert line.endswith("put it under the key 'JWT_SECRET' into the secret 'shop-web'")
    assert "abc123" not in line


@pytest.mark.parametrize(
    ("value", "secret", "address"),
    [
        ("host=db user=app password=pw1 dbname=app", True, True),
        ("root:pw1@tcp(db:3306)/app", True, True),
        ("amqp://guest:pw1@rabbit:5672", True, False),
        ("Server=db;Database=x", False, True),
        ("nginx:1@sha256:00", False, False),
        ("redis://other/0", False, False),
    ],
)
def test_credentials_in_a_text_are_copied_nowhere(
    tmp_path: Path, value: str, secret: bool, address: bool
) -> None:
    web = f"{{image: 'web:1', environment: {{DSN: '{value}'}}}}"
    app, done = imported(tmp_path, f"services: {{web: {web}, db: {{image: 'postgres:16'}}}}")
    assert isinstance(app["components"]["web"]["env"]["DSN"], dict) is secret
    assert any("the address of 'db' in variable 'DSN'" in one for one in done.left) is address
    assert "pw1" not in f"{app} {done.left}"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[1]", ConfigError, "expected a mapping with 'services'"),
        ("services: {}", UsageError, "expected a service that runs, found none"),
        ("services: {a: {image: x, profiles: [p]}}", UsageError, "expected a service that runs"),
    ],
)
def test_files_that_are_something_else_write_nothing(
    tmp_path: Path, text: str, error: type[UsageError], message: str
) -> None:
    with pytest.raises(error, match=message):
        imported(tmp_path, text)
    assert not (tmp_path / "iac").exists()


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("curl -f http://localhost:3000/ok", {"path": "/ok"}),
        ("curl --fail -s -o /dev/null http://127.0.0.1:9000 || exit 1", {"path": "/", "port": "metrics"}),
        ("wget -qO- 'http://localhost:3000/ok?a=1' || false", {"path": "/ok?a=1"}),
        ("curl http://localhost:3000/ok", None),
        ("curl -f -X POST http://localhost:3000/ok", None),
        ("curl -f http://localhost:3000/ok | grep well", None),
        ("curl -f http://localhost:81/ok", None),
        ("curl -f https://localhost:3000/ok", None),
        ("curl -f http://localhost:3000/$WHERE", None),
        ("curl -fsSo /dev/null -m 3 localhost:3000/ok", {"path": "/ok"}),
        ("wget --spider -nv --tries=1 -T 2 http://localhost:3000/", {"path": "/"}),
        ("curl -f http://localhost:3000/a && curl -f http://localhost:3000/b", None),
        ("curl -f http://localhost:3000/a http://localhost:3000/b", None),
        ("curl -fX POST http://localhost:3000/ok", None),
        ("curl -fH 'Host: a' http://localhost:3000/ok", None),
        ("curl -f --unix-socket /x http://localhost:3000/ok", None),
        ("curl -f --retry 3 http://localhost:3000/ok", None),
        ("curl -f 'http://localhost:3000/[1-3]'", None),
        ("wget --method=POST -qO- http://localhost:3000/ok", None),
        ("wget --post-data x=1 http://localhost:3000/ok", None),
        ("wget -qO- 'http://localhost:3000/ok", None),
        ("curl -f -o", None),
        ("", None),
    ],
)
def test_a_health_check_by_curl_or_wget_is_a_question_by_http(
    command: str, asked: dict[str, str] | None
) -> None:
    assert http_question(command, {"http": 3000, "metrics": 9000}) == asked


def test_a_variable_that_tells_the_own_port_follows_it(tmp_path: Path) -> None:
    web = "{build: ., expose: [3000], environment: {PORT: 3000, DB_PORT: 3000, HTTP_PORT: 80}}"
    app, _ = imported(tmp_path, f"services: {{web: {web}}}\n")
    assert app["components"]["web"]["env"] == {
        "PORT": "$(PIPEGRAFT_PORT_WEB)",
        "DB_PORT": "3000",
        "HTTP_PORT": "80",
    }
