#!/usr/bin/env bash
# Points this node's Kubernetes package source at another minor, with that repository's signing key.
set -Eeuo pipefail

usage() {
  cat <<'USAGE'
Usage: set_repository.sh --minor X.Y --url BASE [--dry-run]

  --minor X.Y   such as 1.35
  --url BASE    such as https://pkgs.k8s.io/core:/stable:/ ; vX.Y/deb/ is appended
  --dry-run     say what would be done, change nothing
  --help

Only lines and stanzas that name a Kubernetes repository are rewritten. The key is fetched through the proxy that apt takes.
When the refresh fails or the repository offers no kubeadm X.Y, the old source and key are put back. Safe to run again.
Needs root, or sudo without a password.
The last line of a success is "result: {minor, repository, newest, changed}"; of a failure, "error: what, and what to do".
Exit codes: 0 done, 1 failed, 2 bad input (nothing was touched).
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

url_pattern='^https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[A-Za-z0-9._:~%-]*)*$'
minor_pattern='^(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})$'
keyring=/etc/apt/keyrings/kubernetes-apt-keyring.gpg
# Outside of /etc/apt, where apt would complain about files it does not know.
backups="$root/var/backups/k8s-upgrade"
# Exists from the first change to the last: the repository that the node is being pointed at.
unfinished="$backups/unfinished"
minor='' base='' work=''

parse_arguments() {
  while (($# > 0)); do
    case $1 in
      --minor | --url)
        (($# > 1)) || refuse "$1: expected a value"
        set_option "$1" "$2"
        shift 2
        ;;
      --dry-run) dry_run=true && shift ;;
      --help) usage && exit 0 ;;
      *) refuse "\"$1\" is not an option; see --help" ;;
    esac
  done
  [[ -n $minor ]] || refuse "--minor: expected a minor X.Y such as 1.35"
  [[ -n $base ]] || refuse "--url: expected the repository's base URL, such as https://pkgs.k8s.io/core:/stable:/"
  repository="${base%/}/v$minor/deb/"
}

set_option() {
  case $1 in
    --minor) check_value "$1" "$2" "$minor_pattern" "a minor X.Y such as 1.35" && minor=$2 ;;
    --url) check_value "$1" "$2" "$url_pattern" "an http or https URL without user, query or blanks" && base=$2 ;;
  esac
}

# A repository for another minor than this or the next one is a mistake.
check_minor() {
  local now
  now=$(minor_of "$(kubelet --version | sed -E 's/^Kubernetes v//')")
  ! older_than "$minor" "$now" || refuse "--minor: $minor is older than kubelet $now on this node"
  [[ $minor == "$now" || $minor == "$(awk -F. '{ print $1 "." $2 + 1 }' <<<"$now")" ]] ||
    refuse "--minor: $minor skips a minor from kubelet $now on this node"
}

clean_up() { [[ -z $work ]] || rm -rf -- "$work"; }

# apt_proxy URL: the proxy that apt itself takes to reach it, DIRECT for none; empty when apt's configuration says nothing.
apt_proxy() {
  local host=${1#*://} schemes=(https http) scheme value=''
  [[ $1 == https:* ]] || schemes=(http)
  for host in "::${host%%[:/]*}" ''; do
    for scheme in "${schemes[@]}"; do
      eval "$(apt-config shell value "Acquire::$scheme::Proxy$host")"
      [[ -z $value ]] || break 2
    done
  done
  printf '%s' "$value"
}

# download URL FILE: follows redirects (F12), takes the way that apt takes, and waits for the network.
download() {
  local proxy said code deadline=$((SECONDS + network_timeout))
  # Not resolved, not reached, timed out, as each exits with it.
  local client=(curl -fsSL --proto '=http,https' --max-redirs 10 --max-time 60 -o) away=' 5 6 7 28 '
  command -v curl >/dev/null || client=(wget -nv -t 1 -T 60 -O) away=' 4 '
  proxy=$(apt_proxy "$1")
  [[ -z $proxy ]] || local -x http_proxy=${proxy#DIRECT} https_proxy=${proxy#DIRECT}
  until said=$("${client[@]}" "$2" "$1" </dev/null 2>&1); do
    code=$?
    if [[ $away == *" $code "* ]] && wait_for_network "${said##*$'\n'}" "$deadline"; then continue; fi
    printf '%s\n' "$said" >&2
    return "$code"
  done
}

# The repository's key, in the form apt reads, as $work/keyring.
fetch_key() {
  download "${repository}Release.key" "$work/key" ||
    die "cannot fetch ${repository}Release.key; check that v$minor exists there and that the node reaches it"
  grep -q 'BEGIN PGP PUBLIC KEY BLOCK' "$work/key" || die "${repository}Release.key is not a signing key; check --url"
  gpg --batch --yes --dearmor -o "$work/keyring" "$work/key" || die "gpg cannot read ${repository}Release.key"
}

# rewritten FILE: its content with every Kubernetes entry pointing at the repository and the key.
rewritten() {
  if [[ $1 == *.sources ]]; then rewritten_stanzas "$1"; else rewritten_lines "$1"; fi
}

rewritten_lines() {
  local line
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ -n $(kubernetes_urls /dev/stdin <<<"$line") ]]; then
      rewritten_line "$line"
    else
      printf '%s\n' "$line"
    fi
  done <"$1"
}

