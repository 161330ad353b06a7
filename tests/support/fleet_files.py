"""What the projects of the tests' fleets hold."""

from __future__ import annotations

PIPELINE = """\
# the team's own
stages: [check]

test:
  stage: check
  script: [make test]
"""


def delivery(name: str) -> str:
    """A `delivery.yaml` for an application of that name."""
    return f"""\
app: {name}
registry: registry.example.com/{name}
components: {{web: {{path: web}}}}
iac: {{repository: https://gitlab.example.com/iac/{name}.git}}
environments:
  production: {{gate: {{engine: embedded, url: "http://127.0.0.1:9", application: {name}-production}}}}
"""
