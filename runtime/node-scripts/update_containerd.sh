#!/usr/bin/env bash
# Brings this node's containerd to a version, from whichever package provides it, and restarts it. Running containers stay.
set -Eeuo pipefail

usage() {
  cat <<'USAGE'
Usage: update_containerd.sh --version X.Y.Z [--dry-run]

  --version X.Y.Z   containerd's own version, such as 1.7.28
  --dry-run         say what would be done, change nothing
  --help

Containers go on while it restarts; before another major drain the node. Safe to run again. Needs root, or sudo without a password.
The last line of a success is "result: {version, from, package, revision}"; of a failure, "error: what, and what to do".
Exit codes: 0 done, 1 failed, 2 bad input (nothing was touched), 4 not to be had by this node's package manager (nothing was changed).
USAGE
}

# >>> lib/common.sh
# Prefix of every file path: empty on a real node, a directory when the script is rehearsed.
root="${K8S_UPGRADE_ROOT:-}"
dry_run=false
uid=$(id -u)

say() { printf '==> %s\n' "$*"; }
warn() { printf '==> warning: %s\n' "$*"; }

# Something went wrong: what, and what to do about it. Exit 1.
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Bad input: nothing has been touched. Exit 2.
refuse() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# A command that nobody expected to fail still leaves an error line that says where.
unexpected() {
  ((BASH_SUBSHELL > 0)) || printf 'error: line %s: "%s" failed with exit %s\n' "$2" "$3" "$1" >&2
}
trap 'unexpected "$?" "$LINENO" "$BASH_COMMAND"' ERR

# Whatever way a script ends; each may define clean_up.
finish() {
  [[ -z ${capture:-} ]] || rm -f -- "$capture"
  if declare -F clean_up >/dev/null; then clean_up; fi
}
trap finish EXIT

# Nothing below may read stdin: it is this script.
as_root() {
  if [[ $uid == 0 ]]; then "$@" </dev/null; else sudo -n -- "$@" </dev/null; fi
}

require_root() {
  as_root true 2>/dev/null ||
    die "$(id -un) may not run sudo without a password on this node: allow it in /etc/sudoers.d, or log in as root"
}

# Runs a command that changes the node; in a dry run it says so instead.
change() {
  if $dry_run; then printf 'WOULD: %s\n' "$*"; else as_root "$@"; fi
}

# shellcheck disable=SC2034 # not every script takes a release
release_pattern='^(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})$'
path_pattern='^/[A-Za-z0-9._/-]+$'

# check_value OPTION VALUE PATTERN EXPECTED
check_value() {
  [[ $2 =~ $3 ]] || refuse "$1: \"$2\" is not allowed; expected $4"
}

