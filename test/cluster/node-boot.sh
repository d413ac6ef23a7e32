#!/usr/bin/env bash
# Boots a node in namespaces and cgroups of its own, below the cgroup CLUSTER_NAME. Ends when the node is off.
#   node-boot.sh ROOT NAME NAMESPACE DISKS
# ROOT: the mounted file system; NAMESPACE: of the network; DISKS: directory of what no overlay can hold
set -euo pipefail
root=$1 name=$2 namespace=$3 disks=$4
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
cgroups=/sys/fs/cgroup

# usage: own CONTROLLER — the cgroup that this process is in
own() { awk -F: -v c="$1" '$2 == c || (c == "" && $1 == 0) { print $3 }' /proc/self/cgroup; }

# usage: enter DIRECTORY CONTROLLER — puts this process into a cgroup for the node
enter() {
  local parent group
  parent=$cgroups/$1$(own "$2")
  group=${parent%/}/$CLUSTER_NAME/$name
  mkdir -p "$group"
  if [[ $2 == cpuset ]]; then
    local file level
    for level in "${group%/*}" "$group"; do
      for file in cpus mems; do cat "${level%/*}/cpuset.$file" >"$level/cpuset.$file"; done
      echo 1 >"$level/cgroup.clone_children"
    done
  fi
  echo $$ >"$group/cgroup.procs"
}

for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do enter "$controller" "$controller"; done
enter systemd name=systemd
enter unified ''
exec nsenter "--net=/run/netns/$namespace" unshare --mount --propagation private --uts --ipc --cgroup --pid --fork --kill-child \
  "$here/node-init.sh" "$root" "$name" "$disks"
