#!/usr/bin/env bash
# A Kubernetes API server: etcd of Debian; kube-apiserver and kubectl built by Go, in the version that
# kube-apiserver/go.mod pins.
set -euo pipefail
cd "$(dirname "$0")"
./packages etcd=etcd-server openssl=openssl
./go-tools ../kube-apiserver kube-apiserver kubectl
