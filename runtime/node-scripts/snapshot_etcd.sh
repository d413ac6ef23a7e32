#!/usr/bin/env bash
# Saves an etcd snapshot on this control-plane node and checks it, or checks an existing one.
set -Eeuo pipefail

usage() {
  cat <<'USAGE'
Usage: snapshot_etcd.sh --save DIRECTORY --release X.Y.Z [--keep N] [--node NAME] [--dry-run]
   or: snapshot_etcd.sh --verify PATH [--node NAME]

  --save DIRECTORY   save to DIRECTORY/k8s-upgrade-pre-X.Y.Z-EPOCH.db, with its sha256 in a file beside it
  --release X.Y.Z    the target release of the upgrade; part of the name
  --keep N           then remove all snapshots of this script in DIRECTORY except the newest N (1 or more)
  --verify PATH      check a saved snapshot: status and sha256
  --node NAME        the name of this node in the cluster; by default as its kubelet finds it
  --dry-run          print what would be done, change nothing
  --help

The parent of DIRECTORY must exist, so that nothing is written to the root disk when a mount is missing.
Needs root, or sudo without a password. The last line of a success is
"result: {path, hash, revision, totalKey, totalSize, sha256}"; of a failure, "error: what, and what to do".
Exit codes: 0 done, 1 failed, 2 bad input (nothing was changed).
USAGE
}

source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/manifests.sh"

mode='' directory='' release='' path='' keep='' node=''
# Files to remove when the script ends, however it ends.
leftovers=()

parse_arguments() {
  while (($# > 0)); do
    case $1 in
      --save | --verify | --release | --keep | --node)
        (($# > 1)) || refuse "$1: expected a value"
        set_option "$1" "$2"
        shift 2
        ;;
      --dry-run) dry_run=true && shift ;;
      --help) usage && exit 0 ;;
      *) refuse "\"$1\" is not an option; see --help" ;;
    esac
  done
  [[ -n $mode ]] || refuse "expected --save DIRECTORY or --verify PATH"
  [[ $mode != save || -n $release ]] || refuse "--release: expected a release X.Y.Z such as 1.34.5"
}

set_option() {
  case $1 in
    --release) check_value "$1" "$2" "$release_pattern" "a release X.Y.Z such as 1.34.5 (no leading v, no pre-release)" && release=$2 ;;
    --keep) check_value "$1" "$2" '^[1-9][0-9]{0,3}$' "a number of snapshots, 1 or more" && keep=$2 ;;
    --node) check_value "$1" "$2" '^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$' "the name of a node" && node=$2 ;;
    --save | --verify)
      [[ -z $mode ]] || refuse "$1: expected one of --save and --verify, once"
      check_path "$1" "$2"
      mode=${1#--}
      [[ $mode == save ]] && directory=${2%/} || path=$2
      ;;
  esac
}

clean_up() { ((${#leftovers[@]} == 0)) || as_root rm -f -- "${leftovers[@]}"; }

# --- etcd's programs: in its container, as they match its version; the host's only when it does not run ---

find_etcd() {
  local found
  as_root test -e "$manifests/etcd.yaml" ||
    die "kubeadm runs no etcd on this node (no /etc/kubernetes/manifests/etcd.yaml); with an external etcd take the snapshot there and leave out the stage snapshot"
  read_etcd_flags
  container='' node=${node:-$(name_of_node)}
  # Since 1.32 kubeadm's package does not depend on crictl.
  if command -v crictl >/dev/null; then
    # Other pods may have a container of that name, too (F37).
    found=$(as_root crictl ps --state Running --label io.kubernetes.container.name=etcd \
      --label io.kubernetes.pod.namespace=kube-system --label "io.kubernetes.pod.name=etcd-$node" -q)
    [[ $found != *$'\n'* ]] ||
      die "several containers are etcd of the pod kube-system/etcd-$node: $(paste -sd ' ' <<<"$found"); see crictl ps on this node"
    container=$found
  fi
  [[ -n $container ]] || command -v etcdctl >/dev/null || die "$(why_no_etcd)"
}

# Sets data, endpoint, certificate, key and authority to what etcd's manifest says, which may be other paths
# and another port than kubeadm's own (F38).
read_etcd_flags() {
  local name value
  [[ -n $(container_of etcd) ]] || not_understood "a container etcd"
  # A file of settings replaces all flags.
  ! container_of etcd | grep -Eq '^word --?config-file(=|$)' || not_understood "flags; it reads a file of settings"
  for name in data-dir cert-file key-file trusted-ca-file; do
    value=$(flag_of etcd "$name")
    [[ $value =~ $path_pattern ]] || not_understood "a path in --$name"
    case $name in
      data-dir) data=${value%/} ;;
      cert-file) certificate=$value ;;
      key-file) key=$value ;;
      trusted-ca-file) authority=$value ;;
    esac
  done
  endpoint=$(flag_of etcd listen-client-urls | client_url)
  [[ -n $endpoint ]] || not_understood "an https URL in --listen-client-urls"
}

