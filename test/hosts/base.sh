#!/usr/bin/env bash
# Creates the two trees that all hosts are overlays of, unless they exist, and prints their directory:
#   base   Debian bookworm with what a kubeadm host has besides Kubernetes: sshd, sudo, apt, gpg, curl
#   etcd   Debian's etcd and etcdctl, which are in the etcd container's image and not on the host
set -euo pipefail

include=openssh-server,sudo,gnupg,curl,procps
# The mirror; debootstrap's default unless DEBIAN_MIRROR is set.
mirror=(${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"})
key=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/k8s-version-upgrade
trees=$cache/debootstrap-bookworm-$key

make_trees() {
  local work=$1
  printf 'hosts-test: installing Debian into %s (once)\n' "$trees" >&2
  debootstrap --variant=minbase "--include=$include" bookworm "$work/base" ${mirror[@]+"${mirror[@]}"} >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2 && return 1; }
  mkdir -p "$work/etcd/usr/bin" "$work/unpacked"
  # Resolve the mirror as this machine does. debootstrap's package lists may be old, so skip the check of
  # their date.
  cp -L /etc/resolv.conf "$work/base/etc/resolv.conf"
  chroot "$work/base" bash -euc '
    apt-get -qq -o Acquire::Check-Valid-Until=false update
    apt-get -qq install --no-install-recommends --download-only -y etcd-server etcd-client' >>"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2 && return 1; }
  for package in "$work"/base/var/cache/apt/archives/etcd-*.deb; do dpkg-deb -x "$package" "$work/unpacked"; done
  mv "$work"/unpacked/usr/bin/{etcd,etcdctl} "$work/etcd/usr/bin"
  rm -rf "$work/unpacked"
  # Hosts must see only the repositories of the tests.
  rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/* "$work/base/etc/apt/sources.list"
  rm -f "$work"/base/etc/ssh/ssh_host_* "$work/base/etc/resolv.conf"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [[ ! -d $trees ]]; then
  rm -rf "$cache"/debootstrap-bookworm-*
  make_trees_in=$(mktemp -d "$cache/new.XXXXXX")
  chmod 0755 "$make_trees_in"
  trap 'rm -rf --one-file-system "$make_trees_in"' EXIT
  make_trees "$make_trees_in"
  mv "$make_trees_in" "$trees"
fi
printf '%s\n' "$trees"
