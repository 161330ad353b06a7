#!/usr/bin/env bash
# Redis and PostgreSQL, which the embedded engine runs as resources; their own services stay off.
set -euo pipefail
sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
wanted=()
command -v redis-server >/dev/null || wanted+=(redis-server)
command -v psql >/dev/null && { command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; } ||
    wanted+=(postgresql)
[ "${#wanted[@]}" -eq 0 ] && exit 0
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${wanted[@]}"
