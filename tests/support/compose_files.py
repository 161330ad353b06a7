"""Compose files that include and extend one another, by their paths."""

from __future__ import annotations

NESTED = {
    "compose.yaml": """\
include:
  - path: [a.yml, a.prod.yml]
  - {path: deploy/c.yml, project_directory: .}
  - {path: tagged.yml, env_file: e.env}
  - sub/compose.yaml
services:
  app: {extends: {file: common.yml, service: web}}
""",
    "a.yml": "services: {a: {build: ./a, environment: [LEVEL=info]}}\n",
    "a.prod.yml": "services: {a: {build: {target: prod}, environment: {LEVEL: warn}}}\n",
    "deploy/c.yml": "services: {c: {build: ./api}}\n",
    "tagged.yml": 'services: {tagged: {image: "r/t:1", environment: {V: "${TAG:-latest}"}}}\n',
    "e.env": "TAG=1.2\n",
    "common.yml": 'services: {web: {extends: app}, app: {image: "nginx:1", environment: {FROM: common}}}\n',
    "sub/.env": "TAG=1.3\n",
    "sub/compose.yaml": """\
include: [sub/compose.yaml]
services:
  s:
    build: {context: ., secrets: [npm], additional_contexts: {shared: ./shared}}
    environment: {V: "${TAG:-latest}"}
secrets: {npm: {file: ./npm.txt}}
""",
    "sub/sub/compose.yaml": 'services: {deep: {image: "r/deep:1", environment: {D: "${TAG:-no}"}}}\n',
}