# check_path OPTION VALUE
check_path() {
  check_value "$1" "$2" "$path_pattern" "an absolute path of letters, digits and . _ - /"
  [[ /$2/ != */../* ]] || refuse "$1: \"$2\" is not allowed; expected a path without \"..\""
}

minor_of() { printf '%s\n' "${1%.*}"; }

# older_than A B: true when version A is older than B.
older_than() {
  [[ $1 != "$2" && $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}

# free_mib PATH: free space of the file system that holds PATH, in MiB.
free_mib() { df -Pm "$1" | awk 'NR == 2 { print $4 }'; }

json_list() {
  local item out=''
  for item in "$@"; do out+="${out:+,}\"$item\""; done
  printf '[%s]' "$out"
}
# <<< lib/common.sh
# >>> lib/packages.sh
# How long another program may hold apt's locks, in seconds: unattended-upgrades takes its time.
lock_timeout=900

# How long the network may be away while apt fetches, in seconds: a cable is out for a minute, a switch starts anew.
network_timeout=180

apt_get() {
  as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -q -y -o "DPkg::Lock::Timeout=$lock_timeout" "$@"
}

# kubernetes_urls FILE: the Kubernetes repositories that an apt source file names (CRI-O's look alike and are not ours).
kubernetes_urls() {
  sed -E 's/#.*//' "$1" | grep -Eo 'https?://[^ ]+/v[0-9]+\.[0-9]+/deb/?' | grep -Ev 'addons:|cri-o' || true
}

# The apt source files that name a Kubernetes repository, one a line.
kubernetes_sources() {
  local file
  for file in "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*.{list,sources}; do
    [[ -f $file && -n $(kubernetes_urls "$file") ]] && printf '%s\n' "$file"
  done
  return 0
}

# The minors that the configured Kubernetes repositories are for, such as "v1.34".
configured_minors() {
  local file
  while read -r file; do kubernetes_urls "$file"; done < <(kubernetes_sources) |
    sed -E 's#.*/(v[0-9]+\.[0-9]+)/deb/?#\1#' | sort -Vu | paste -sd ' '
}

# Explains what apt-get update printed; it exits 0 for most of these and keeps the old lists (F13, F24).
check_update() {
  local file=$1 code=$2 output=$3 line
  line=$(grep -Em 1 'EXPKEYSIG|KEYEXPIRED' <<<"$output") &&
    die "the signing key of the repository in ${file#"$root"} has expired; fetch the current one with set_repository.sh ($line)"
  line=$(grep -Em 1 'NO_PUBKEY|is not signed' <<<"$output") &&
    die "the signing key of the repository in ${file#"$root"} is missing; fetch it with set_repository.sh ($line)"
  line=$(grep -Em 1 '^(E|W|Err)[:0-9]' <<<"$output" || true)
  if ((code != 0)) || grep -q 'Failed to fetch' <<<"$output"; then
    die "apt-get update failed for ${file#"$root"}: ${line:-exit $code}; check that the node reaches the repository"
  fi
}

network_told=false
# wait_for_network WHY DEADLINE: waits a little, having said why once; false when there is no time left.
wait_for_network() {
  ((SECONDS < $2)) || return 1
  $network_told || say "waiting for the network: $1"
  network_told=true
  sleep 2
}

# What apt says when it could not reach what it asked, which it tries once.
unreachable='(Could not|Unable to) connect to|Cannot initiate the connection to|Connection (failed|timed out)'
unreachable+="|Could not resolve '|(Temporary failure|System error|Something wicked happened) resolving '"

# network_is_away OUTPUT DEADLINE: waits a little and is true when the network kept apt from its work and there is time left.
network_is_away() {
  local line
  line=$(grep -Em 1 "$unreachable" <<<"$1") && wait_for_network "${line#*: }" "$2"
}

# refresh_source FILE: apt-get update of that file alone. Waits for apt's lock, which apt-get update itself does not, and for the
# network.
refresh_source() {
  local file=$1 output code holder told=false
  local deadline=$((SECONDS + lock_timeout)) network=$((SECONDS + network_timeout))
  while true; do
    code=0
    output=$(apt_get update -o "Dir::Etc::sourcelist=$file" -o Dir::Etc::sourceparts=- \
      -o APT::Get::List-Cleanup=0 2>&1) || code=$?
    if network_is_away "$output" "$network"; then continue; fi
    holder=$(grep -m 1 'Could not get lock' <<<"$output" || true)
    [[ -n $holder ]] || break
    ((SECONDS < deadline)) || die "apt is still locked after ${lock_timeout}s: $holder; see which process holds it"
    $told || say "waiting for apt: ${holder#E: }"
    told=true
    sleep 1
  done
  printf '%s\n' "$output"
  check_update "$file" "$code" "$output"
}

# Refreshes the Kubernetes source and nothing else. In a dry run the lists stay as they are.
refresh_kubernetes_source() {
  local file files
  files=$(kubernetes_sources)
  [[ -n $files ]] || die "no file in /etc/apt/sources.list.d names a Kubernetes repository; add one, for example kubernetes.list with: deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] https://pkgs.k8s.io/core:/stable:/vX.Y/deb/ /"
  while read -r file; do
    if $dry_run; then
      printf 'WOULD: apt-get update (only %s)\n' "${file#"$root"}"
    else
      say "refreshing ${file#"$root"}"
      refresh_source "$file"
    fi
  done <<<"$files"
}

# madison PACKAGE: what the lists offer, as ` name | version | source`.
madison() { LC_ALL=C apt-cache madison "$1"; }

# newest_revision PACKAGE VERSION: the newest package version whose upstream version is exactly VERSION; empty when there is none.
newest_revision() {
  madison "$1" | awk -F ' *[|] *' -v want="$2" '{ v = $2; u = v; sub(/^[0-9]+:/, "", u); sub(/[-~+].*/, "", u); if (u == want) print v }' |
    sort -V | tail -n 1
}

# when_unlocked COMMAND…: waits for dpkg's lock, which neither apt-mark nor dpkg does itself. Its output is shown when it fails.
# How dpkg says it: 1.19 "dpkg frontend is locked by …", 1.20 "dpkg frontend lock is locked by …", later "… lock was locked by …".
when_unlocked() {
  local output locked=' (is|was) locked by another process' told=false deadline=$((SECONDS + lock_timeout))
  until output=$(as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@" 2>&1); do
    if ((SECONDS >= deadline)) || ! grep -Eq "$locked" <<<"$output"; then
      printf '%s\n' "$output"
      return 1
    fi
    $told || say "waiting for apt: $(grep -Em 1 "$locked" <<<"$output")"
    told=true
    sleep 1
  done
}

# mark hold|unhold PACKAGE…
mark() { when_unlocked apt-mark "$@"; }

installed_version() { dpkg-query -W -f='${Version}' "$1" 2>/dev/null || true; }

# dpkg's journal outlives it only when it was killed. apt refuses to work then, even when every package is configured.
has_journal() { compgen -G "$root/var/lib/dpkg/updates/[0-9]*" >/dev/null; }

# Finishes what an interrupted apt left half done; does nothing otherwise.
repair_dpkg() {
  if [[ -z $(as_root dpkg --audit) ]] && ! has_journal; then return; fi
  say "finishing an interrupted package installation"
  when_unlocked dpkg --force-confdef --force-confold --configure -a ||
    die "dpkg --configure -a failed; see its output above, mend that package by hand, then run this again"
}

capture=''
# Prints what a command says as it says it, and keeps it in $output.
run_shown() {
  local code=0
  [[ -n $capture ]] || capture=$(mktemp)
  "$@" 2>&1 | tee "$capture" || code=$?
  output=$(<"$capture")
  return "$code"
}

# install_packages NAME=VERSION…: installs exactly these, keeping configuration files as they are. Waits for the network.
install_packages() {
  local code network=$((SECONDS + network_timeout))
  while true; do
    code=0
    run_shown apt_get install --no-install-recommends \
      -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" || code=$?
    ((code != 0)) || return 0
    network_is_away "$output" "$network" || break
  done
  grep -q 'Held packages' <<<"$output" &&
    die "apt would have to change held packages ($(apt-mark showhold | paste -sd ' ')); see which with: apt-get install --dry-run $*, then apt-mark unhold it"
  die "apt-get install $* failed: $(grep -m 1 '^E:' <<<"$output" || printf 'exit %s' "$code")"
}
# <<< lib/packages.sh

version='' package='' held=false
# Exists while a held package is not held, so that the run after a killed one knows.
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

# Not to be had here, and not needed for what comes after it. Exit 4.
unavailable() {
  printf 'error: %s\n' "$*" >&2
  exit 4
}

# containerd.io is Docker's package, containerd the distribution's.
find_package() {
  for package in containerd.io containerd; do
    [[ -z $(installed_version "$package") ]] || return 0
  done
  unavailable "neither containerd.io nor containerd is installed as a package; update containerd on this node by hand"
}

# The program on disk, and the one that serves: another one when somebody forgot the restart, none while containerd is down.
containerd_on_disk() { containerd --version | awk '{ sub(/^v/, "", $3); print $3 }' | sed -E 's/[-~+].*//'; }
containerd_running() { as_root crictl version 2>/dev/null | sed -nE 's/^RuntimeVersion: *v?([0-9.]+).*/\1/p' || true; }

# The version was named, so a stale list can only lack it: everything is refreshed only then.
resolve_revision() {
  revision=$(newest_revision "$package" "$version")
  [[ -z $revision ]] || return 0
  if ! $dry_run; then
    say "refreshing the package lists"
    apt_get update || warn "apt-get update failed; going on with what it got"
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

# What a killed run left to do.
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
  # Before the restart: whoever sees the new version running takes this for done.
  hold_again
  if [[ $running != "$version" ]] && ! $dry_run; then restart_containerd; fi
  printf 'result: {"version":"%s","from":"%s","package":"%s","revision":"%s","dryRun":%s}\n' "$version" "$from" "$package" "$revision" "$dry_run"
}

main "$@"
