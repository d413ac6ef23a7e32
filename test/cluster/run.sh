#!/usr/bin/env bash
# Runs real kubeadm clusters in separate namespaces for network, mounts and processes. When the first process
# in them ends, for whatever reason, everything goes with it.
#   run.sh test [FILES…]    FILES: of this folder; `all` for all. Default: what CI plays
#   run.sh serve [TOPOLOGY]
#   run.sh bench [PAIRS]
# CLUSTER_NAME: another name lets a second one run beside the first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Builds images, which needs the machine's network.
image_test=test/cluster/product-image.cluster.test.ts
export CLUSTER_NAME=${CLUSTER_NAME:-k8s-upgrade-cluster}
work=/tmp/$CLUSTER_NAME
cable=k8s-upgrade
lock=/run/lock/$CLUSTER_NAME

cannot() {
  printf 'cluster: not run: %s\n' "$1" >&2
  [[ ${CI:-} != true && $command != serve ]] || exit 1
  exit 0
}

check_machine() {
  local tool missing=()
  [[ $(uname -s) == Linux ]] || cannot "Linux is required, this is $(uname -s)"
  ((EUID == 0)) || cannot 'root is required for namespaces, cgroups and mounts'
  [[ -d /sys/fs/cgroup/cpuset && -d /sys/fs/cgroup/unified ]] || cannot 'the cgroup hierarchies of version 1 are required'
  for tool in go debootstrap ip unshare nsenter gpg apt-ftparchive dpkg-deb flock curl buildah jq npm; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  ((${#missing[@]} == 0)) || cannot "missing programs: ${missing[*]} (test/cluster/setup.sh installs them, except Go)"
  unshare --net --mount --pid --fork true 2>/dev/null || cannot 'this machine does not allow namespaces'
}

# The kernel counts root's inotify instances on the whole machine: some 60 for three nodes, 90 for 3+1. A node
# that gets none does not boot, or its containerd or kubelet does not work.
check_inotify() {
  local used needed=64 limit=/proc/sys/fs/inotify/max_user_instances
  [[ ! "$command $*" =~ ^(test all|.*topologies|serve 3\+1) ]] || needed=96
  used=$(find /proc/[0-9]*/fd -user root -lname '*inotify' 2>/dev/null | wc -l) || true
  ((used + needed <= $(<"$limit"))) ||
    cannot "$used of $(<"$limit") inotify instances are in use ($limit), perhaps by another cluster; $needed are needed"
}

# Runs in the background until the lock is free again, that is, until every process of the run has ended.
clean_up() {
  (
    trap '' INT TERM HUP
    exec 9>>"$lock"
    flock 9
    find /sys/fs/cgroup -depth -type d '(' -name "$CLUSTER_NAME" -o -path "*/$CLUSTER_NAME/*" ')' -exec rmdir {} + 2>/dev/null
    rmdir "$work" 2>/dev/null
    rm -rf "$CLUSTER_FILES"
  ) </dev/null >/dev/null 2>&1 8>&- &
}

# Runs in the namespaces, as their first process.
inside() {
  mount -t tmpfs -o mode=0755,size=20g "$CLUSTER_NAME" "$work"
  mkdir "$work/netns" "$work/tmp"
  mkdir -p /run/netns
  mount --bind "$work/netns" /run/netns
  ip link set lo up
  sysctl -qw net.ipv4.ip_forward=1
  export TEST_WORK=$work TMPDIR=$work/tmp
  case $command in
    test)
      npx --no-install vitest run --project cluster --exclude "$image_test" --reporter=default --reporter=json \
        --outputFile.json=.cache/tests-cluster.json "$@" &
      ;;
    serve | bench) node --import tsx "test/cluster/$command.ts" "$@" & ;;
  esac
  child=$!
  trap 'kill -TERM "$child"' TERM INT
  wait_for "$child"
}

# usage: wait_for PID — its exit code. A signal ends one wait, not the process.
wait_for() {
  local ended
  while true; do
    if wait "$1"; then ended=0; else ended=$?; fi
    kill -0 "$1" 2>/dev/null || return "$ended"
  done
}

# Leaves out of files what CI has no time for, the last part first. The numbers are seconds on a slow machine.
fit() {
  local -A takes=([patch]=420 [killed]=480 [programs]=360 [minor]=480)
  local part left=$((CI_DEADLINE - $(date +%s))) kept=()
  for part in "${files[@]}"; do
    left=$((left - takes[$part]))
    if ((left > 0)); then
      kept+=("$part")
    else
      printf 'cluster: %s is not played: no time is left for it\n' "$part"
    fi
  done
  ((${#kept[@]} > 0)) || exit 0
  files=("${kept[@]}")
}

command=$1
shift
if [[ $command == --inside ]]; then
  command=$1
  shift
  inside "$@"
  exit
fi

if [[ $command == serve && ! ${1:-1+2} =~ ^(1\+2|3\+1|1\+0)$ ]]; then
  printf 'cluster: TOPOLOGY=%s: expected 1+2, 3+1 or 1+0 (control-plane nodes + workers)\n' "$1" >&2
  exit 2
fi
if [[ $command == bench && ! ${1:-1} =~ ^[1-9][0-9]?$ ]]; then
  printf 'cluster: bench %s: expected a number of pairs from 1 to 99\n' "$1" >&2
  exit 2
fi
mkdir -p .cache
rm -f .cache/tests-cluster*.json
check_machine
check_inotify "$@"
exec 8>>"$lock"
flock -n 8 || cannot "already running (find the process: fuser $lock)"
build() { node --import tsx test/cluster/build.ts "$@"; }
releases=(1.34.2 1.34.4) next=1.35.4 files=("$@")
if [[ $command == test ]]; then
  case ${1:-} in
    '')
      files=(patch programs killed)
      if build --is-built "$next"; then
        files+=(minor)
      else
        printf 'cluster: the upgrade to %s is not played, as it is not built; make cluster-test-all does both\n' "$next"
      fi
      ;;
    all) files=() ;;
  esac
  if [[ ${#files[@]} == 0 || ${files[*]} == *minor* ]]; then releases+=("$next"); fi
fi
build "${releases[@]}"
test/cluster/base.sh >/dev/null
export PRODUCT_IMAGE_NAME=docker.io/library/k8s-version-upgrade:0.1.0
PRODUCT_IMAGE=$(test/cluster/product-image.sh "runtime=$PRODUCT_IMAGE_NAME")
export PRODUCT_IMAGE
if [[ $command == test && ${1:-all} == all ]]; then
  npx --no-install vitest run --project cluster "$image_test" --reporter=default --reporter=json \
    --outputFile.json=.cache/tests-cluster-image.json
fi
if [[ $command == test && $# == 0 && -n ${CI_DEADLINE:-} ]]; then fit; fi
mkdir -p "$work"
export CLUSTER_FILES=$PWD/.cache/$CLUSTER_NAME
clean_up
namespaces=(unshare --net --mount --pid --fork --kill-child --mount-proc)
if [[ $command != serve ]]; then exec "${namespaces[@]}" test/cluster/run.sh --inside "$command" "${files[@]}"; fi

# A cable from the machine's own network: the user's kubectl, ssh and browser reach the cluster by it.
"${namespaces[@]}" test/cluster/run.sh --inside serve "$@" &
unshare=$!
trap 'kill -TERM "$(first_process)"' TERM INT
first_process() { pgrep --parent "$unshare"; }
until first_process >/dev/null; do sleep 0.1; done
ip link add "$cable" type veth peer name machine netns "$(first_process)"
ip address add 198.18.0.253/24 dev "$cable"
ip link set "$cable" up
wait_for "$unshare"