not_understood() { die "etcd's manifest on this node does not show $1; set it as kubeadm does, or save a snapshot yourself and leave out the stage snapshot"; }

# client_url: of the URLs at which etcd listens, the one to ask: a loopback address where there is one.
client_url() {
  tr , '\n' | sed -nE -e 's#^(https://)0\.0\.0\.0(:[0-9]+)$#\1127.0.0.1\2#' -e 's#^(https://)\[::\](:[0-9]+)$#\1[::1]\2#' \
    -e '/^https:\/\/[][A-Za-z0-9.:-]+:[0-9]+$/p' |
    awk 'NR == 1 { first = $0 } /\/\/(127\.|localhost:|\[::1\])/ { print; found = 1; exit } END { if (!found) print first }'
}

# The name with which the kubelet registers this node. kubeadm writes the flag where it is not the host's.
name_of_node() {
  local name
  name=$(as_root cat "$root/var/lib/kubelet/kubeadm-flags.env" "$root/etc/default/kubelet" 2>/dev/null |
    sed -nE "s/.*--hostname-override[= ]([^ \"']+).*/\1/p" | tail -n 1) || true
  name=${name:-$(uname -n)}
  printf '%s' "${name,,}"
}

why_no_etcd() {
  if command -v crictl >/dev/null; then
    printf "etcd's container is not running: no container etcd of the pod kube-system/etcd-%s; see crictl ps -a on this node, and --node if it has another name in the cluster" "$node"
  else
    printf 'crictl is missing on this node and is needed to reach etcd: apt-get install cri-tools'
  fi
}

# etcd_tool NAME ARGS…: runs etcdctl or etcdutl. The container mounts the data directory and the certificates
# at the same paths. ETCDCTL_API=3 is for an etcdctl of the distribution that is so old that its default is
# API v2.
etcd_tool() {
  if [[ -n $container ]]; then as_root crictl exec "$container" "$@"; else as_root env ETCDCTL_API=3 "$@"; fi
}

# status FILE: one line of JSON. Uses etcdctl before 3.5, which has no etcdutl; since 3.6 etcdctl prints its
# help instead.
status() {
  local tool=etcdutl
  etcd_tool etcdutl version >/dev/null 2>&1 || tool=etcdctl
  etcd_tool "$tool" snapshot status "$1" -w json
}

# read_status FILE: sets hash, revision, total_key and total_size. Dies when the snapshot is empty.
read_status() {
  local json
  json=$(status "$1") || die "etcd cannot read the snapshot; do not upgrade with it, take another one"
  hash=$(field hash "$json") revision=$(field revision "$json")
  total_key=$(field totalKey "$json") total_size=$(field totalSize "$json")
  [[ -n $hash && -n $revision && -n $total_key && -n $total_size ]] || die "etcd's status of the snapshot is unreadable: $json"
  ((total_key > 0 && revision > 0 && total_size > 0)) || die "the snapshot is empty ($json); see etcd's log before anything else"
}

field() { sed -nE "s/.*\"$1\": *([0-9]+).*/\1/p" <<<"$2"; }

sha256_of() { as_root sha256sum "$1" | cut -d' ' -f1; }

# --- steps ---

# check_space FILE DIRECTORY…: dies unless each has room for twice the file, as etcd grows during the copy.
check_space() {
  local place need free
  need=$(($(as_root du -sm --apparent-size "$1" | cut -f1) * 2))
  for place in "${@:2}"; do
    free=$(free_mib "$place")
    ((free >= need)) || die "only $free MiB are free on the file system of ${place#"$root"}, the snapshot needs $need; free some space or choose another directory"
  done
}

