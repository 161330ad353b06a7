"""Images and secrets in the spellings that tools still understand, and what only looks like them."""

from __future__ import annotations

import pytest
from guarded import A
from test_guard_contents import told

PW = "Sup3rS3cretPw"
IN_BASE64 = "U3VwM3JTM2NyZXRQdw=="
POD = "spec: {containers: [{image: r/web:1}]}"
JOB = f"apiVersion: batch/v1\n    kind: Job\n    {POD}"

IMAGES = """
image: 1.27
image: [r/web]
image: ['r/web:1']
image: {repository: r/web, tag: 1.27}
image: {repository: r/web, tag: 8}
image: {repository: r/web, tag: 2024-01-01}
images: [{name: r/web, newTag: 1.27}]
imageTag: 1.27
image_version: 3
!!binary aW1hZ2U=: r/web:1
spec: {valuesContent: 'image: {repository: r/web, tag: v1}'}
helm: {parameters: [{name: image.tag, value: 1.27}]}
patches: [{patch: '[{op: replace, path: /spec/image, value: 1.27}]'}]
configMapGenerator: [{name: a, literals: ['IMAGE=r/web:1']}]
args: ['--proxy-image', 'r/x:1']
image = "r/web:1"
""".strip().splitlines()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        *(("rendered/a.yaml", line) for line in IMAGES),
        ("rendered/a.yaml", f"data:\n  pod: |\n    {POD}\n"),
        ("rendered/a.yaml", f"data:\n  job: |\n    {JOB}\n"),
        ("rendered/a.hcl", 'image = "r/web:1"\n'),
        ("rendered/a.tf.json", '{"resource": {"docker_image": {"x": {"name": "r/web:1"}}}}'),
        ("rendered/a.toml", 'image = "r/web:1"\n'),
        ("rendered/a.properties", "image=r/web:1\n"),
    ],
)
def test_an_image_is_found_in_any_spelling(path: str, text: str) -> None:
    assert told({path: text})


DOCUMENTS = f"""
kind: secret¶data: {{a: {IN_BASE64}}}
kind: SecretList¶items: [{{metadata: {{name: a}}, data: {{k: {IN_BASE64}}}}}]
kind: SecretList¶items: [{{metadata: {{name: a}}, stringData: {{k: {PW}}}}}]
kind: ExternalSecret¶spec: {{target: {{template: {{data: {{password: {PW}}}}}}}}}
kind: ExternalSecret¶spec: {{target: {{template: {{data: {{k: {PW}}}}}}}}}
kind: ClusterExternalSecret¶spec: {{externalSecretSpec: {{target: {{template: {{data: {{k: {PW}}}}}}}}}}}
kind: SecretStore¶spec: {{provider: {{fake: {{data: [{{key: a, value: {PW}}}]}}}}}}
kind: SealedSecret¶spec: {{template: {{data: {{password: {PW}}}}}}}
kind: SopsSecret¶spec: {{secretTemplates: [{{name: a, stringData: {{k: {PW}}}}}]}}
kind: SecretGenerator¶files: [password.txt]
kind: Secret¶stringData: {{password: '84629301'}}
kind: Secret¶stringData: {{password: $hunter2abc}}
kind: Secret¶stringData: {{password: '${{P:+{PW}}}'}}
kind: Secret¶stringData: {{password: '${{P/x/{PW}}}'}}
secretGenerator: [{{name: a, literals: ['p={PW}']}}]
configMapGenerator: [{{name: a, literals: ['DB_PASSWORD={PW}']}}]
containers: [{{args: ['--password={PW}']}}]
metadata: {{annotations: {{last: '{{"kind":"Secret","data":{{"a":"{IN_BASE64}"}}}}'}}}}
[{{op: replace, path: /stringData/password, value: {PW}}}]
patches: [{{target: {{kind: Secret}}, patch: '[{{op: add, path: /data/a, value: {IN_BASE64}}}]'}}]
app: {{secretKey: {PW}}}
app: {{token: {PW}}}
helm: {{parameters: [{{name: db.password, value: {PW}}}]}}
""".strip().splitlines()
FILLED_IN = f"""
{{{{ coalesce .Values.x "{PW}" }}}}
{{{{ ternary "{PW}" "x" true }}}}
{{{{ upper "{PW}" }}}}
{{{{ printf "%s" "{PW}" }}}}
{{{{ .Values.x | default (print "{PW}") }}}}
{{{{ b64dec "{IN_BASE64}" }}}}
{{{{ "Sup3r" }}}}{{{{ "S3cret" }}}}
{{{{ get (dict "a" "{PW}") "a" }}}}
{{{{ list "{PW}" | first }}}}
correcthorsebattery{{{{ "" }}}}
correcthorsebattery{{{{/* x */}}}}
""".strip().splitlines()


