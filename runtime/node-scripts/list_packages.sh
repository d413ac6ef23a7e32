#!/usr/bin/env bash
# Refreshes the configured Kubernetes repository, and nothing else, and lists the versions of packages in it.
set -Eeuo pipefail

usage() {
  cat <<'USAGE'
Usage: list_packages.sh --package NAME[,NAME...] [--dry-run]

  --package NAME   such as kubeadm; with several, a version of the first is listed only if all the others
                   have the same release, whatever their revisions
  --dry-run        use the lists as they are, without refreshing them
  --help

Needs root, or sudo without a password. Prints the lines of apt-cache madison. The last line of a success is
"result: {versions, incomplete, repository}", newest first; incomplete has each release that some packages
lack, with their names. The last line of a failure is "error: what, and what to do".
Exit codes: 0 done, 1 failed (also when there is nothing to list), 2 bad input.
USAGE
}

source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/packages.sh"

packages=()

parse_arguments() {
  while (($# > 0)); do
    case $1 in
      --package)
        (($# > 1)) || refuse "$1: expected a value"
        check_value "$1" "$2" '^[a-z0-9][a-z0-9+.-]{0,63}(,[a-z0-9][a-z0-9+.-]{0,63})*$' "names of Debian packages"
        IFS=, read -ra packages <<<"$2"
        shift 2
        ;;
      --dry-run) dry_run=true && shift ;;
      --help) usage && exit 0 ;;
      *) refuse "\"$1\" is not an option; see --help" ;;
    esac
  done
  ((${#packages[@]} > 0)) || refuse "--package: expected the name of a Debian package"
}

# The madison lines of the packages for this node's Kubernetes repositories.
offered() {
  local package url urls=()
  while read -r url; do urls+=(-e "| ${url%/} "); done < <(kubernetes_sources | while read -r file; do kubernetes_urls "$file"; done)
  for package in "${packages[@]}"; do madison "$package" | grep -F "${urls[@]}" || true; done
}

# whole LINES: the versions of the first package whose release all packages have, newest first, one a line.
whole() { judge whole "$1" | sort -Vru; }

# incomplete LINES: each release that some packages lack, followed by their names, newest first.
incomplete() { judge incomplete "$1" | sort -Vr; }

# judge whole|incomplete LINES
judge() {
  awk -F ' *[|] *' -v kind="$1" -v names="${packages[*]}" "$awk_upstream"'
    BEGIN { count = split(names, name, " ") }
    { sub(/^ +/, "", $1); release = upstream($2); has[release, $1] = releases[release] = 1 }
    $1 == name[1] { version[$2] = release }
    END {
      for (release in releases) {
        for (i = 1; i <= count; i++) if (!((release, name[i]) in has)) lacks[release] = lacks[release] " " name[i]
        if (kind == "incomplete" && release in lacks) print release lacks[release]
      }
      if (kind == "whole") for (one in version) if (!(version[one] in lacks)) print one
    }' <<<"$2"
}

main() {
  local lines repository
  local -a versions lacking
  parse_arguments "$@"
  require_root
  refresh_kubernetes_source
  lines=$(offered)
  [[ -n $lines ]] ||
    die "the Kubernetes repository ($(configured_minors)) offers no ${packages[0]}; check the apt source file that names it and run apt-get update on this node"
  printf '%s\n' "$lines"
  mapfile -t versions < <(whole "$lines")
  mapfile -t lacking < <(incomplete "$lines")
  repository=$(awk -F ' *[|] *' 'NR == 1 { split($3, part, " "); print part[1] }' <<<"$lines")
  printf 'result: {"versions":%s,"incomplete":%s,"repository":"%s"}\n' \
    "$(json_list "${versions[@]}")" "$(json_list "${lacking[@]}")" "$repository"
}

main "$@"
