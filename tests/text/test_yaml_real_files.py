"""What pipelines do to the files that teams have: the difference, line by line."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from pipegraft.text.yaml import Edit, Insert, Put, Remove, Set, apply

FILES = Path(__file__).parent / "fixtures"
DIGEST = "sha256:" + "0b" * 32

DIFFERENCES: list[tuple[str, int | None, list[Edit], str]] = [
    ("helm-values.yaml", None, [
        Set(("image", "tag"), "1.10"),
    ], """
-  tag: ""
+  tag: "1.10"
"""),
    ("helm-values.yaml", None, [
        Set(("sidecars", 0, "image", "digest"), DIGEST),
        Set(("sidecars", 1, "name"), "on"),
    ], f"""
-      {{repository: registry.example.com/shop/governance, tag: 1.4.0, digest: }}
+      {{repository: registry.example.com/shop/governance, tag: 1.4.0, digest: {DIGEST} }}
-  -   name: cache
+  -   name: "on"
"""),
    ("helm-values.yaml", None, [
        Put(("podAnnotations", "pipegraft/step"), "5"),
        Put(("ingress", "annotations", "a"), "b"),
    ], """
+  pipegraft/step: "5",
-  annotations: {}
+  annotations: {a: b}
"""),
    ("helm-values.yaml", None, [
        Put(("nodeSelector", "disk"), "ssd"),
        Put(("gray",), {"weight": 5}),
    ], """
+  disk: ssd
+gray:
+  weight: 5
"""),
    ("helm-values.yaml", None, [
        Insert(("ingress", "hosts", 0, "paths"), None, {"path": "/api", "pathType": "Exact"}),
    ], """
+      - path: /api
+        pathType: Exact
"""),
    ("helm-values.yaml", None, [
        Remove(("sidecars", 0)),
        Remove(("config",)),
    ], """
-  - name: governance
-    image:
-      {repository: registry.example.com/shop/governance, tag: 1.4.0, digest: }
-    args: ["--listen=:9090", '--upstream=http://localhost:8080', --log]
-config: |
-  [server]
-  # not a comment of the file
-  port = 8080
-
-    indented = yes
"""),
    ("kustomization.yaml", None, [
        Set(("images", 0, "newTag"), "v1.0.1"),
        Set(("images", 2, "newTag"), "1.20"),
    ], """
-  newTag: v1.0.0  # bumped by the pipeline
+  newTag: v1.0.1  # bumped by the pipeline
-- {name: governance, newTag: "1.10"}
+- {name: governance, newTag: "1.20"}
"""),
    ("kustomization.yaml", None, [
        Remove(("images", 0, "newTag")),
        Put(("images", 0, "digest"), DIGEST),
    ], f"""
-  newTag: v1.0.0  # bumped by the pipeline
+  digest: {DIGEST}
"""),
    ("kustomization.yaml", None, [
        Insert(("images",), None, {"name": "cache", "newTag": "7.2"}),
    ], """
+- name: cache
+  newTag: "7.2"
"""),
    ("manifests.yaml", None, [
        Set(("spec", "template", "spec", "containers", 0, "image"), f"web@{DIGEST}"),
    ], f"""
-                - image: registry.example.com/shop/web@sha256:{"0" * 64}
+                - image: web@{DIGEST}
"""),
    ("manifests.yaml", 1, [
        Put(("metadata", "annotations", "pipegraft/commit"), "1e10"),
    ], """
+        pipegraft/commit: "1e10"
"""),
    ("manifests.yaml", 1, [
        Put(("spec", "strategy"), {"type": "Recreate", "more": {"a": [1]}}),
    ], """
+    strategy:
+        type: Recreate
+        more:
+            a:
+                - 1
"""),
    ("manifests.yaml", 1, [
        Remove(("spec", "template", "spec", "containers", 0, "image")),
    ], f"""
-                - image: registry.example.com/shop/web@sha256:{"0" * 64}
-                  name: web
+                - name: web
"""),
    ("gitlab-ci.yaml", None, [
        Insert(("include",), None, {"component": "gitlab.com/pipegraft/delivery@1"}),
    ], """
+  - component: gitlab.com/pipegraft/delivery@1
"""),
    ("gitlab-ci.yaml", None, [
        Insert(("stages",), 1, "image-build"),
        Insert(("stages",), None, "gray-release"),
    ], """
-stages: [build, test,
-         deploy]   # keep the order
+stages: [build, image-build, test,
+         deploy, gray-release]   # keep the order
"""),
    ("gitlab-ci.yaml", None, [
        Put(("test", "variables", "NEW"), "yes"),
        Put(("build", "artifacts", "reports"), {"dotenv": "a"}),
    ], """
+    reports:
+      dotenv: a
+    NEW: "yes"
"""),
    ("gitlab-ci.yaml", None, [
        Remove(("build", "script", 2)),
        Remove(("test", "rules", 1)),
    ], """
-    - |
-      echo "several lines"
-      for i in 1 2 3; do echo $i; done
-    -
-      # never on tags
-      if: '$CI_COMMIT_TAG'
-      when: never
"""),
    ("application.yaml", None, [
        Put(("spec", "components", 0, "traits", 0, "properties", "replicas"), 4),
        Put(("spec", "components", 0, "properties", "gray"), {"weight": 1}),
    ], """
+        gray:
+          weight: 1
-          properties: {replicas: 2}
+          properties: {replicas: 4}
"""),
    ("application.yaml", None, [
        Insert(("spec", "workflow", "steps"), None, {"type": "suspend"}),
        Insert(("spec", "policies"), 0, {"name": "topology"}),
    ], """
+    - name: topology
-    steps: []
+    steps: [{type: suspend}]
"""),
    ("compact.json.yaml", None, [
        Set(("images", 1, "n"), "one"),
        Put(("nested", "new"), [True, None]),
    ], """
-{"apiVersion":"v1","images":[{"name":"web","digest":"sha256:00"},{"name":"b\\u00e9","n":1.0,"on":true,"none":null}],
- "nested":{"empty":{},"list":[],"deep":[[1,2],[[]]]}}
+{"apiVersion":"v1","images":[{"name":"web","digest":"sha256:00"},{"name":"b\\u00e9","n":"one","on":true,"none":null}],
+ "nested":{"empty":{},"list":[],"deep":[[1,2],[[]]],"new":[true,null]}}
"""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "document", "edits", "difference"), DIFFERENCES)
def test_the_difference_is_what_a_person_would_have_made(
    name: str, document: int | None, edits: list[Edit], difference: str
) -> None:
    before = (FILES / name).read_text()
    after = apply(before, edits, document=document)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    assert "\n".join(changed) == difference.strip("\n")


def test_a_gray_release_is_put_moved_on_and_taken_out_without_a_trace() -> None:
    before = "# production\nimages:\n  web: web@sha256:0a  # pinned\nreplicas: 3\n\n# --- end\n"
    gray = {"images": {"web": "web@sha256:0b"}, "weight": 1, "steps": [1, 5, 25]}
    begun = apply(before, [Put(("gray",), gray)])
    assert begun == before.replace(
        "replicas: 3\n",
        "replicas: 3\ngray:\n  images:\n    web: web@sha256:0b\n  weight: 1\n"
        "  steps:\n    - 1\n    - 5\n    - 25\n",
    )
    moved = apply(begun, [Put(("gray",), gray | {"weight": 5})])
    assert moved == begun.replace("weight: 1\n", "weight: 5\n")
    assert apply(moved, [Remove(("gray",))]) == before
