"""Repositories shaped after real ones: what `init` finds and says, and that everything works afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from test_init_command import repository, run

DOCKERFILE = "FROM scratch\nEXPOSE 8080\n"
POM = "<project><artifactId>a</artifactId>{}</project>"
PLUGIN = "<plugin><artifactId>spring-boot-maven-plugin</artifactId></plugin>"
BOOT = POM.format(f"<build><plugins>{PLUGIN}</plugins></build>")
START = '{"scripts": {"start": "node server.js"}}'
WEB = '<Project Sdk="Microsoft.NET.Sdk.Web"></Project>'
MAIN = "package main\nfunc main() {}\n"
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"


@dataclass(frozen=True)
class Case:
    """One repository.

    Arguments:
        files: path → text.
        components: name → path that must be found, and no other.
        said: words that stand in what is not carried over.
        resources: name → type.
        command: component → command.
        dockerfile: component → Dockerfile, where it is not the usual one.
        told: component → all that the app spec says of it.
    """

    files: dict[str, str]
    components: dict[str, str]
    said: tuple[str, ...] = ()
    resources: dict[str, str] = field(default_factory=dict)
    command: dict[str, list[str]] = field(default_factory=dict)
    dockerfile: dict[str, str] = field(default_factory=dict)
    told: dict[str, object] = field(default_factory=dict)


def reactor(*modules: str, inside: str = "") -> str:
    return POM.format(
        "<packaging>pom</packaging><modules>"
        + "".join(f"<module>{one}</module>" for one in modules)
        + f"<!-- <module>gone</module> --></modules>{inside}"
    )


CASES = {
    "maven reactor with one Dockerfile for all": Case(
        {
            "pom.xml": reactor("api-gateway", "customers", "shared"),
            "api-gateway/pom.xml": BOOT,
            "customers/pom.xml": BOOT,
            "shared/pom.xml": POM.format(""),
            "docker/Dockerfile": DOCKERFILE,
        },
        {"api-gateway": "api-gateway", "customers": "customers"},
        ("docker/Dockerfile: which component it builds is not known",),
        command={"customers": ["java", "-jar", "app.jar"]},
    ),
    "maven reactor of reactors": Case(
        {
            "pom.xml": reactor("services"),
            "services/pom.xml": reactor("orders", "pay"),
            "services/orders/pom.xml": BOOT,
            "services/pay/pom.xml": POM.format("<packaging>war</packaging>"),
        },
        {"orders": "services/orders", "pay": "services/pay"},
    ),
    "maven module with a main of its own": Case(
        {
            "pom.xml": reactor("core", "runner"),
            "core/pom.xml": POM.format(""),
            "runner/pom.xml": POM.format(""),
            "runner/src/main/java/a/Main.java": "class Main { public static void main(String[] a) {} }",
        },
        {"runner": "runner"},
    ),
    "maven, one module with a Dockerfile": Case(
        {
            "pom.xml": reactor("web", "batch"),
            "web/pom.xml": BOOT,
            "web/Dockerfile": DOCKERFILE,
            "batch/pom.xml": BOOT,
        },
        {"web": "web"},
        ("'batch' has no Dockerfile",),
    ),
    "one maven service": Case({"pom.xml": BOOT}, {"shop": "."}),
    "gradle projects": Case(
        {
            "settings.gradle": "include ':web', ':lib'\n// include ':old'\ninclude 'jobs:nightly'\n",
            "web/build.gradle": "plugins { id 'org.springframework.boot' version '3.2' }\n",
            "lib/build.gradle": "plugins { id 'java-library' }\n",
            "jobs/nightly/build.gradle": "plugins { id 'application' }\n",
        },
        {"web": "web", "nightly": "jobs/nightly"},
    ),
    "gradle in kotlin": Case(
        {
            "settings.gradle.kts": 'include("api")\n',
            "api/build.gradle.kts": 'plugins { id("io.quarkus") }\n',
        },
        {"api": "api"},
    ),
    "npm workspaces": Case(
        {
            "package.json": '{"workspaces": ["packages/*", "apps/*"]}',
            "apps/web/package.json": START,
            "apps/admin/package.json": '{"scripts": {"start": "nodemon -x node .", "start:prod": "node ."}}',
            "packages/ui/package.json": '{"main": "index.js"}',
        },
        {"web": "apps/web", "admin": "apps/admin"},
        command={"web": ["node", "server.js"], "admin": ["node", "."]},
    ),
    "pnpm workspace": Case(
        {
            "package.json": '{"private": true}',
            "pnpm-workspace.yaml": "packages:\n  - 'services/**'\n  - '!services/old/**'\n",
            "services/web/package.json": START,
            "services/deep/pay/package.json": START,
            "services/old/x/package.json": START,
        },
        {"web": "services/web", "pay": "services/deep/pay"},
    ),
    "yarn workspaces as a mapping": Case(
        {
            "package.json": '{"workspaces": {"packages": ["./backend"]}}',
            "backend/package.json": '{"scripts": {"start": "node dist/main.js && echo"}}',
        },
        {"backend": "backend"},
        command={"backend": ["npm", "start"]},
    ),
    "go commands": Case(
        {
            "go.mod": "module a\n",
            "cmd/server/main.go": MAIN,
            "cmd/worker/main.go": MAIN,
            "cmd/internal/x.go": "package x\n",
            "pkg/a.go": "package pkg\n",
        },
        {"server": "cmd/server", "worker": "cmd/worker"},
    ),
    "go modules in folders": Case(
        {"a/go.mod": "module a\n", "a/main.go": MAIN, "b/go.mod": "module b\n", "b/lib.go": "package b\n"},
        {"a": "a"},
    ),
    "a .NET solution": Case(
        {
            "Shop.sln": "",
            "src/Shop.Web/Shop.Web.csproj": WEB,
            "src/Shop.Worker/Shop.Worker.csproj": '<Project Sdk="Microsoft.NET.Sdk.Worker"></Project>',
            "src/Shop.Core/Shop.Core.csproj": '<Project Sdk="Microsoft.NET.Sdk"></Project>',
            "tests/Shop.Tests/Shop.Tests.csproj": WEB,
        },
        {"shop-web": "src/Shop.Web", "shop-worker": "src/Shop.Worker"},
        command={"shop-web": ["dotnet", "Shop.Web.dll"]},
    ),
    "a Procfile": Case(
        {
            "Procfile": "web: gunicorn app:app\nworker: celery -A app\nrelease: ./migrate\n",
            "requirements.txt": "",
        },
        {"web": ".", "worker": "."},
        ("Procfile: process 'release', whose name says that it ends: name 'release' in `components`",),
        command={"web": ["sh", "-c", "gunicorn app:app"]},
        told={"web": {"intimacy": "rpc"}},
    ),
    "a Procfile whose web process is told its port, beside a Dockerfile of another": Case(
        {
            "Procfile": "web: puma -p $PORT\njob: sidekiq\n",
            "Dockerfile": DOCKERFILE,
        },
        {"shop": "."},
        ("web, job: built with 'shop'; name in `components` what else it runs",),
    ),
    "a Procfile with a port alone": Case(
        {"Procfile": "web: puma -p $PORT\n"},
        {"web": "."},
        told={
            "web": {
                "intimacy": "rpc",
                "ports": {"http": 8080},
                "env": {"PORT": "$(PIPEGRAFT_PORT_WEB)"},
                "entrance": {},
            }
        },
    ),
    "npm workspace with a worker, a tool that is used and a watcher": Case(
        {
            "package.json": '{"workspaces": ["packages/*"]}',
            "packages/server/package.json": '{"name": "s", "main": "x.js", "dependencies": {"ui": "*"}, '
            '"scripts": {"start": "nodemon x.js"}}',
            "packages/worker/package.json": '{"name": "worker", "scripts": {"work": "node w.js"}}',
            "packages/ui/package.json": '{"name": "ui"}',
        },
        {"server": "packages/server"},
        ("packages/worker/package.json: it has no start script: name 'worker' in `components` if it runs",),
        command={"server": ["node", "x.js"]},
    ),
    "gradle with a version catalog and a project elsewhere": Case(
        {
            "settings.gradle.kts": 'include(":orders", ":edge")\n'
            'project(":edge").projectDir = file("net/edge")\n',
            "gradle/libs.versions.toml": '[plugins]\nspring-boot = {id = "org.springframework.boot"}\n',
            "orders/build.gradle.kts": "plugins {\n  alias(libs.plugins.spring.boot)\n}\n",
            "net/edge/build.gradle.kts": "plugins { application }\n",
        },
        {"orders": "orders", "edge": "net/edge"},
    ),
    "a workspace of uv with an excluded project": Case(
        {
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["services/*"]\nexclude = ["services/old"]\n',
            "services/api/pyproject.toml": '[project.scripts]\nserve = "api:main"\n',
            "services/old/pyproject.toml": '[project.scripts]\nold = "old:main"\n',
            "services/work/pyproject.toml": '[project]\nname = "work"\n',
        },
        {"api": "services/api"},
        ("services/work/pyproject.toml: it has no script: name 'work' in `components` if it runs",),
        command={"api": ["serve"]},
    ),
    "a Rust workspace": Case(
        {
            "Cargo.toml": '[workspace]\nmembers = ["crates/*"]\n',
            "crates/core/Cargo.toml": '[package]\nname = "core"\n',
            "crates/core/src/lib.rs": "",
            "crates/srv/Cargo.toml": '[package]\nname = "acme-srv"\n',
            "crates/srv/src/main.rs": "",
        },
        {"acme-srv": "crates/srv"},
        command={"acme-srv": ["./acme-srv"]},
    ),
    "an umbrella of Elixir": Case(
        {"mix.exs": 'app: :shop, apps_path: "apps"', "apps/web/mix.exs": "app: :web"},
        {"shop": "."},
        command={"shop": ["bin/shop", "start"]},
    ),
    "Go commands with Dockerfiles of their names elsewhere": Case(
        {
            "go.mod": "module x\n",
            "cmd/api/main.go": MAIN,
            "cmd/work/main.go": MAIN,
            "cmd/migrate/main.go": MAIN,
            "build/Dockerfile.api": DOCKERFILE,
            "build/work.Dockerfile": "FROM scratch\n",
        },
        {"api": ".", "work": "."},
        ("cmd/migrate/main.go: package main, whose name says that it ends: name 'migrate' in `components`",),
        dockerfile={"api": "build/Dockerfile.api", "work": "build/work.Dockerfile"},
    ),
    "a Dockerfile in src": Case({"src/Dockerfile": DOCKERFILE}, {"shop": "src"}),
    "Dockerfiles in src of each service": Case(
        {"web/src/Dockerfile": DOCKERFILE, "pay/app/Dockerfile": DOCKERFILE},
        {"web": "web/src", "pay": "pay/app"},
    ),
    "Dockerfiles with other names": Case(
        {"Dockerfile": DOCKERFILE, "Dockerfile.dev": DOCKERFILE, "worker.Dockerfile": DOCKERFILE},
        {"shop": "."},
        ("Dockerfile.dev: which component", "worker.Dockerfile: which component"),
    ),
    "Dockerfiles of tests and vendors": Case(
        {
            "Dockerfile": DOCKERFILE,
            "test/e2e/Dockerfile": DOCKERFILE,
            "vendor/x/Dockerfile": DOCKERFILE,
            "node_modules/y/Dockerfile": DOCKERFILE,
            ".devcontainer/Dockerfile": DOCKERFILE,
        },
        {"shop": "."},
    ),
    "compose with a profile and a job": Case(
        {
            "compose.yaml": """\
