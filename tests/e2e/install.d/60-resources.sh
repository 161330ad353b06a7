#!/usr/bin/env bash
# Redis and PostgreSQL, which the embedded engine runs as resources.
set -euo pipefail
cd "$(dirname "$0")"
./packages redis-server=redis-server psql=postgresql-client
# Debian keeps the server's programs off the PATH.
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || ./packages postgres=postgresql
