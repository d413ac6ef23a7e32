#!/usr/bin/env bash
# Installs the Debian packages that the hosts' tests need. Does nothing if all are installed, or without root.
#   setup.sh [PROGRAM=PACKAGE…]    others that are needed besides
set -euo pipefail

declare -A packages=(
  [debootstrap]=debootstrap
  [ip]=iproute2
  [unshare]=util-linux
  [gpg]=gnupg
  [apt-ftparchive]=apt-utils
  [dpkg-deb]=dpkg
  [curl]=curl
)
for wanted in "$@"; do packages[${wanted%%=*}]=${wanted#*=}; done

missing=()
for program in "${!packages[@]}"; do
  command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
((${#missing[@]} > 0 && EUID == 0)) || exit 0
command -v apt-get >/dev/null || exit 0
printf 'setup: installing %s\n' "${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
