# shellcheck shell=bash disable=SC2034 # sourced by every stub
# The environment says which node a stub belongs to: LAB_NODE_DIR, K8S_UPGRADE_ROOT (its file system),
# LAB_NODE_NAME, LAB_CLUSTER_DIR (kubeadm's data in the cluster), LAB_ROOT=1 under sudo.
set -euo pipefail

program=${0##*/}
fs=$K8S_UPGRADE_ROOT
state=$LAB_NODE_DIR/state
faults=$LAB_NODE_DIR/faults

# emit FIELD…: sends one line to the lab. The pipe is opened for reading too, so that this never blocks.
emit() {
  local IFS=$'\x1f'
  printf '%s\n' "${*//$'\n'/ }" 1<>"$LAB_NODE_DIR/events"
}

# record ARGS…: adds this invocation to the node's history.
record() {
  emit start "$$" "$EPOCHREALTIME" "$program" "$@"
  trap 'emit end "$$" "$EPOCHREALTIME" "$?"' EXIT
}

fail() {
  printf '%s\n' "$2" >&2
  exit "$1"
}

# faulted FAULT: true while the fault is set.
faulted() { [[ -e $faults/$1 ]]; }

# take FAULT: true while the fault is set; counts it down and clears it after the last time.
take() {
  local count
  [[ -e $faults/$1 ]] || return 1
  read -r count <"$faults/$1"
  if ((count > 1)); then printf '%s\n' "$((count - 1))" >"$faults/$1"; else rm -f "$faults/$1"; fi
}

is_root() { [[ ${LAB_ROOT:-} == 1 ]]; }

# work NAME: sleeps as long as this kind of work takes on this node.
work() { sleep "$(<"$state/duration/$1")"; }

# has_image IMAGE: whether it is in the node's image store.
has_image() { grep -Fxqs -- "$1" "$state/images"; }

# pull IMAGE: adds it to the store, or prints containerd's error and fails while the fault no-images (MATCHING
# [TIMES]) names it.
pull() {
  local matching times
  if faulted no-images; then
    read -r matching times <"$faults/no-images" || true
    if [[ $1 =~ $matching ]]; then
      if [[ $times == 1 ]]; then rm "$faults/no-images"; fi
      if ((${times:-0} > 1)); then printf '%s %s\n' "$matching" "$((times - 1))" >"$faults/no-images"; fi
      printf 'failed to pull and unpack image "%s": failed to resolve reference "%s": %s: not found' "$1" "$1" "$1"
      return 1
    fi
  fi
  has_image "$1" || printf '%s\n' "$1" >>"$state/images"
}

# package_version NAME: the installed version; empty when it is not installed.
package_version() { [[ ! -e $state/dpkg/$1 ]] || printf '%s' "$(<"$state/dpkg/$1")"; }

# release_of PACKAGE: 1:1.34.5+vendor-1.1 → 1.34.5
release_of() {
  local version
  version=$(package_version "$1")
  version=${version#*:}
  printf '%s' "${version%%[-+]*}"
}

# dpkg_is_locked: the error of this node's version of dpkg during the fault apt-lock.
dpkg_is_locked() {
  local dpkg="" message
  # The fault may have been cleared by now.
  read -r _ dpkg <"$faults/apt-lock" || true
  case $dpkg in
    1.19) message='frontend is locked by another process' ;;
    1.20) message='frontend lock is locked by another process' ;;
    *) message='frontend lock was locked by another process with pid 4321' ;;
  esac
  printf 'dpkg: error: dpkg %s\nNote: removing the lock file is always wrong, can damage the locked area\n' "$message"
  printf 'and the entire system. See <https://wiki.debian.org/Teams/Dpkg/FAQ#db-lock>.\n'
}
