#!/usr/bin/env bash
# Upgrades the package of this node's containerd to a version, and restarts it. Containers keep running.
set -Eeuo pipefail

usage() {
  cat <<'USAGE'
Usage: update_containerd.sh --version X.Y.Z [--dry-run]

  --version X.Y.Z   containerd's own version, such as 1.7.28
  --dry-run         print what would be done, change nothing
  --help

Containers keep running while it restarts; for another major version drain the node first. Safe to run again.
Needs root, or sudo without a password.
The last line of a success is "result: {version, from, package, revision}"; of a failure, "error: what, and what to do".
Exit codes: 0 done, 1 failed, 2 bad input (nothing was changed), 4 this node's package manager does not offer the version
(nothing was changed).
USAGE
}

source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/packages.sh"

version='' package='' held=false
# Exists while this script has released a hold, so that the run after a killed one restores it.
hold_note="$root/var/lib/k8s-upgrade/hold-containerd"

parse_arguments() {
  while (($# > 0)); do
    case $1 in
      --version)
        (($# > 1)) || refuse "$1: expected a value"
        check_value "$1" "$2" "$release_pattern" "a containerd version X.Y.Z such as 1.7.28"
        version=$2
        shift 2
        ;;
      --dry-run) dry_run=true && shift ;;
      --help) usage && exit 0 ;;
      *) refuse "\"$1\" is not an option; see --help" ;;
    esac
  done
  [[ -n $version ]] || refuse "--version: expected a containerd version X.Y.Z such as 1.7.28"
}

# unavailable MESSAGE…: this node does not offer the version; an upgrade can continue without it. Exit 4.
unavailable() {
  printf 'error: %s\n' "$*" >&2
  exit 4
}

# containerd.io is Docker's package, containerd the distribution's.
find_package() {
  for package in containerd.io containerd; do
    [[ -z $(installed_version "$package") ]] || return 0
  done
  unavailable "neither containerd.io nor containerd is installed as a package; update containerd on this node manually"
}

# The installed version, and the running one: they differ until a restart; the latter is empty while
# containerd is down.
containerd_on_disk() { containerd --version | awk '{ sub(/^v/, "", $3); print $3 }' | sed -E 's/[-~+].*//'; }
containerd_running() { as_root crictl version 2>/dev/null | sed -nE 's/^RuntimeVersion: *v?([0-9.]+).*/\1/p' || true; }

# Refreshes the package lists only when they lack the version: a stale list cannot do more harm than that.
resolve_revision() {
  revision=$(newest_revision "$package" "$version")
  [[ -z $revision ]] || return 0
  if ! $dry_run; then
    say "refreshing the package lists"
    apt_get update || warn "apt-get update failed; continuing with the lists that it refreshed"
    revision=$(newest_revision "$package" "$version")
    [[ -z $revision ]] || return 0
  fi
  unavailable "no repository of this node offers $package $version; it offers $(madison "$package" | awk -F ' *[|] *' '{ print $2 }' | sort -Vu | paste -sd ' ')"
}

release_hold() {
  apt-mark showhold | grep -x "$package" >/dev/null || return 0
  held=true
  as_root install -D -m 0644 -- /dev/null "$hold_note"
  mark unhold "$package" || die "apt-mark cannot release $package; see its output above"
}

hold_again() {
  $held || return 0
  held=false
  if mark hold "$package"; then as_root rm -f -- "$hold_note"; else warn "could not hold $package again"; fi
}
clean_up() { hold_again; }

# Picks up what a killed run left unfinished.
take_over() {
  if as_root test -e "$hold_note"; then held=true; fi
  repair_dpkg
}

install_containerd() {
  resolve_revision
  if $dry_run; then
    printf 'WOULD: install %s=%s and restart containerd\n' "$package" "$revision"
    return
  fi
  release_hold
  say "installing $package=$revision"
  install_packages "$package=$revision"
}

restart_containerd() {
  local deadline=$((SECONDS + 120)) now
  say "restarting containerd"
  as_root systemctl restart containerd || die "containerd does not start; see journalctl -u containerd on this node"
  until systemctl is-active --quiet containerd; do
    ((SECONDS < deadline)) || die "containerd is not active after the restart; see journalctl -u containerd on this node"
    sleep 0.5
  done
  now=$(containerd_on_disk)
  [[ $now == "$version" ]] || die "containerd is at $now after the update, not $version; see dpkg -l $package on this node"
}

main() {
  local running from
  parse_arguments "$@"
  require_root
  find_package
  running=$(containerd_running)
  from=${running:-$(containerd_on_disk)}
  ! older_than "$version" "$(containerd_on_disk)" || refuse "--version: $version is older than containerd $(containerd_on_disk) on this node"
  $dry_run || take_over
  revision=$(installed_version "$package")
  if [[ $(containerd_on_disk) != "$version" ]]; then install_containerd; fi
  # Before the restart, as a later run does nothing once the new version is running.
  hold_again
  if [[ $running != "$version" ]] && ! $dry_run; then restart_containerd; fi
  printf 'result: {"version":"%s","from":"%s","package":"%s","revision":"%s","dryRun":%s}\n' "$version" "$from" "$package" "$revision" "$dry_run"
}

main "$@"
