#!/usr/bin/env bash
# Registries, independent readers of images, and a container engine.
set -euo pipefail
cd "$(dirname "$0")"
./packages docker-registry=docker-registry skopeo=skopeo umoci=umoci dockerd=docker.io busybox=busybox-static \
    openssl=openssl rpmbuild=rpm
./packages docker=docker-cli # where docker.io does not bring it: from Debian 13 on
