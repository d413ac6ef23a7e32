#!/usr/bin/env bash
# Writes container images as archives of `docker save`, from the programs that ../programs/build.sh has built.
#   images.sh KIND PROGRAMS BASE OUT [RELEASE]
# KIND: kubernetes (RELEASE is part of its programs' names, or empty), etcd, coredns, pause, web
# PROGRAMS: the directory of the programs; BASE: the tree of base.sh; OUT: a directory
set -euo pipefail

kind=$1 programs=$2 base=$3 out=$4 release=${5:-}
registry=registry.k8s.io
work=$(mktemp -d "$out/.images.XXXXXX")
trap 'rm -rf "$work"' EXIT

# usage: tree — an empty root file system at $work/tree
tree() {
  rm -rf "$work/tree"
  mkdir -p "$work"/tree/{etc,run,var,usr/local/bin,usr/bin,usr/sbin,usr/lib,usr/lib64}
  mkdir -m 1777 "$work/tree/tmp"
  local directory
  for directory in bin sbin lib lib64; do ln -s "usr/$directory" "$work/tree/$directory"; done
}

# usage: image FILE NAME ENTRYPOINT — an image of one layer, $work/tree; ENTRYPOINT may be empty
image() {
  local layer config entry=''
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$work/tree" -cf "$work/layer.tar" .
  layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  if [[ -n $3 ]]; then entry=",\"Entrypoint\":[\"$3\"]"; fi
  printf '{"architecture":"amd64","os":"linux","created":"2025-11-01T00:00:00Z","config":{"Env":["PATH=%s"],"WorkingDir":"/"%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$entry" "$layer" >"$work/config.json"
  config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
  mkdir -p "$work/archive"
  mv "$work/layer.tar" "$work/archive/$layer.tar"
  mv "$work/config.json" "$work/archive/$config.json"
  printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["%s.tar"]}]' "$config" "$2" "$layer" >"$work/archive/manifest.json"
  tar -C "$work/archive" -cf "$work/image.tar" .
  mv "$work/image.tar" "$out/$1.tar"
  rm -rf "$work/archive"
}

# usage: copy SOURCE TARGET
copy() { install -D -m 0755 "$1" "$work/tree$2"; }

# The program that kube-proxy calls, and every library that it loads.
copy_iptables() {
  local name file library=/usr/lib/x86_64-linux-gnu
  for name in xtables-nft-multi conntrack; do copy "$base/usr/sbin/$name" "/usr/sbin/$name"; done
  for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s xtables-nft-multi "$work/tree/usr/sbin/$name"
  done
  mkdir -p "$work/tree$library"
  cp -a "$base$library/xtables" "$work/tree$library/"
  for file in "$base"/usr/sbin/{xtables-nft-multi,conntrack} "$base$library"/xtables/*.so; do
    [[ -L $file ]] || chroot "$base" ldd "${file#"$base"}"
  done | grep -oE '/[^ ]+\.so[^ ]*' | sort -u | while read -r file; do
    copy "$(realpath "$base$file")" "$library/${file##*/}"
  done
  copy "$(realpath "$base/lib64/ld-linux-x86-64.so.2")" /usr/lib64/ld-linux-x86-64.so.2
}

# usage: version PROGRAM [ARGS…] — the version that it reports, such as v1.34.4
version() { "$programs/$1" "${@:2}" | grep -oE 'v?[0-9]+\.[0-9]+\.[0-9]+' | head -n 1; }

suffix=${release:+-$release}
case $kind in
  kubernetes)
    tag=$(version "kube-apiserver$suffix" --version)
    for component in kube-apiserver kube-controller-manager kube-scheduler; do
      tree
      copy "$programs/$component$suffix" "/usr/local/bin/$component"
      image "$component" "$registry/$component:$tag" ''
    done
    tree
    copy "$programs/kube-proxy$suffix" /usr/local/bin/kube-proxy
    copy_iptables
    image kube-proxy "$registry/kube-proxy:$tag" ''
    ;;
  etcd)
    tree
    for program in etcd etcdctl etcdutl; do copy "$programs/$program" "/usr/local/bin/$program"; done
    image etcd "$registry/etcd:$(version etcd --version)-0" ''
    ;;
  coredns)
    tree
    copy "$programs/coredns" /coredns
    image coredns "$registry/coredns/coredns:v$(version coredns -plugins=false -version)" /coredns
    ;;
  pause)
    tree
    copy "$programs/pause" /pause
    image pause "$registry/pause:$(version pause -v)" /pause
    ;;
  web)
    tree
    copy "$programs/web" /web
    image web docker.io/library/web:1 /web
    ;;
esac
