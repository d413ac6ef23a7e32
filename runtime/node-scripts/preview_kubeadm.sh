#!/usr/bin/env bash
# Prints what the kubeadm that is installed on this node would write here in an upgrade, and what is there
# now. Changes nothing: it removes the copies that kubeadm leaves in a dry run.
set -Eeuo pipefail

usage() {
  cat <<'USAGE'
Usage: preview_kubeadm.sh [--patches DIRECTORY]

  --patches DIRECTORY   kubeadm's patches on this node, as in kubeadm upgrade apply --patches
  --help

Prints a line for each: "file PATH BASE64", a file that kubeadm replaces in an upgrade, as it is; "phase NAME
BASE64", what a dry run of kubeadm prints; and "end", without which the output is incomplete and the last line
is "error: what, and what to do". Needs root, or sudo without a password.
Exit codes: 0 done, 1 failed, 2 bad input.
USAGE
}

source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/packages.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/images.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/manifests.sh"

static_pods=/etc/kubernetes/manifests
kubelet_config=/var/lib/kubelet/config.yaml
scratch="$root/etc/kubernetes/tmp"
patches='' patches_flag=()
# A directory that only root reads.
unpacked=''

parse_arguments() {
  while (($# > 0)); do
    case $1 in
      --patches)
        (($# > 1)) || refuse "$1: expected a value"
        check_path "$1" "$2"
        patches=$2 patches_flag=("--patches=$2")
        as_root test -d "$root$2" || die "$(no_patches "$2")"
        shift 2
        ;;
      --help) usage && exit 0 ;;
      *) refuse "\"$1\" is not an option; see --help" ;;
    esac
  done
}

is_control_plane() { as_root test -e "$manifests/kube-apiserver.yaml"; }

clean_up() { [[ -z $unpacked ]] || as_root rm -rf -- "$unpacked"; }

encoded() { base64 | tr -d '\n'; }

# show PATH: a file as it is.
show() { printf 'file %s %s\n' "$1" "$(as_root cat "$root$1" | encoded)"; }

copies() { as_root find "$scratch" -mindepth 1 -maxdepth 1 "$@" 2>/dev/null | sort || true; }

# dry_run_phase NAME COMMAND…: what kubeadm prints in a dry run.
dry_run_phase() {
  local name=$1 output copy before code=0
  shift
  before=$(copies)
  output=$(as_root env "KUBEADM_INIT_DRYRUN_DIR=$unpacked" "KUBEADM_UPGRADE_DRYRUN_DIR=$unpacked" kubeadm "$@" --dry-run 2>&1) || code=$?
  # It has no other place for these two in a dry run. The second one is a copy only outside of a dry run.
  while read -r copy; do
    as_root rm -rf -- "$copy"
  done < <(copies -name 'kubeadm-upgrade-dryrun*' -o -name 'kubeadm-kubelet-config*' -empty | { grep -Fxv -- "$before" || true; })
  ((code == 0)) || die "kubeadm $*: $(grep -m 1 '^error: ' <<<"$output" | cut -c 8- || tail -n 1 <<<"$output")"
  printf 'phase %s %s\n' "$name" "$(encoded <<<"$output")"
}

# In an upgrade kubeadm prints no manifest of etcd, so this asks for the one of a new cluster, with what
# kubeadm knows of this node: it would guess its name and its address, and cannot choose between two sockets.
preview_etcd() {
  local name address socket
  name=$(flag_of etcd name) address=$(flag_of kube-apiserver advertise-address) socket=$(runtime_socket)
  read_configuration
  {
    printf '%s\n---\n' "$output"
    grep -E '^apiVersion:' <<<"$output"
    printf 'kind: InitConfiguration\nnodeRegistration:\n  name: "%s"\n' "$name"
    [[ -z $socket ]] || printf '  criSocket: "%s"\n' "$socket"
    [[ -z $address ]] || printf 'localAPIEndpoint:\n  advertiseAddress: "%s"\n' "$address"
    # With --config the flag is refused.
    [[ -z $patches ]] || printf 'patches:\n  directory: %s\n' "$patches"
  } | write_as_root "$unpacked/kubeadm.yaml"
  show "$static_pods/etcd.yaml"
  dry_run_phase etcd init phase etcd local --config "$unpacked/kubeadm.yaml"
}

preview_control_plane() {
  local component
  for component in kube-apiserver kube-controller-manager kube-scheduler; do show "$static_pods/$component.yaml"; done
  dry_run_phase control-plane upgrade node phase control-plane "${patches_flag[@]}"
  if as_root test -e "$manifests/etcd.yaml"; then preview_etcd; fi
  # kubeadm before 1.32 has no such phase.
  if as_root kubeadm upgrade node phase addon --help >/dev/null 2>&1; then
    dry_run_phase addon upgrade node phase addon all "${patches_flag[@]}"
  fi
}

main() {
  parse_arguments "$@"
  require_root
  unpacked=$(as_root mktemp -d)
  if is_control_plane; then preview_control_plane; fi
  show "$kubelet_config"
  dry_run_phase kubelet-config upgrade node phase kubelet-config "${patches_flag[@]}"
  printf 'end\n'
}

main "$@"
