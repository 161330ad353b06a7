#!/usr/bin/env bash
# Git servers: smart HTTP with authentication behind a web server, and SSH.
set -euo pipefail
declare -A packages=([nginx]=nginx-light [fcgiwrap]=fcgiwrap [sshd]=openssh-server [htpasswd]=apache2-utils [gpg]=gnupg)
missing=()
for program in "${!packages[@]}"; do
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
$sudo apt-get update -qq
# Installing must not start services: the tests run their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod +x "$policy"
    trap '$sudo rm -f "$policy"' EXIT
fi
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}"
