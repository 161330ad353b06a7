#!/usr/bin/env bash
# gitlab-ci-local, with the Node it needs, and rsync, with which it keeps jobs apart.
set -euo pipefail
cd "$(dirname "$0")"
./packages npm=npm rsync=rsync
cd ../gitlab-ci-local
cmp -s package-lock.json node_modules/.installed && exit 0
npm ci --silent
cp package-lock.json node_modules/.installed
