#!/usr/bin/env bash
# Git servers: smart HTTP with authentication behind a web server, and SSH.
set -euo pipefail
declare -A packages=([nginx]=nginx-light [fcgiwrap]=fcgiwrap [sshd]=openssh-server [htpasswd]=apache2-utils)
missing=()
for program in "${!packages[@]}"; do
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
$sudo apt-get update -qq
# Installing must not start services: the tests run their own.
printf '#!/bin/sh\nexit 101\n' | $sudo tee /usr/sbin/policy-rc.d >/dev/null
$sudo chmod +x /usr/sbin/policy-rc.d
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}"
$sudo rm /usr/sbin/policy-rc.d
