#!/usr/bin/env bash
# Registries, independent readers of images, and a container engine.
set -euo pipefail
declare -A packages=(
    [docker-registry]=docker-registry [skopeo]=skopeo [umoci]=umoci [dockerd]=docker.io
    [busybox]=busybox-static [openssl]=openssl
)
missing=()
for program in "${!packages[@]}"; do
    command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}"
