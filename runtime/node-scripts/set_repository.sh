#!/usr/bin/env bash
# Points this node's Kubernetes package source at another minor, and installs that repository's signing key.
set -Eeuo pipefail

usage() {
  cat <<'USAGE'
Usage: set_repository.sh --minor X.Y --url BASE [--dry-run]

  --minor X.Y   such as 1.35
  --url BASE    such as https://pkgs.k8s.io/core:/stable:/ ; vX.Y/deb/ is appended
  --dry-run     print what would be done, change nothing
  --help

Rewrites only lines and stanzas that name a Kubernetes repository. Fetches the key through the proxy that apt uses.
Restores the old source and key when the refresh fails or the repository offers no kubeadm X.Y. Safe to run again.
Needs root, or sudo without a password.
The last line of a success is "result: {minor, repository, newest, changed}"; of a failure, "error: what, and what to do".
Exit codes: 0 done, 1 failed, 2 bad input (nothing was changed).
USAGE
}

source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/packages.sh"

url_pattern='^https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[A-Za-z0-9._:~%-]*)*$'
minor_pattern='^(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})$'
keyring=/etc/apt/keyrings/kubernetes-apt-keyring.gpg
# Outside /etc/apt, where apt would complain about unknown files.
backups="$root/var/backups/k8s-upgrade"
# Exists from the first change to the last, and holds the URL of the new repository.
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

# Refuses any minor but the kubelet's and the next one.
check_minor() {
  local now
  now=$(minor_of "$(kubelet --version | sed -E 's/^Kubernetes v//')")
  ! older_than "$minor" "$now" || refuse "--minor: $minor is older than kubelet $now on this node"
  [[ $minor == "$now" || $minor == "$(awk -F. '{ print $1 "." $2 + 1 }' <<<"$now")" ]] ||
    refuse "--minor: $minor skips a minor from kubelet $now on this node"
}

clean_up() { [[ -z $work ]] || rm -rf -- "$work"; }

# apt_proxy URL: the proxy that apt uses for it, or DIRECT; empty when apt's configuration has neither.
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

# download URL FILE: follows redirects (F12), uses apt's proxy, and waits for the network.
download() {
  local proxy printed code deadline=$((SECONDS + network_timeout))
  # $away: the exit codes of curl or wget for not resolved, not reached and timed out.
  local client=(curl -fsSL --proto '=http,https' --max-redirs 10 --max-time 60 -o) away=' 5 6 7 28 '
  command -v curl >/dev/null || client=(wget -nv -t 1 -T 60 -O) away=' 4 '
  proxy=$(apt_proxy "$1")
  [[ -z $proxy ]] || local -x http_proxy=${proxy#DIRECT} https_proxy=${proxy#DIRECT}
  until printed=$("${client[@]}" "$2" "$1" </dev/null 2>&1); do
    code=$?
    if [[ $away == *" $code "* ]] && wait_for_network "${printed##*$'\n'}" "$deadline"; then continue; fi
    printf '%s\n' "$printed" >&2
    return "$code"
  done
}

# Writes the repository's key to $work/keyring, in the format that apt reads.
fetch_key() {
  download "${repository}Release.key" "$work/key" ||
    die "cannot fetch ${repository}Release.key; check that v$minor exists there and that the node reaches it"
  grep -q 'BEGIN PGP PUBLIC KEY BLOCK' "$work/key" || die "${repository}Release.key is not a signing key; check --url"
  gpg --batch --yes --dearmor -o "$work/keyring" "$work/key" || die "gpg cannot read ${repository}Release.key"
}

# rewritten FILE: its content, with every Kubernetes entry pointing to the new repository and key.
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

# rewritten_line LINE: `deb [options] URL /`. Keeps all options except signed-by.
rewritten_line() {
  local options=''
  [[ $1 != *'['*']'* ]] || options=$(sed -E 's/^[^[]*\[([^]]*)\].*/\1/; s/(^| +)signed-by=[^ ]*//; s/^ +//' <<<"$1")
  printf '%s [%ssigned-by=%s] %s /\n' "${1%%[[:space:]]*}" "${options:+$options }" "$keyring" "$repository"
}

# rewritten_stanzas FILE: deb822. Replaces URIs and Signed-By, which may be a whole key over several lines, in
# the stanzas of Kubernetes.
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

# replace SOURCE TARGET: atomically; TARGET is readable by apt's own user.
replace() {
  as_root install -D -m 0644 -- "$1" "$2.new"
  as_root mv -f -- "$2.new" "$2"
}

# backup FILE…: does nothing after a killed switch to the same repository, whose backups are the originals.
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

# restore FILE…: puts source and key back.
restore() {
  local file
  for file in "$@"; do
    if as_root test -e "$backups/${file##*/}"; then
      as_root cp -p -- "$backups/${file##*/}" "$file.new"
      as_root mv -f -- "$file.new" "$file"
    fi
  done
  as_root rm -f -- "$unfinished"
  say "restored the old source and key"
}

# In a subshell, so that a failure can be undone before it is reported.
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
  die "$(sed -nE 's/^error: //p' "$work/why" | tail -n 1); this node keeps its old repository"
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
