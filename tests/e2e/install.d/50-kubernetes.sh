#!/usr/bin/env bash
# A cluster: etcd of Debian; the API server, the controllers, the scheduler and kwok, whose nodes run pods in
# name only, built by Go in the versions that
# kube-apiserver/go.mod pins.
set -euo pipefail
cd "$(dirname "$0")"
./packages etcd=etcd-server openssl=openssl
./go-tools ../kube-apiserver kube-apiserver kubectl kube-controller-manager kube-scheduler kwok
