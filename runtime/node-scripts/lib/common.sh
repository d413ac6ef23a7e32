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
