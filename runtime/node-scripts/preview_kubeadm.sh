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
BASE64", what a dry run of kubeadm prints; "unknown etcd BASE64", why kubeadm does not print etcd's manifest;
"proxy NAME", a variable that kubeadm passes to kube-proxy; and "end", without which the output is incomplete and the last line
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
# Why kubeadm failed.
reason=''
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
  local name=$1 dry=$unpacked/dry copy before code=0
  shift
  before=$(copies)
  # kubeadm deletes this directory at the end of a phase.
  as_root mkdir -p "$dry"
  output=$(as_root env "KUBEADM_INIT_DRYRUN_DIR=$dry" "KUBEADM_UPGRADE_DRYRUN_DIR=$dry" kubeadm "$@" --dry-run 2>&1) || code=$?
  # It has no other place for these two in a dry run. The second one is a copy only outside of a dry run.
  while read -r copy; do
    as_root rm -rf -- "$copy"
  done < <(copies -name 'kubeadm-upgrade-dryrun*' -o -name 'kubeadm-kubelet-config*' -empty | { grep -Fxv -- "$before" || true; })
  if ((code > 0)); then
    reason="kubeadm $*: $(grep -m 1 '^error: ' <<<"$output" | cut -c 8- || tail -n 1 <<<"$output")"
    return 1
  fi
  printf 'phase %s %s\n' "$name" "$(encoded <<<"$output")"
}

# address_of_api_server: what kubeadm has recorded, which may differ from a flag that extraArgs set.
address_of_api_server() {
  local endpoint
  endpoint=$(as_root sed -nE 's/^ +kubeadm\.kubernetes\.io\/kube-apiserver\.advertise-address\.endpoint: *"?([^" ]+)"?.*/\1/p' \
    "$manifests/kube-apiserver.yaml" | head -n 1)
  endpoint=${endpoint%:*}
  endpoint=${endpoint#[}
  endpoint=${endpoint%]}
  printf '%s' "${endpoint:-$(flag_of kube-apiserver advertise-address)}"
}

# A static pod of that name that kubeadm does not manage is none of its own: it uses etcd from elsewhere.
has_external_etcd() { sed -n '/^etcd:/,/^[^ ]/p' <<<"$1" | grep -E '^ +external:' >/dev/null; }

# In an upgrade kubeadm prints no manifest of etcd, so this asks for the one of a new cluster, with what
# kubeadm knows of this node: it would guess its name and its address, and cannot choose between two sockets.
preview_etcd() {
  local name address socket
  name=$(flag_of etcd name) address=$(address_of_api_server) socket=$(runtime_socket)
  read_configuration
  if has_external_etcd "$output"; then return; fi
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
  # It checks more than an upgrade does, such as files that only the first control-plane node has.
  dry_run_phase etcd init phase etcd local --config "$unpacked/kubeadm.yaml" ||
    printf 'unknown etcd %s\n' "$(encoded <<<"$reason")"
}

preview_control_plane() {
  local component
  for component in kube-apiserver kube-controller-manager kube-scheduler; do show "$static_pods/$component.yaml"; done
  dry_run_phase control-plane upgrade node phase control-plane "${patches_flag[@]}" || die "$reason"
  if as_root test -e "$manifests/etcd.yaml"; then preview_etcd; fi
  # kubeadm before 1.32 has no such phase.
  if as_root kubeadm upgrade node phase addon --help >/dev/null 2>&1; then
    dry_run_phase addon upgrade node phase addon all "${patches_flag[@]}" || die "$reason"
    # In a dry run it leaves these out.
    as_root env | sed -nE 's/^([A-Za-z]+_(PROXY|proxy))=.*/proxy \1/p'
  fi
}

main() {
  parse_arguments "$@"
  require_root
  unpacked=$(as_root mktemp -d)
  if is_control_plane; then preview_control_plane; fi
  show "$kubelet_config"
  dry_run_phase kubelet-config upgrade node phase kubelet-config "${patches_flag[@]}" || die "$reason"
  printf 'end\n'
}

main "$@"
