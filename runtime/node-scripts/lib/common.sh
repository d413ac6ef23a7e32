# Prefix of every file path: empty on a real node, a directory in tests and in the lab.
root="${K8S_UPGRADE_ROOT:-}"
dry_run=false
uid=$(id -u)

say() { printf '==> %s\n' "$*"; }
warn() { printf '==> warning: %s\n' "$*"; }

# die MESSAGE…: the script failed; MESSAGE says why and what to do. Exit 1.
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# refuse MESSAGE…: bad input; nothing has been changed. Exit 2.
refuse() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# Prints an error line with the place of an unexpected failure.
unexpected() {
  ((BASH_SUBSHELL > 0)) || printf 'error: line %s: "%s" failed with exit %s\n' "$2" "$3" "$1" >&2
}
trap 'unexpected "$?" "$LINENO" "$BASH_COMMAND"' ERR

# Runs however the script ends. A script may define clean_up.
finish() {
  [[ -z ${capture:-} ]] || rm -f -- "$capture"
  if declare -F clean_up >/dev/null; then clean_up; fi
}
trap finish EXIT

# Commands get /dev/null as stdin, as the script itself arrives on stdin.
as_root() {
  if [[ $uid == 0 ]]; then "$@" </dev/null; else sudo -n -- "$@" </dev/null; fi
}

# write_as_root FILE: writes standard input there.
write_as_root() {
  if [[ $uid == 0 ]]; then cat >"$1"; else sudo -n -- tee -- "$1" >/dev/null; fi
}

require_root() {
  as_root true 2>/dev/null ||
    die "$(id -un) may not run sudo without a password on this node: allow it in /etc/sudoers.d, or log in as root"
}

# change COMMAND…: runs a command that changes the node; a dry run only prints it.
change() {
  if $dry_run; then printf 'WOULD: %s\n' "$*"; else as_root "$@"; fi
}

# shellcheck disable=SC2034 # not every script uses it
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

# no_patches DIRECTORY: why kubeadm would fail without it.
no_patches() {
  printf 'kubeadm.patches: %s is not a directory on this node; kubeadm needs it on every node, also where it is empty (mkdir -p %s)' "$1" "$1"
}