# deb [options] URL / : other options than signed-by stay.
rewritten_line() {
  local options=''
  [[ $1 != *'['*']'* ]] || options=$(sed -E 's/^[^[]*\[([^]]*)\].*/\1/; s/(^| +)signed-by=[^ ]*//; s/^ +//' <<<"$1")
  printf '%s [%ssigned-by=%s] %s /\n' "${1%%[[:space:]]*}" "${options:+$options }" "$keyring" "$repository"
}

# deb822: the URIs and Signed-By (which may be a whole key, over several lines) of the stanzas that are Kubernetes'.
rewritten_stanzas() {
  awk -v repository="$repository" -v keyring="$keyring" '
    function flush(  i, ours, skip) {
      for (i = 1; i <= n; i++) if (line[i] ~ /^URIs:.*\/v[0-9]+\.[0-9]+\/deb/ && line[i] !~ /addons:|cri-o/) ours = 1
      for (i = 1; i <= n; i++) {
        if (ours && skip && line[i] ~ /^[ \t]/) continue
        skip = 0
        if (ours && line[i] ~ /^URIs:/) print "URIs: " repository
        else if (ours && line[i] ~ /^Signed-By:/) { print "Signed-By: " keyring; skip = 1 }
        else print line[i]
      }
      n = 0
    }
    /^[ \t]*$/ { flush(); print; next }
    { line[++n] = $0 }
    END { flush() }' "$1"
}

# replace SOURCE TARGET: whole or not at all, readable by apt's own user.
replace() {
  as_root install -D -m 0644 -- "$1" "$2.new"
  as_root mv -f -- "$2.new" "$2"
}

# After a killed switch the backups are from before it, and the files perhaps are not.
backup() {
  local file
  [[ $(as_root cat "$unfinished" 2>/dev/null || true) != "$repository" ]] || return 0
  as_root mkdir -p -m 0700 "$backups"
  as_root rm -f -- "$unfinished"
  for file in "$@"; do
    if as_root test -e "$file"; then as_root cp -p -- "$file" "$backups/${file##*/}"; fi
  done
  printf '%s\n' "$repository" >"$work/unfinished"
  replace "$work/unfinished" "$unfinished"
}

# Puts source and key back.
restore() {
  local file
  for file in "$@"; do
    if as_root test -e "$backups/${file##*/}"; then
      as_root cp -p -- "$backups/${file##*/}" "$file.new"
      as_root mv -f -- "$file.new" "$file"
    fi
  done
  as_root rm -f -- "$unfinished"
  say "the old source and key are back"
}

# In a shell of its own, so that its failure can be undone before it is reported.
try_refresh() (
  refresh_kubernetes_source
  [[ -n $(newest) ]] || die "the repository $repository offers no kubeadm $minor; check that this minor has been released"
) 2>"$work/why"

newest() { madison kubeadm | awk -F ' *[|] *' '{ print $2 }' | { grep -E "^${minor//./[.]}[.]" || true; } | sort -V | tail -n 1; }

switch() {
  local file
  backup "$@" "$root$keyring"
  replace "$work/keyring" "$root$keyring"
  for file in "$@"; do
    rewritten "$file" >"$work/source"
    replace "$work/source" "$file"
  done
  if try_refresh; then
    as_root rm -f -- "$unfinished"
    return
  fi
  restore "$@" "$root$keyring"
  die "$(sed -nE 's/^error: //p' "$work/why" | tail -n 1); this node stays on the repository that it had"
}

main() {
  local files changed=false
  parse_arguments "$@"
  require_root
  check_minor
  mapfile -t files < <(kubernetes_sources)
  ((${#files[@]} > 0)) || refresh_kubernetes_source
  [[ $(configured_minors) == "v$minor" ]] || changed=true
  if $dry_run; then
    printf 'WOULD: point %s at %s\n' "${files[*]#"$root"}" "$repository"
    printf 'result: {"minor":"%s","repository":"%s","newest":"","changed":%s}\n' "$minor" "$repository" "$changed"
    return
  fi
  work=$(mktemp -d)
  say "fetching the signing key of $repository"
  fetch_key
  switch "${files[@]}"
  printf 'result: {"minor":"%s","repository":"%s","newest":"%s","changed":%s}\n' "$minor" "$repository" "$(newest)" "$changed"
}

main "$@"
