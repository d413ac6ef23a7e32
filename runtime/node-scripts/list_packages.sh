#!/usr/bin/env bash
# Refreshes the configured Kubernetes repository, and nothing else, and lists a package's versions in it.
set -Eeuo pipefail

usage() {
  cat <<'USAGE'
Usage: list_packages.sh --package NAME [--dry-run]

  --package NAME   such as kubeadm
  --dry-run        use the lists as they are, without refreshing them
  --help

Needs root, or sudo without a password. Prints the lines of apt-cache madison. The last line of a success is
"result: {versions, repository}", newest first; of a failure, "error: what, and what to do".
Exit codes: 0 done, 1 failed (also when there is nothing to list), 2 bad input.
USAGE
}

source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/packages.sh"

package=''

parse_arguments() {
  while (($# > 0)); do
    case $1 in
      --package)
        (($# > 1)) || refuse "$1: expected a value"
        check_value "$1" "$2" '^[a-z0-9][a-z0-9+.-]{0,63}$' "the name of a Debian package"
        package=$2
        shift 2
        ;;
      --dry-run) dry_run=true && shift ;;
      --help) usage && exit 0 ;;
      *) refuse "\"$1\" is not an option; see --help" ;;
    esac
  done
  [[ -n $package ]] || refuse "--package: expected the name of a Debian package"
}

# The madison lines for this node's Kubernetes repositories.
offered() {
  local url urls=()
  while read -r url; do urls+=(-e "| ${url%/} "); done < <(kubernetes_sources | while read -r file; do kubernetes_urls "$file"; done)
  madison "$package" | grep -F "${urls[@]}" || true
}

main() {
  local lines repository
  local -a versions
  parse_arguments "$@"
  require_root
  refresh_kubernetes_source
  lines=$(offered)
  [[ -n $lines ]] ||
    die "the Kubernetes repository ($(configured_minors)) offers no $package; check the apt source file that names it and run apt-get update on this node"
  printf '%s\n' "$lines"
  mapfile -t versions < <(awk -F ' *[|] *' '{ print $2 }' <<<"$lines" | sort -Vru)
  repository=$(awk -F ' *[|] *' 'NR == 1 { split($3, part, " "); print part[1] }' <<<"$lines")
  printf 'result: {"versions":%s,"repository":"%s"}\n' "$(json_list "${versions[@]}")" "$repository"
}

main "$@"
