#!/usr/bin/env bash
# A Kubernetes API server: etcd of Debian; kube-apiserver and kubectl built by Go, in the version that
# kube-apiserver/go.mod pins. Debian's Go is too old for it: where no newer one is there, PyPI's is taken.
set -euo pipefail
cd "$(dirname "$0")"
./packages etcd=etcd-server openssl=openssl
cd ../kube-apiserver
target=$(./folder)
[ -x "$target/kube-apiserver" ] && [ -x "$target/kubectl" ] && exit 0
mkdir -p "$target"
building=$(mktemp -d "$target/building.XXXXXX")
trap 'rm -rf "$building"' EXIT
if ! go list -m >/dev/null 2>&1; then
    python3 -m venv "$building/go"
    "$building/go/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r go.txt
    PATH=$(echo "$building"/go/lib/python*/site-packages/go/bin):$PATH
fi
CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o "$building/" tool
mv "$building"/kube-apiserver "$building"/kubectl "$target/"
