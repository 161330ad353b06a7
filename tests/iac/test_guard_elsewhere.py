"""What files bring in, spell otherwise or hide: the guard's verdict on each, and on good ones like it."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma

import pytest
from guarded import TOKEN, A
from test_guard_contents import DIGEST, told

from pipegraft.iac.guard import GuardRules

COMMIT = "c" * 40
K = "rendered/kustomization.yaml"
FLUX = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: {}\nspec: {}\n"
ARGO = "kind: Application\nspec: {source: {repoURL: 'https://git.example.com/x', targetRevision: %s}}\n"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (K, "resources: ['https://raw.example.com/x.yaml']\n"),
        (K, "components: ['ssh://git@host/x']\n"),
        (K, "resources: ['deploy@host.example.com:x/y']\n"),
        (K, "resources: ['s3::https://bucket/x']\n"),
        (K, "openapi: {path: 'https://x.example.com/schema.json'}\n"),
        (K, "helmCharts: [{name: redis, repo: 'oci://r.example.com/charts', version: 1.0.0}]\n"),
        (K, "helmCharts: [{name: redis, valuesFile: 'https://x.example.com/v.yaml'}]\n"),
        (K, "helmChartInflationGenerator: [{chartName: x, chartRepoUrl: 'https://x.example.com'}]\n"),
        (K, "replacements: [{path: 'https://x.example.com/r.yaml'}]\n"),
        (K, "patches: [{path: 'https://x.example.com/p.yaml'}]\n"),
        (K, "configMapGenerator: [{name: c, files: ['a=https://x.example.com/a']}]\n"),
        (K, "generators: [./plugin.yaml]\n"),
        (K, "transformers: [plugin.yaml]\n"),
        (
            K,
            "generators:\n- |\n  apiVersion: builtin\n  kind: H\n  repo: https://x/y\n  chart: y\n",
        ),
        (
            "rendered/p.yaml",
            "kind: X\nmetadata: {annotations: {config.kubernetes.io/function: 'exec: ./x'}}\n",
        ),
        ("rendered/p.yaml", FLUX.format("GitRepository", "{url: 'https://x/y', ref: {branch: main}}")),
        ("rendered/p.yaml", FLUX.format("HelmRepository", "{url: 'https://x/y'}")),
        ("rendered/p.yaml", FLUX.format("OCIRepository", "{url: 'oci://x/y', ref: {tag: v1}}")),
        ("rendered/p.yaml", FLUX.format("Bucket", "{endpoint: s3.example.com}")),
        ("rendered/p.yaml", ARGO % "main"),
        ("rendered/p.yaml", ARGO.replace("source: {", "sources: [{").replace("%s}", "%s}]") % "HEAD"),
        ("rendered/p.yaml", ARGO.replace("repoURL", "chart: x, repoURL") % f"'{COMMIT}'"),
        ("rendered/p.yaml", "kind: ApplicationSet\nspec: {template: " + json.dumps({"repoURL": "x"}) + "}\n"),
        ("rendered/p.yaml", "helm: {valueFiles: ['https://x.example.com/v.yaml']}\n"),
        ("rendered/Chart.yaml", "dependencies: [{name: x, repository: 'https://x.example.com'}]\n"),
        ("rendered/helmfile.yaml", "repositories: [{name: x, url: charts.example.com}]\n"),
        ("rendered/p.yaml", "volumes: [{gitRepo: {repository: 'https://x/y'}}]\n"),
        ("rendered/p.yaml", "kind: App\nspec: {fetch: [{http: {url: 'https://x/y'}}]}\n"),
    ],
)
def test_what_is_brought_in_from_elsewhere_is_refused(path: str, text: str) -> None:
    assert "comes from elsewhere" in told({path: text})
    assert "comes from elsewhere" not in told({path: text}, GuardRules(sources=("*",)))
    assert not told({path.replace("rendered", "team"): text})
    assert "comes from elsewhere" in told(
        {path.replace("rendered", "team"): text}, GuardRules(sources=("https://git.example.com/ours/*",))
    )


def test_what_a_commit_or_a_digest_pins_may_come_from_elsewhere() -> None:
    assert not told(
        {
            "rendered/a.yaml": FLUX.format(
                "GitRepository", f"{{url: 'https://x/y', ref: {{commit: {COMMIT}}}}}"
            ),
            "rendered/b.yaml": FLUX.format(
                "OCIRepository", f"{{url: 'oci://x/y', ref: {{digest: '{DIGEST}'}}}}"
            ),
            "rendered/c.yaml": ARGO % f"'{COMMIT}'",
            K: "resources: [a.yaml, ../base]\ncommonAnnotations: {docs: 'https://x.example.com'}\n"
            "configMapGenerator: [{name: c, literals: ['URL=https://x.example.com'], files: [a.txt]}]\n",
            "rendered/Chart.yaml": "dependencies: [{name: x, repository: 'file://../x'}]\n",
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        "imageName: r/web:1\n",
        "image_name: web\nimage_tag: v1\n",
        "web: {imageRepository: r/web, imageTag: v1}\n",
        "web: {repository: r/web, tag: v1}\n",
        "sidecarImage: r/proxy:1\n",
        "init-image: r/proxy\n",
        "proxy: {sidecar_image: {repository: r/proxy, tag: v1}}\n",
        "kind: ConfigMap\ndata: {values.yaml: 'image: {repository: r/web, tag: v1}'}\n",
        "kind: ConfigMap\ndata: {WEB_IMAGE_TAG: v1}\n",
        "env: [{name: RELATED_IMAGE_DB, value: 'r/db:1'}]\n",
        "env: [{name: PROXY_IMAGE, value: 'r/proxy:1'}]\n",
        "args: ['--sidecar-image=r/proxy:1']\n",
        "helm: {parameters: [{name: web.imageTag, value: v1}]}\n",
        "patch: '[{op: copy, from: /x, path: /spec/c/0/image}]'\n",
        "patch: '[{op: add, path: /spec/c/-, value: {image: r/web:1}}]'\n",
        "replacements: [{source: {kind: ConfigMap}, targets: [{fieldPaths: ['spec.c.[name=x].image']}]}]\n",
        "source: {}\ntargets: [{fieldPaths: [spec.imageTag]}]\n",
        "#@ load('x')\nimage: #@ data.values.image\n",
    ],
)
def test_an_image_is_found_whatever_its_key(text: str) -> None:
    assert "rendered/a.yaml:" in told({"rendered/a.yaml": text})


def test_what_only_looks_like_an_image_passes() -> None:
    text = f"""\
