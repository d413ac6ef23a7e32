#!/usr/bin/env bash
# Upgrades a kubeadm cluster as kubeadm's documentation says, for comparison: snapshot of etcd, then for each
# node packages of kubeadm, kubeadm upgrade, drain, packages of the kubelet, restart, uncordon.
# https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/
#   by-hand.sh RELEASE SSH_CONFIG CONTROL_PLANE WORKER…      with kubectl in the path and KUBECONFIG set
set -euo pipefail

release=$1 ssh_config=$2 control_plane=$3
workers=("${@:4}")

on() { ssh -F "$ssh_config" "$1" "sudo bash -euo pipefail -c $(printf '%q' "$2")"; }

# install NODE PACKAGE…
install() {
  local node=$1 package wanted=()
  shift
  for package in "$@"; do wanted+=("$package=$release-*"); done
  on "$node" "apt-mark unhold $* && apt-get update && apt-get install -y ${wanted[*]@Q} && apt-mark hold $*"
}

upgrade_kubelet() {
  local node=$1
  kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data
  install "$node" kubelet kubectl
  on "$node" 'systemctl daemon-reload && systemctl restart kubelet'
  kubectl wait --for=condition=Ready "node/$node" --timeout=5m
  kubectl uncordon "$node"
}

certificates=/etc/kubernetes/pki/etcd
kubectl --namespace=kube-system exec "etcd-$control_plane" -- etcdctl --endpoints=https://127.0.0.1:2379 \
  --cacert="$certificates/ca.crt" --cert="$certificates/server.crt" --key="$certificates/server.key" \
  snapshot save /var/lib/etcd/snapshot.db
on "$control_plane" 'mv /var/lib/etcd/snapshot.db /var/backups/etcd.db'

install "$control_plane" kubeadm
on "$control_plane" "kubeadm upgrade plan v$release && kubeadm upgrade apply --yes v$release"
upgrade_kubelet "$control_plane"

for worker in "${workers[@]}"; do
  install "$worker" kubeadm
  on "$worker" 'kubeadm upgrade node'
  upgrade_kubelet "$worker"
done
kubectl get nodes