services:
  web:
    build: web
    ports: ["8080:8080"]
    depends_on: {migrate: {condition: service_completed_successfully}}
  migrate: {build: web, command: ./migrate}
  seed: {build: tools, profiles: [seed]}
""",
            "web/Dockerfile": DOCKERFILE,
        },
        {"web": "web"},
        (
            "service seed: of the profile seed: it runs on demand",
            "service migrate: a job, for whose end others wait",
        ),
    ),
    "compose with a development command": Case(
        {
            "compose.yaml": "services:\n  api: {build: api, command: npx nodemon --inspect=0.0.0.0 app.js}\n",
            "api/Dockerfile": DOCKERFILE,
        },
        {"api": "api"},
        ("service api: runs `npx nodemon --inspect=0.0.0.0 app.js`, a command for developers",),
        command={"api": []},
    ),
    "compose whose seed job has a folder of its own, and a stage for developers": Case(
        {
            "compose.yaml": """\
services:
  web:
    build: {context: web, target: dev}
    command: nodemon --inspect=0.0.0.0 server.js
    ports: ["8080:80", "127.0.0.1:9229:9229"]
    environment: {POSTGRES_SERVER: db, POSTGRES_PORT: "${PORT}", POSTGRES_PASSWORD: x, PGHOST: db, PGUSER: u}
    depends_on: [db]
  seed: {build: seed-data, profiles: [seed], depends_on: [db]}
  db: {image: "postgres:16"}
