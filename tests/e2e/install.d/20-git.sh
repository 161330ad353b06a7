#!/usr/bin/env bash
# Git servers: smart HTTP with authentication behind a web server, and SSH; GnuPG signs commits.
set -euo pipefail
cd "$(dirname "$0")"
./packages nginx=nginx fcgiwrap=fcgiwrap sshd=openssh-server ssh=openssh-client htpasswd=apache2-utils gpg=gnupg
