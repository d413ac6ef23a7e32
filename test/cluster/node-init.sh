#!/usr/bin/env bash
# A node's first process: mounts what a machine has, and becomes systemd. Called by node-boot.sh.
#   node-init.sh ROOT NAME DISKS
set -euo pipefail
root=$1 name=$2 disks=$3

mount_disks() {
  local path
  # containerd's snapshots cannot be an overlay on an overlay.
  for path in lib/containerd lib/kubelet lib/etcd log; do
    mkdir -p "$disks/$path" "$root/var/$path"
    mount --bind "$disks/$path" "$root/var/$path"
  done
}

# The kubelet would set these for the whole machine: files that hold what it wants.
hide_sysctls() {
  local setting file
  mkdir -p "$disks/sysctl"
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=$disks/sysctl/$(basename "${setting%=*}")
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "$root/proc/sys/${setting%=*}"
  done
}

mount_kernel() {
  mount -t proc proc "$root/proc"
  # The settings of the network are the node's own.
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
  mount -o remount,bind,ro "$root/proc/sys"
  hide_sysctls
  mount -t sysfs -o ro sysfs "$root/sys"
}

# In the node's cgroup namespace, each hierarchy mounted here begins at the node's own cgroup.
mount_cgroups() {
  local controller cgroups=$root/sys/fs/cgroup
  mount -t tmpfs -o mode=0755 tmpfs "$cgroups"
  for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
    mkdir "$cgroups/$controller"
    mount -t cgroup -o "$controller" cgroup "$cgroups/$controller"
  done
  mkdir "$cgroups/systemd" "$cgroups/unified"
  mount -t cgroup -o none,name=systemd cgroup "$cgroups/systemd"
  mount -t cgroup2 cgroup2 "$cgroups/unified"
}

mount_volatile() {
  mount -t tmpfs -o mode=0755 tmpfs "$root/run"
  mkdir "$root/run/lock"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
}

mount_devices() {
  local device
  mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/dev"
  while read -r device; do
    # shellcheck disable=SC2086 # name, major and minor
    set -- $device
    mknod -m 666 "$root/dev/$1" c "$2" "$3"
  done < <(printf '%s\n' 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0' 'kmsg 1 11')
  mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  mount -t mqueue mqueue "$root/dev/mqueue"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s /proc/self/fd/0 "$root/dev/stdin"
  ln -s /proc/self/fd/1 "$root/dev/stdout"
  ln -s /proc/self/fd/2 "$root/dev/stderr"
}

hostname "$name"
mount_disks
mount_kernel
mount_cgroups
mount_volatile
mount_devices
cd "$root"
mkdir -p .old
pivot_root . .old
cd /
umount -l /.old
# Volumes that the kubelet mounts must be seen in the containers.
mount --make-rshared /
exec env -i container=k8s-upgrade PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --log-target=journal </dev/null >/var/log/boot.log 2>&1