""",
            "web/Dockerfile": DOCKERFILE,
            "seed-data/Dockerfile": DOCKERFILE,
        },
        {"web": "web"},
        (
            "service web: depends_on (components start in any order",
            "service web: builds the stage 'dev', one for developers",
            "service web: port 9229: a debugger's",
        ),
        {"db": "postgres"},
        told={
            "web": {
                "intimacy": "rpc",
                "ports": {"http": 80},
                "entrance": {},
                "env": {
                    "POSTGRES_SERVER": "${resources.db.host}",
                    "POSTGRES_PORT": "${resources.db.port}",
                    "POSTGRES_PASSWORD": "${resources.db.password}",
                    "PGHOST": "${resources.db.host}",
                    "PGUSER": "${resources.db.username}",
                },
            }
        },
    ),
    "compose that builds a folder without a Dockerfile": Case(
        {
            "compose.yaml": "services:\n  api: {build: api, command: python3 app.py}\n  job: {build: job}\n",
            "api/requirements.txt": "",
            "job/package.json": "{}",
        },
        {"api": "api", "job": "job"},
        command={"api": ["python3", "app.py"], "job": ["node", "."]},
        told={"api": {"intimacy": "rpc"}},
    ),
    "compose behind Traefik": Case(
        {
            "compose.yaml": "services:\n  api:\n    build: .\n    labels:\n"
            "      - traefik.http.services.api.loadbalancer.server.port=8000\n",
            "Dockerfile": "FROM scratch\n",
        },
        {"api": "."},
        ("service api: labels (for what looks at containers",),
        told={"api": {"intimacy": "rpc", "ports": {"http": 8000}, "entrance": {}}},
    ),
    "compose with develop and an override": Case(
        {
            "compose.yaml": "services:\n  api: {build: ., develop: {watch: [{path: ., action: sync}]}}\n",
            "compose.override.yaml": "services:\n  api: {environment: {DEBUG: '1'}}\n",
            "Dockerfile": DOCKERFILE,
        },
        {"api": "."},
        ("compose.override.yaml: for developers' machines",),
    ),
    "compose with container names and aliases": Case(
        {
            "compose.yaml": """\