imagePullPolicy: Always
imagePullSecrets: [{{name: r}}]
backgroundImage: /img/a.png
logo_image: a.svg
imageName: {A}
sidecarImageRepository: r/proxy
sidecarImageTag: v1@{DIGEST}
other: {{imageName: r/x, imageDigest: '{DIGEST}'}}
env: [{{name: IMAGE_QUALITY, value: high}}, {{name: RELATED_IMAGE_DB, value: '{A}'}}]
args: ['--image={A}']
git: {{repository: 'https://x/y', tag: v1}}
properties: {{image: {{type: string}}, imageTag: {{type: string}}}}
"""
    assert not told({"rendered/a.yaml": text})


@pytest.mark.parametrize("name", ["a.jsonnet", "lib.libsonnet", "a.cue", "a.k", "gen.sh", "templates/_h.tpl"])
def test_programs_are_no_manifests(name: str) -> None:
    assert "a program or a template" in told({f"rendered/{name}": "x\n"})
    assert not told({f"team/{name}": "x\n"})


def test_comments_of_templates_are_run() -> None:
    assert "a program or a template" in told({"rendered/templates/a.yaml": '# {{ include "x" . }}\na: 1\n'})
    assert not told({"rendered/rules.yaml": "summary: '{{ $labels.instance }} is down'\n"})


@pytest.mark.parametrize(
    "value",
    [
        'hunter22{{ "" }}',
        '{{ "hunter2" | b64enc }}',
        '{{ default "hunter2" .Values.x }}',
        '{{ .Values.x | default "hunter2" | quote }}',
        '{{ b64enc "hunter2" }}',
        "${PASSWORD:-hunter2}",
        "pre${X}hunter22",
        "hunter2 ENC[",
        "not a <path:, hunter2",
        "hunter2ref+",
    ],
)
def test_a_secret_beside_a_placeholder_is_one(value: str) -> None:
    template = f"{{{{ if .x }}}}\nkind: Secret\nstringData:\n  password: {value}\n{{{{ end }}}}\n"
    parsed = f"kind: Secret\nstringData:\n  password: {json.dumps(value)}\n"
    for text in (template, parsed):
        assert "a Secret with its value" in told({"chart/templates/s.yaml": text}), text


@pytest.mark.parametrize(
    "value",
    [
        "{{ .Values.x | b64enc }}",
        '{{ required "set it in the values" .Values.x | quote }}',
        '{{ include "shop.password" . }}',
        '{{ printf "%s:%s" .u .p | b64enc }}',
        "{{ randAlphaNum 16 | b64enc | quote }}",
        "postgres://{{ .user }}:{{ .password }}@db:5432/shop",
        "${DB_PASSWORD}",
        "<path:kv/data/shop#password>",
        "ref+vault://kv/shop#/password",
        "ENC[AES256_GCM,data:abc=,iv:x,tag:y,type:str]",
    ],
)
def test_what_is_filled_in_later_is_no_secret(value: str) -> None:
    assert not told({"chart/s.yaml": f"kind: Secret\nstringData:\n  password: {json.dumps(value)}\n"})
    assert not told({"chart/t.yaml": f"{{{{ x }}}}\nkind: Secret\nstringData:\n  password: {value}\n"})


def wrapped(text: str, width: int, between: str) -> str:
    return between.join(text[at : at + width] for at in range(0, len(text), width))


RAW = f"config:\n  token: {TOKEN}\n".encode()
BASE64 = base64.b64encode(RAW).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"a: {BASE64}\n",
        f"a: path/{BASE64}\n",
        f"a: {base64.urlsafe_b64encode(b'?>' + RAW).decode().rstrip('=')}\n",
        "a: |\n  " + wrapped(BASE64, 20, "\n  ") + "\n",
        "some-words-in-a-line-before:\n" + BASE64 + "\n",
        'a: "' + wrapped(BASE64, 20, "\\\n  ") + '"\n',
        f"a: {base64.b64encode(BASE64.encode()).decode()}\n",
        f"a: {base64.b64encode(gzip.compress(RAW, mtime=0)).decode()}\n",
        f"a: {base64.b64encode(base64.b64encode(gzip.compress(RAW, mtime=0))).decode()}\n",
        f"a: {RAW.hex()}\n",
        f"a: {base64.b64encode(RAW.decode().encode('utf-16')).decode()}\n",
        'a: "glp\\x61t-' + "x" * 20 + '"\n',
        'a: "glpat-xxxxxxxxxx\\\n  xxxxxxxxxx"\n',
        f"a: glpat%2D{'x' * 20}\n",
        f"a: glpat&#45;{'x' * 20}\n",
        f"a: {base64.b32encode(RAW).decode()}\n",
        f"a: {base64.b32encode(RAW).decode().lower().rstrip('=')}\n",
        f"a: '{base64.b85encode(RAW).decode()}'\n",
        f"a: {base64.b64encode(bz2.compress(RAW)).decode()}\n",
        f"a: {base64.b64encode(lzma.compress(RAW)).decode()}\n",
        f"a: glpat-xxx\u200b{'x' * 20}\n",
        f"a: gl\u00adpat-\u2060{'x' * 20}\n",
        f"a: \uff47\uff4c\uff50\uff41\uff54-{'x' * 20}\n",
    ],
)
def test_a_token_is_found_however_it_is_encoded(text: str) -> None:
    assert "this looks like a GitLab token" in told({"team/a.yaml": text})


def test_packed_text_without_end_is_not_looked_into() -> None:
    bomb = base64.b64encode(gzip.compress(b"x" * 20_000_000)).decode()
    assert "nobody looks into it" in told({"team/a.yaml": f"a: {bomb}\n"})


KUBECONFIG = "kind: Config\nusers:\n- name: u\n  user: {CREDENTIAL: abcdef}\n"


@pytest.mark.parametrize(
    "credential", ["token", "password", "client-key-data", "auth-provider: {config: {id-token"]
)
def test_a_kubeconfig_in_a_config_map_is_a_secret(credential: str) -> None:
    text = KUBECONFIG.replace("CREDENTIAL", credential).replace(
        "abcdef}", "abcdef" + "}" * (credential.count("{") + 1)
    )
    inner = "kind: ConfigMap\ndata:\n  config: |\n" + "".join(f"    {line}\n" for line in text.splitlines())
    assert "a Secret with its value" in told({"team/a.yaml": inner})


def test_a_variable_of_a_container_holds_no_secret() -> None:
    text = "containers: [{env: [{name: DB_PASSWORD, value: hunter2}]}]\n"
    assert "'DB_PASSWORD' looks like a secret" in told({"team/a.yaml": text})
    for good in ("valueFrom: {secretKeyRef: {name: a, key: b}}", "value: '${DB}'", "value: ''"):
        assert not told({"team/a.yaml": text.replace("value: hunter2", good)})
    assert not told({"team/a.yaml": f"{text.rstrip()} # pipegraft:not-secret\n"})


def test_a_file_that_becomes_a_secret_is_encrypted() -> None:
    made = "secretGenerator: [{name: s, files: [ca=keys/db.txt], envs: [db.env]}]\n"
    for changed in ("team/keys/db.txt", "team/db.env"):
        files = {changed: "LIMIT=abc\n", "team/kustomization.yaml": made}
        assert f"{changed}: a Secret is made of it" in told(files)
        assert f"{changed}: a Secret is made of it" in told({changed: "hunter2\n"}, held=files)
    good = {"team/db.env": "A=${B}\n", "team/keys/db.txt": "x: ENC[a]\nsops: {}\n"}
    assert not told({**good, "team/kustomization.yaml": made})
    assert not told({"team/kustomization.yaml": made})  # made on the way


@pytest.mark.parametrize(
    "path",
    [
        ".gitlab-ci.yml",
        ".github/workflows/x.yml",
        ".GitLab-CI.yml",
        "Jenkinsfile",
        "sub/.gitmodules",
        ".gitea/workflows/a.yaml",
        "CODEOWNERS",
        ".tekton/push.yaml",
    ],
)
def test_what_starts_programs_may_change_only_by_name(path: str) -> None:
    assert "starts programs with this repository's rights" in told({path: "a: 1\n"})
    assert not told({path: "a: 1\n"}, GuardRules(pipelines=(path,)))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("environments/pr\u043eduction.yaml", "mixes Latin letters with Cyrillic"),
        ("environments/prod\u200bx.txt", "U+200B, which nobody sees"),
        ("environments/a\u202egpj.txt", "U+202E"),
        ("Environments/a.txt", "are one where small letters"),
        ("APP.yaml", "'APP.yaml' and 'app.yaml' are one"),
        ("team/\ufb01le", "'team/\ufb01le' and 'file' are one"),
    ],
)
def test_names_are_what_they_seem(path: str, says: str) -> None:
    assert says in told({path: "a: 1\n"}, held={"team/file": "1\n"})


def test_names_in_any_language_pass() -> None:
    assert not told({"docs/größe.md": "a\n", "docs/文档.md": "a\n", "docs/план.md": "a\n", "team/App": "1\n"})


def test_what_is_found_again_and_again_is_told_a_hundred_times_at_most() -> None:
    assert told({"team/a": f"{TOKEN}\n" * 500}).count("a GitLab token") == 100
    assert told({"team/a": f"{TOKEN} " * 500}).count("a GitLab token") == 1


@pytest.mark.parametrize("end", ["\r", "\r\n", "\x85", "\u2028"])
def test_lines_end_as_readers_of_yaml_end_them(end: str) -> None:
    text = end.join(["a: 1", 'b: "glp\\x61t-' + "x" * 20 + '"', "c: 1", ""])
    assert "this looks like a GitLab token" in told({"team/a.yaml": text})


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("rendered/kustomization.yaml", "resources: ['bitbucket.org:x/y']\n"),
        ("rendered/a.yaml", "image: {tag: v1}\n"),
        ("rendered/a.yaml", "apiVersion: pkg.crossplane.io/v1\nspec: {package: 'xpkg.example.com/x:v1'}\n"),
        ("rendered/a.yaml", "kind: WasmPlugin\nspec: {url: 'oci://r/x:v1'}\n"),
        ("rendered/a.yaml", "kind: HelmChart\nspec: {chart: 'https://x/y.tgz'}\n"),
        ("rendered/a.yaml", "kind: Configuration\nspec: {remote: 'https://x/y.git'}\n"),
        ("rendered/a.yaml", "components: [{type: helm, properties: {url: 'https://x', chart: y}}]\n"),
        ("team/values.yaml", "auth: {rootPassword: hunter2}\n"),
        ("team/values.yaml", "web: {env: {DB_PASSWORD: hunter2}}\n"),
        ("team/a.yaml", "helm: {parameters: [{name: auth.password, value: sunshine}]}\n"),
        ("team/a.yaml", "helm: {parameters: [{name: auth.token, value: sunshine}]}\n"),
        ("c/templates/_a.tpl", '{{- define "c.password" -}}\nhunter2\n{{- end }}\n'),
        ("c/templates/_a.tpl", '{{ define "c.apiKey" }}{{ "hunter2" | quote }}{{ end }}\n'),
        ("c/templates/_a.tpl", '{{ define "c.token" }}{{ print "aB3dE5gH7jK9" }}{{ end }}\n'),
        (
            "c/templates/s.yaml",
            '{{ define "c.x" }}aB3dE5gH7jK9{{ end }}\n'
            'kind: Secret\nstringData:\n  a: {{ include "c.x" . }}\n',
        ),
        ("team/a.yaml", "kind: ConfigMap\ndata: {DB_PASSWORD: hunter2}\n"),
        ("team/g.yaml", "kind: SecretGenerator\nliterals: ['a=hunter2']\n"),
        ("team/.netrc", "machine x login y password hunter2\n"),
        ("team/.env.prod", "export DB_PASSWORD=hunter2\n"),
        ("team/s.yaml", '{{ x }}\nkind: Secret\nstringData:\n  a: {{ printf "hunter2" }}\n'),
    ],
)
def test_what_others_of_these_kinds_say_is_refused(path: str, text: str) -> None:
    assert f"{path}" in told({path: text})


@pytest.mark.parametrize(
    "text",
    [
        "parameters: [{name: auth.existingSecret, value: shop-db}, {name: auth.tokenSecret, value: shop}]\n",
        "parameters: [{name: auth.token, value: '$(TOKEN)'}, {name: rbac.token, value: 'true'}]\n",
        "parameters: [{name: vault.token, value: vault-token}, {name: web.tokenTTL, value: 5m}]\n",
        '{{- define "shop.password" -}}{{ .Values.auth.password }}{{- end -}}\n',
        '{{ define "shop.password" }}{{ if .a }}{{ .a }}{{ else }}{{ randAlpha 9 }}{{ end }}{{ end }}\n',
        '{{- define "shop.secretName" -}}shop-db{{- end -}}\n',
        '{{- define "shop.token" -}}shop-token{{- end -}}\n',
        '{{- define "shop.passwordKey" -}}{{ "db-password" }}{{- end -}}\n',
        '{{ define "shop.name" }}shop{{ end }}\nkind: Secret\ndata: {a: {{ include "shop.a" . }}}\n',
        "a: 'caf\u00e9 \u2026 na\u00efve\u00adly \ufb01ne'\n",
        "regex: '^[a-z0-9!#$%&*+/=?^_`{|}~-]+(?:\\.[a-z0-9!#$%&*+/=?^_`{|}~-]+)*@'\n",
        "host: ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRSTUVWXYZ234567\n",
    ],
)
def test_what_is_spelled_oddly_and_is_no_secret_passes(text: str) -> None:
    assert told({"shop/templates/a.yaml": text}) == ""


def test_keys_that_name_where_a_secret_is_are_none() -> None:
    text = """\
