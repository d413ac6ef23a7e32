#!/usr/bin/env bash
# Runs the hosts' tests in separate namespaces for network, mounts and processes. When the first process in
# them ends, for whatever reason, everything that the tests created goes with it, except an empty directory.
#   run.sh [ARGS OF VITEST…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

work=/tmp/k8s-upgrade-hosts
lock=/run/lock/k8s-upgrade-hosts

cannot() {
  printf 'hosts-test: not run: %s\n' "$1" >&2
  [[ ${CI:-} != true ]] || exit 1
  exit 0
}

check_machine() {
  local tool missing=()
  [[ $(uname -s) == Linux ]] || cannot "Linux is required, this is $(uname -s)"
  ((EUID == 0)) || cannot 'root is required for namespaces, overlays and chroot'
  for tool in debootstrap ip unshare nsenter gpg apt-ftparchive dpkg-deb flock curl; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  ((${#missing[@]} == 0)) || cannot "missing programs: ${missing[*]} (test/hosts/setup.sh installs them)"
  unshare --net --mount --pid --fork true 2>/dev/null || cannot 'this machine does not allow namespaces'
}

# Runs in the namespaces, as their first process.
inside() {
  mount -t tmpfs -o mode=0755,size=6g k8s-upgrade-hosts "$work"
  mkdir "$work/netns" "$work/tmp"
  mkdir -p /run/netns
  mount --bind "$work/netns" /run/netns
  ip link set lo up
  export TEST_WORK=$work TMPDIR=$work/tmp
  npx --no-install vitest run --project hosts --reporter=default --reporter=json \
    --outputFile.json=.cache/tests-hosts.json "$@" &
  trap 'kill -TERM $!' TERM INT
  wait $!
}

if [[ ${1:-} == --inside ]]; then
  shift
  inside "$@"
  exit
fi

mkdir -p .cache
rm -f .cache/tests-hosts.json
check_machine
exec 8>>"$lock"
flock -n 8 || cannot "already running (find the process: fuser $lock)"
export HOSTS_TREES
HOSTS_TREES=$(test/hosts/base.sh)
mkdir -p "$work"
exec unshare --net --mount --pid --fork --kill-child --mount-proc test/hosts/run.sh --inside "$@"