services:
  api: {build: ., environment: {DB: "postgres://u:p@main-db:5432/x", CACHE_HOST: fast}}
  db: {image: "postgres:16", container_name: main-db}
  cache: {image: "redis:7", networks: {default: {aliases: [fast]}}}
""",
            "Dockerfile": DOCKERFILE,
        },
        {"api": "."},
        ("service cache: networks (components reach one another",),
        {"db": "postgres", "cache": "redis"},
    ),
    "compose with a host name in the sources": Case(
        {
            "docker-compose.yml": "services:\n  vote: {build: vote}\n  redis: {image: 'redis:alpine'}\n",
            "vote/Dockerfile": DOCKERFILE,
            "vote/app.py": 'Redis(host="redis")\n',
        },
        {"vote": "vote"},
        ("host name 'redis': no variable names it",),
        {"redis": "redis"},
    ),
    "compose that builds from parts of a monorepo": Case(
        {
            "compose.yml": "services:\n"
            "  web: {build: {context: ., dockerfile: web/Dockerfile}}\n  pay: {build: pay}\n",
            "web/Dockerfile": DOCKERFILE,
            "pay/Dockerfile": DOCKERFILE,
        },
        {"web": ".", "pay": "pay"},
        dockerfile={"web": "web/Dockerfile"},
    ),
    "with a Helm chart": Case(
        {"Dockerfile": DOCKERFILE, "chart/Chart.yaml": "name: a\n", "chart/templates/d.yaml": DEPLOYMENT},
        {"shop": "."},
        ("chart: a Helm chart",),
    ),
    "with Kustomize overlays": Case(
        {
            "Dockerfile": DOCKERFILE,
            "k8s/base/kustomization.yaml": "resources: [d.yaml]\n",
            "k8s/base/d.yaml": DEPLOYMENT,
            "k8s/overlays/prod/kustomization.yaml": "resources: [../../base]\n",
        },
        {"shop": "."},
        ("k8s/base: a Kustomize overlay", "k8s/overlays/prod: a Kustomize overlay"),
    ),
    "with manifests": Case(
        {"Dockerfile": DOCKERFILE, "deploy/web.yaml": DEPLOYMENT},
        {"shop": "."},
        ("deploy: Kubernetes manifests", "pipegraft import kubernetes"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_found_is_right_and_everything_works_with_it(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    root = repository(tmp_path, {**case.files, ".gitlab-ci.yml": "test:\n  script: [make]\n"})
    said = " ".join(run(root, "init", "--yes").split())
    delivery = yaml.safe_load((root / "delivery.yaml").read_text())
    app = yaml.safe_load((tmp_path / "shop-iac" / "app.yaml").read_text())
    assert {one: held["path"] for one, held in delivery["components"].items()} == case.components
    assert {one: held["type"] for one, held in app.get("resources", {}).items()} == case.resources
    for component, command in case.command.items():
        held = delivery["components"][component].get("command", [])
        assert (held or app["components"][component].get("command", [])) == command
    found = {one: held["dockerfile"] for one, held in delivery["components"].items() if "dockerfile" in held}
    assert found == case.dockerfile
    assert app["components"] | case.told == app["components"]
    assert not any("target" in held for held in delivery["components"].values())
    for words in case.said:
        assert words in said
    if not case.said:
        assert "not carried over" not in said
    assert "image-build" in run(root, "plan")
    run(root, "render", "../shop-iac")
    assert "image-build" in run(root, "inject", "--dry-run", ".gitlab-ci.yml")
