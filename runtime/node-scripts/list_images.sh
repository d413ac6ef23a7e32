#!/usr/bin/env bash
# Lists the images that this node's kubeadm installs for a release in this cluster. Changes nothing.
set -Eeuo pipefail

usage() {
  cat <<'USAGE'
Usage: list_images.sh --release X.Y.Z

  --release X.Y.Z   a release that this node's kubeadm can install, such as 1.34.5
  --help

Reads the cluster's ClusterConfiguration, with its repositories and tags, as the node. Needs root, or sudo
without a password. The last line of a success is "result: {images}"; of a failure, "error: what, and what to do".
Exit codes: 0 done, 1 failed, 2 bad input.
USAGE
}

source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/packages.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/images.sh"

release='' unpacked=''

parse_arguments() {
  while (($# > 0)); do
    case $1 in
      --release)
        (($# > 1)) || refuse "$1: expected a value"
        check_value "$1" "$2" "$release_pattern" "a release X.Y.Z such as 1.34.5 (no leading v, no pre-release)"
        release=$2
        shift 2
        ;;
      --help) usage && exit 0 ;;
      *) refuse "\"$1\" is not an option; see --help" ;;
    esac
  done
  [[ -n $release ]] || refuse "--release: expected a release X.Y.Z such as 1.34.5"
}

clean_up() { [[ -z $unpacked ]] || as_root rm -rf -- "$unpacked"; }

main() {
  local listed
  parse_arguments "$@"
  require_root
  # For kubeadm's configuration alone: a directory that only root reads.
  unpacked=$(as_root mktemp -d)
  write_configuration "$release"
  run_split as_root kubeadm config images list --config "$unpacked/kubeadm.yaml" ||
    die "kubeadm cannot list its images: $(pull_reason <<<"$errors")"
  mapfile -t listed <<<"$output"
  printf 'result: {"images":%s}\n' "$(json_list "${listed[@]}")"
}

main "$@"