auth: {existingSecret: db, passwordKey: password, password: '', tokenTTL: 5m}
other: {password: $DB_PASSWORD, apiKey: '${KEY}', privateKey: {algorithm: RSA}}
sealed: {kind: SealedSecret, spec: {encryptedData: {password: AgBy3i4OJSWK}}}
"""
    assert not told({"team/values.yaml": text})


TEMPLATE = r"""
{{ include "common.secrets.passwords.manage" (dict "secret" (include "n" .) "key" "redis-password") }}
{{ index (lookup "v1" "Secret" .Release.Namespace "app").data "password" }}
{{ include "x" (dict "secret" "batch" "key" "S3_CONFIG_KEY" "skipB64enc" (list "aws.S3_Config_KEY")) }}
{{ if $secret }}{{ index $secret.data "key" }}{{ else }}{{ randAlphaNum 32 | b64enc }}{{ end }}
thrift://{{ index . "hive-service" | default "" | b64dec }}:9083
{{ .Files.Get "conf/app.json" | b64enc }}
{{ .Files.Get (printf "certs/%s.crt" .Values.name) | b64enc }}
{{ include (print $.Template.BasePath "/ca.yaml") . | sha256sum }}
{{ printf "{\"auths\":{\"%s\":{\"auth\":\"%s\"}}}" .Values.r (printf "%s:%s" .u .p | b64enc) | b64enc }}
{{ genPrivateKey "rsa" | b64enc }}
{{ htpasswd "admin" .Values.p | b64enc }}
{{ dict "password" .Values.p | toJson | b64enc }}
""".strip().splitlines()
LINES = r"""
{{ (.Files.Glob "conf/*").AsSecrets | indent 2 }}
{{- if .Capabilities.APIVersions.Has "v1/X" }}
{{- if semverCompare ">=1.19-0" .Capabilities.KubeVersion.Version }}
{{- else if eq (default "internal" .Values.mode) "internal" }}
{{- range list "user" "password" }}
{{- $x := dict "a" .Values.b }}
{{- $names := list "user" "password" }}
{{- range $i, $name := list "user" "password" }}
{{- with (dict "a" "user") }}
""".strip().splitlines()


@pytest.mark.parametrize("line", [*(f"a: {one}" for one in TEMPLATE), *LINES])
def test_names_in_a_template_are_no_secrets(line: str) -> None:
    assert not told({"c/templates/s.yaml": f"{{{{ if x }}}}\nkind: Secret\ndata:\n  {line}\n"})


@pytest.mark.parametrize(
    "value",
    [
        '{{ include "x" (dict "a" (default "hunter2" .Values.x)) }}',
        '{{ get (dict "a" "hunter2") "a" }}',
        '{{ "" }}hunter2{{ "}}" }}',
        '{{ print "}}" (print "hunter") }}',
        '{{ default (print "hunter") .Values.x }}',
        '{{ include "echo" (dict "a" "Sup3rS3cretPw") }}',
        '{{ index (list "hunter") 0 }}',
        '{{ (dict "a" "hunter").a }}',
        '{{ htpasswd "admin" "hunter" }}',
        '{{ coalesce .Values.if.x "hunter" }}',
        '{{ $x := default "hunter" .y }}',
        '{{ with .x | default "hunter" }}{{ . }}{{ end }}',
        '{{ with "hunter" }}{{ . }}{{ end }}',
        '{{ coalesce (index .Values "a") "hunter" }}',
        '{{ print (include "x" .) "hunter" }}',
        '{{ $p = "hunter" }}',
    ],
)
def test_values_in_a_template_are_secrets(value: str) -> None:
    text = f"{{{{ if x }}}}\nkind: Secret\nstringData:\n  password: {value}\n"
    assert "a Secret with its value" in told({"c/templates/s.yaml": text})


def test_parameters_that_name_a_secret_pass() -> None:
    for text in (
        "helm: {parameters: [{name: auth.existingSecret, value: db}, {name: pullSecret, value: regcred}]}\n",
        "params: [{name: secret, value: my-registry-auth}, {name: git-credentials, value: deploy-key}]\n",
    ):
        assert not told({"team/a.yaml": text})
    for text in (
        "params: [{name: token, value: Sup3rS3cretPw}]\n",
        "extraEnvVars: [{name: API_TOKEN, value: hunter2}]\n",
        "[{op: add, path: /data/token, value: hunter2}]\n",
    ):
        assert "looks like a secret" in told({"team/a.yaml": text})


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ("password = $__file{/etc/secrets/p}", True),
        ("password = $__env{P}", True),
        ("api_key = file(/etc/key)", True),
        ("token=%(ENV_TOKEN)s", True),
        ('token = "$influx_token"', True),
        ('password = "$db_password"', True),
        ('secret = "my-secret-name"', True),
        (";admin_password = admin", True),
        ("password = hunter2", False),
        ("password = $hunter2", False),
        ("token = Sup3rS3cretPw", False),
        ("# api_token = Sup3rS3cretPw", False),
    ],
)
def test_a_file_of_settings_may_name_a_secret(line: str, good: bool) -> None:
    assert bool(told({"team/app.ini": f"[a]\n{line}\n"})) is not good
