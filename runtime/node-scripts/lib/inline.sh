#!/usr/bin/env bash
# Writes the shared blocks of this folder into the node scripts, each of which has to be one file: it arrives on stdin.
# With --check it changes nothing and fails when a script is behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Everything between `# >>> lib/x.sh` and `# <<< lib/x.sh` becomes the content of lib/x.sh.
inline() {
  awk '
    /^# <<< lib\// { copying = 0 }
    !copying { print }
    /^# >>> lib\// { copying = 1; while ((getline line < $3) > 0) print line; close($3) }
  ' "$1"
}

main() {
  local script fresh behind=0
  for script in *.sh; do
    fresh=$(inline "$script")
    if [[ $fresh == "$(<"$script")" ]]; then continue; fi
    if [[ ${1:-} == --check ]]; then
      printf 'error: %s is behind lib/; run runtime/node-scripts/lib/inline.sh\n' "$script" >&2
      behind=1
    else
      printf '%s\n' "$fresh" >"$script"
    fi
  done
  return "$behind"
}

main "$@"
