#!/usr/bin/env bash
# Creates the tree that all nodes are overlays of, unless it exists, and prints it: Debian bookworm with
# systemd, sshd, containerd, runc, and what the kubelet and kube-proxy need.
set -euo pipefail

include=systemd,systemd-sysv,dbus,openssh-server,sudo,gnupg,curl,procps,iproute2,iptables,conntrack,ethtool
include+=,socat,kmod,ca-certificates,containerd,runc,containernetworking-plugins
# The mirror; debootstrap's default unless DEBIAN_MIRROR is set.
mirror=(${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"})
key=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/k8s-version-upgrade
tree=$cache/node-bookworm-$key

make_tree() {
  printf 'cluster: installing Debian into %s (once)\n' "$tree" >&2
  debootstrap --variant=minbase "--include=$include" bookworm "$1/tree" ${mirror[@]+"${mirror[@]}"} >"$1/log" 2>&1 ||
    { tail -n 20 "$1/log" >&2 && return 1; }
  # Nodes must see only the repositories of the tests, and each has its own keys.
  rm -rf "$1"/tree/var/cache/apt/archives/*.deb "$1"/tree/var/lib/apt/lists/* "$1/tree/etc/apt/sources.list"
  rm -f "$1"/tree/etc/ssh/ssh_host_* "$1/tree/etc/machine-id" "$1/tree/etc/resolv.conf"
}

mkdir -p "$cache"
exec 9>"$cache/node.lock"
flock 9
if [[ ! -d $tree ]]; then
  rm -rf --one-file-system "$cache"/node-bookworm-* "$cache"/new-node.*
  making=$(mktemp -d "$cache/new-node.XXXXXX")
  trap 'rm -rf --one-file-system "$making"' EXIT
  make_tree "$making"
  chmod 0755 "$making/tree"
  mv "$making/tree" "$tree"
fi
printf '%s\n' "$tree"