@pytest.mark.parametrize(
    "text",
    [
        *(line.replace("¶", "\n") for line in DOCUMENTS),
        *(f"kind: Secret\nstringData:\n  password: {line}\n" for line in FILLED_IN),
        f'{{{{ $p := "{PW}" }}}}\nkind: Secret\nstringData:\n  password: {{{{ $p }}}}\n',
        f'{{{{ $p := "" }}}}{{{{ $p = "{PW}" }}}}\nkind: Secret\nstringData:\n  password: {{{{ $p }}}}\n',
        f"{{{{- $p := `{PW}` -}}}}\nkind: Secret\nstringData:\n  password: {{{{ $p | quote }}}}\n",
        f'{{{{- $p := "{PW}" | b64enc -}}}}\nkind: Secret\ndata:\n  password: {{{{ $p }}}}\n',
        f'kind: {{{{ "Secret" }}}}\nstringData:\n  password: {PW}\n',
    ],
)
def test_a_secret_is_found_in_any_spelling(text: str) -> None:
    assert "secret" in told({"shop/s.yaml": text}).lower()


BELOW = r"""
stringData:\n  a: >-\n    PW
stringData:\n  a:\n    PW
stringData: {{ if x }}\n  a: PW\n{{ end }}
stringData: # x\n  a: PW
stringData:\n\n  # c\n  a: PW
stringData:\n  {{- if x }}\n  a: PW\n  {{- end }}
stringData:\n  {{- range $k, $v := dict "a" "PW" }}\n  {{ $k }}: {{ $v }}\n  {{- end }}
stringData:\n  {{- toYaml (dict "a" "PW") | nindent 2 }}
data: {"a": \n  "PW"}
""".strip().splitlines()


@pytest.mark.parametrize("text", BELOW)
def test_a_template_hides_no_secret(text: str) -> None:
    text = text.replace("\\n", "\n").replace("PW", PW)
    assert "a Secret with its value" in told(
        {"c/templates/s.yaml": f"{{{{ if x }}}}\nkind: Secret\n{text}\n"}
    )


def test_a_secret_in_what_nobody_can_read_is_refused() -> None:
    bomb = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcde", "bcdef", strict=True)
    )
    assert "aliases without end" in told({"s/a.yaml": f"kind: Secret\nx: 1\n---\n{bomb}"})


def test_argo_cds_overrides_are_manifests_wherever_they_lie() -> None:
    assert told({"apps/shop/.argocd-source-shop.yaml": "kustomize: {images: ['r/web:1']}\n"})


def test_a_pattern_of_attributes_hides_none() -> None:
    assert "'filter'" in told({".gitattributes": "a#b filter=x\n"})
    assert not told({".gitattributes": " # filter=x\n"})


@pytest.mark.parametrize("path", ["x/.env.local", "app.ini", "app.toml"])
def test_files_of_settings_hold_no_secret(path: str) -> None:
    assert "a variable with its value" in told({path: f"SECRET_KEY = {PW}\n"})