ensure_directory() {
  local parent=${directory%/*}
  as_root test -d "$root${parent:-/}" || die "--save: ${parent:-/} does not exist; is it mounted?"
  as_root test -d "$root$directory" || change mkdir -m 0700 "$root$directory"
}

save() {
  local name scratch partial
  printf -v name 'k8s-upgrade-pre-%s-%(%s)T.db' "$release" -1
  scratch="$data/k8s-upgrade-snapshot.db"
  path="$directory/$name"
  partial="$root$directory/.k8s-upgrade-snapshot.partial"
  ensure_directory
  if $dry_run; then
    printf 'WOULD: save an etcd snapshot to %s\n' "$path"
    return
  fi
  # Remove the files of a killed run, which take up space. etcdctl writes FILE.part first.
  leftovers=("$root$scratch" "$root$scratch.part" "$partial")
  clean_up
  check_space "$root$data/member/snap/db" "$root$data" "$root$directory"
  say "saving an etcd snapshot"
  etcd_tool etcdctl "--endpoints=$endpoint" "--cacert=$authority" "--cert=$certificate" "--key=$key" \
    snapshot save "$scratch" || die "etcdctl snapshot save failed; see its output above"
  read_status "$scratch"
  sha256=$(sha256_of "$root$scratch")
  store "$root$scratch" "$partial"
  [[ -z $keep ]] || prune
}

# store SOURCE PARTIAL: copies, checks and syncs the file, and renames it to $path last.
store() {
  as_root cp --reflink=auto -- "$1" "$2"
  as_root chmod 0600 "$2"
  as_root sync "$2"
  [[ $(sha256_of "$2") == "$sha256" ]] || die "the copy in $directory differs from the snapshot; check that disk"
  printf '%s  %s\n' "$sha256" "${path##*/}" | write_file "$root$path.sha256"
  as_root mv -f -- "$2" "$root$path"
}

# Removes only files with names of this script, by the time in the name. The snapshot goes before its sum, so
# that none is left without one.
prune() {
  local file old
  mapfile -t old < <(
    as_root find "$root$directory" -mindepth 1 -maxdepth 1 -type f -printf '%f\n' |
      sed -nE 's/^k8s-upgrade-pre-[0-9]+\.[0-9]+\.[0-9]+-([0-9]{10,})\.db$/\1 &/p' | sort -rn | tail -n "+$((keep + 1))" | cut -d' ' -f2
  )
  for file in "${old[@]}"; do
    say "removing $file"
    as_root rm -f -- "$root$directory/$file"
    as_root rm -f -- "$root$directory/$file.sha256"
  done
}

# write_file PATH: writes stdin to PATH as root.
write_file() {
  local text
  text=$(cat)
  # shellcheck disable=SC2016 # expanded by that shell
  as_root bash -c 'umask 077; printf "%s\n" "$2" >"$1"' write_file "$1" "$text"
}

verify() {
  local copy="$data/k8s-upgrade-verify.db" recorded
  as_root test -s "$root$path" || die "--verify: there is no snapshot $path, or it is empty; take another one"
  recorded=$(as_root cat "$root$path.sha256" 2>/dev/null | cut -d' ' -f1) || true
  [[ -n $recorded ]] || die "--verify: $path.sha256 is missing; take another snapshot"
  sha256=$(sha256_of "$root$path")
  [[ $sha256 == "$recorded" ]] || die "--verify: $path has changed since it was saved (its sha256 differs); take another snapshot"
  # etcd's container mounts only its own data directory.
  leftovers=("$root$copy")
  clean_up
  check_space "$root$path" "$root$data"
  as_root cp --reflink=auto -- "$root$path" "$root$copy"
  read_status "$copy"
}

main() {
  parse_arguments "$@"
  require_root
  find_etcd
  "$mode"
  $dry_run && return
  say "snapshot $path: $total_key keys at revision $revision"
  printf 'result: {"path":"%s","hash":%s,"revision":%s,"totalKey":%s,"totalSize":%s,"sha256":"%s"}\n' \
    "$path" "$hash" "$revision" "$total_key" "$total_size" "$sha256"
}

main "$@"
