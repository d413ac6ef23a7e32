#!/usr/bin/env bash
# Makes a tar of what the images of Node.js have besides Node.js, unless it exists, and prints its path:
# Debian bookworm without documents, certificates, the user `node` and npm. Needs root.
#   image-base.sh WORK   WORK: a directory for temporary files, which the caller removes
set -euo pipefail

# Each image of Node.js has an npm of its own; for the build, any recent one will do.
npm=11.6.2
# The mirror; debootstrap's default unless DEBIAN_MIRROR is set.
mirror=(${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"})
key=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/k8s-version-upgrade
archive=$cache/image-base-$key.tar

make_tree() {
  local tree=$1 log=$2
  debootstrap --variant=minbase --include=ca-certificates bookworm "$tree" ${mirror[@]+"${mirror[@]}"} &>"$log" ||
    { tail -n 20 "$log" >&2 && return 1; }
  chroot "$tree" useradd --uid 1000 --create-home --shell /bin/bash node
  npm install --silent --global --prefix "$tree/usr/local" --ignore-scripts "npm@$npm" >&2
  rm -rf "$tree"/usr/share/{doc,info,locale,man}/* "$tree"/var/{cache/apt,lib/apt/lists,log}/*
  # They are this machine's.
  rm -f "$tree"/etc/{hostname,resolv.conf}
}

if [[ ! -f $archive ]]; then
  printf 'product-image: installing Debian into %s (once)\n' "$archive" >&2
  rm -f "$cache"/image-base-*
  make_tree "$1/tree" "$1/log"
  tar -C "$1/tree" --one-file-system --exclude='./dev/*' --exclude='./run/*' -cf "$archive.part" .
  rm -rf --one-file-system "$1/tree"
  mv "$archive.part" "$archive"
fi
printf '%s\n' "$archive"