def test_a_file_becomes_a_secret_by_a_kustomization_of_any_name() -> None:
    for name in ("kustomization.yaml", "kustomization.yml", "Kustomization"):
        files = {f"k/{name}": "secretGenerator: [{name: a, files: [p.txt]}]\n", "k/p.txt": PW}
        assert f"a Secret is made of it by k/{name}" in told(files)


FETCHED = """\
kind: ExternalSecret
spec:
  secretStoreRef: {name: vault, kind: ClusterSecretStore}
  target:
    template:
      data:
        type: git
        url: https://github.com/org/repo
        password: '{{ .password }}'
        config.yaml: |
          host: db1.example.com
          password: {{ .password | quote }}
  data: [{secretKey: password, remoteRef: {key: prod/db, property: password}}]
"""
TEMPLATE = """\
{{- if .Values.x }}
apiVersion: v1
kind: Secret
metadata: {name: {{ include "x.fullname" . }}}
data:
  a: {{ required "a password is needed" .Values.a | b64enc }}
  b: {{ index .Values "my-key" | b64enc | quote }}
  c: {{ printf "postgres://%s:%s@db" .u .p | b64enc }}
  d: {{ randAlphaNum 16 | b64enc | quote }}
  e: {{ (lookup "v1" "Secret" .Release.Namespace "mysecret1").data.password }}
  f: {{ include "x.secret1key" . }}
  g: {{ default "" .Values.g | b64enc }}
{{- end }}
"""
NAMES = """
containers: [{env: [{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: web1-token, key: b}}}]}]
kind: SealedSecret¶spec: {encryptedData: {password: AgBy3i4OJSWK+PiTySYZZA9rO43cGDEq}}
kind: SecretProviderClass¶spec: {provider: vault, parameters: {roleName: app}}
kind: Secret¶stringData: {port: '5432'}
kinds: [{apiGroups: [''], kinds: [Secret]}]
kind: Certificate¶spec: {secretName: web1-tls-v2, issuerRef: {name: ca}}
kind: VaultStaticSecret¶spec: {mount: kvv2, path: app/db1config, destination: {name: a, create: true}}
ignoreDifferences: [{kind: Secret, jsonPointers: [/data]}]
serviceAccount: {token: web1-token-v2}
""".strip().splitlines()


@pytest.mark.parametrize(
    "text",
    [
        FETCHED,
        TEMPLATE,
        "kind: ExternalSecret\nspec: {target: {template: {data: {p: '{{ `{{ .p }}` }}'}}}}\n",
        *(line.replace("¶", "\n") for line in NAMES),
    ],
)
def test_what_only_names_a_secret_passes(text: str) -> None:
    assert not told({"shop/s.yaml": text})


def test_keys_like_images_that_are_none_pass() -> None:
    text = f"image: {A}\nimagePullSecrets: [{{name: a}}]\nimageCredentials: {{create: true}}\nimage2: null\n"
    assert not told({"rendered/a.yaml": text})


def test_what_no_tool_takes_for_an_image_passes() -> None:
    rule = "labels: {image: '{{ $labels.image }}'}"
    for text in (
        f"kind: ConfigMap\ndata:\n  rules.yaml: |\n    groups: [{{rules: [{{alert: A, {rule}}}]}}]\n",
        'data:\n  a.json: \'{"panels": [{"image": "logo.png"}, {"image": "/img/b.svg"}]}\'\n',
        "icon: {image: [a, b]}\n",
        "annotations: {image: 'The image of the pod', logo: {image: 'https://example.com/a.png'}}\n",
    ):
        assert not told({"rendered/a.yaml": text})
    for said in (
        "{{ .Values.image }}",
        "r/logo.png",
        "logo.png:1",
        "docker://r/web:1",
        "{{ $labels.a }}r/web",
    ):
        assert "pinned" in told({"rendered/a.yaml": f"image: '{said}'\n"})
    assert "pinned" in told({"rendered/a.yaml": "image: [r/web]\n"})
