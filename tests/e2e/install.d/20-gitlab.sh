#!/usr/bin/env bash
# gitlab-ci-local, with the Node it needs, and rsync, with which it keeps jobs apart.
set -euo pipefail
cd "$(dirname "$0")/../gitlab-ci-local"
missing=()
command -v npm >/dev/null || missing+=(npm)
command -v rsync >/dev/null || missing+=(rsync)
if [ ${#missing[@]} -gt 0 ]; then
    sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
cmp -s package-lock.json node_modules/.installed && exit 0
npm ci --silent
cp package-lock.json node_modules/.installed
