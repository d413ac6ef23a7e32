#!/usr/bin/env bash
# A host's first process, in separate namespaces: everything on the host ends with it.
#   init.sh ROOT NAME      boots the host whose / is ROOT
#   init.sh --booted       continues there, after chroot
set -uo pipefail

boot() {
  local root=$1 name=$2
  hostname "$name"
  mount -t proc proc "$root/proc"
  # A kubelet needs the unified hierarchy. This is the machine's own, so mount it read-only.
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t cgroup2 -o ro cgroup2 "$root/sys/fs/cgroup"
  # /run and /tmp are volatile, as on a real host.
  mount -t tmpfs -o mode=0755 tmpfs "$root/run"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  mkdir "$root/run/sshd" "$root/run/lock"
  if [[ -e $root/etc/kubernetes/manifests/etcd.yaml ]]; then boot_container "$root"; fi
  exec chroot "$root" /usr/local/sbin/init.sh --booted
}

# Prepares the etcd container's file system: the image, and the host directories that kubeadm's manifest
# mounts.
boot_container() {
  local root=$1 container=$1/var/lib/containerd/etcd path
  for path in /var/lib/etcd /etc/kubernetes/pki/etcd; do
    mkdir -p "$container$path"
    mount --bind "$root$path" "$container$path"
  done
  mount -t proc proc "$container/proc"
}

run_etcd() {
  local pki=/etc/kubernetes/pki/etcd
  exec chroot /var/lib/containerd/etcd /usr/bin/etcd --name="$HOSTNAME" --data-dir=/var/lib/etcd \
    --listen-client-urls=https://127.0.0.1:2379 --advertise-client-urls=https://127.0.0.1:2379 \
    --listen-peer-urls=https://127.0.0.1:2380 --initial-advertise-peer-urls=https://127.0.0.1:2380 \
    --initial-cluster="$HOSTNAME=https://127.0.0.1:2380" \
    --cert-file=$pki/server.crt --key-file=$pki/server.key --trusted-ca-file=$pki/ca.crt --client-cert-auth \
    --peer-cert-file=$pki/peer.crt --peer-key-file=$pki/peer.key --peer-trusted-ca-file=$pki/ca.crt --peer-client-cert-auth
}

if [[ $1 != --booted ]]; then boot "$@"; fi
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
/usr/sbin/sshd -D -E /var/log/sshd.log &
if [[ -e /etc/kubernetes/manifests/etcd.yaml ]]; then run_etcd >/var/log/etcd.log 2>&1 & fi
# As the first process it also reaps orphans.
while true; do
  wait
  sleep 1
done
