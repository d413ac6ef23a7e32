# shellcheck shell=bash disable=SC2034,SC2154 # sourced after stub.sh
# The static pods that kubeadm writes.

components=(etcd kube-apiserver kube-controller-manager kube-scheduler)

# etcd_version RELEASE: the etcd version that this release of kubeadm installs.
etcd_version() {
  case ${1%.*} in
    1.32 | 1.33) printf '3.5.24-0' ;;
    1.34) printf '3.6.5-0' ;;
    *) printf '3.6.6-0' ;;
  esac
}

# wanted_tag COMPONENT RELEASE: the image tag of a component at a release.
wanted_tag() {
  if [[ $1 == etcd ]]; then etcd_version "$2"; else printf 'v%s' "$2"; fi
}

# render COMPONENT TAG: the manifest as kubeadm writes it. Flags come from kubeadm-config alone, not from the
# old file (F22).
render() {
  local flag pki=/etc/kubernetes/pki/etcd
  printf 'apiVersion: v1\nkind: Pod\nmetadata:\n  labels:\n    component: %s\n    tier: control-plane\n  name: %s\n  namespace: kube-system\n' "$1" "$1"
  printf 'spec:\n  containers:\n  - command:\n    - %s\n' "$1"
  case $1 in
    etcd)
      printf '    - --cert-file=%s\n' "$pki/server.crt"
      printf '    - --data-dir=/var/lib/etcd\n'
      case $2 in
        3.5.*) printf '    - --experimental-%s\n' initial-corrupt-check=true watch-progress-notify-interval=5s ;;
        *) printf '    - --feature-gates=InitialCorruptCheck=true\n' ;;
      esac
      printf '    - --key-file=%s\n    - --listen-client-urls=https://127.0.0.1:2379\n    - --trusted-ca-file=%s\n' \
        "$pki/server.key" "$pki/ca.crt"
      case $2 in 3.5.*) ;; *) printf '    - --watch-progress-notify-interval=5s\n' ;; esac
      ;;
    kube-apiserver)
      printf '    - --authorization-mode=Node,RBAC\n'
      while read -r flag; do printf '    - %s\n' "$flag"; done <"$LAB_CLUSTER_DIR/apiserver-flags"
      ;;
    *) printf '    - --kubeconfig=/etc/kubernetes/%s.conf\n' "${1#kube-}" ;;
  esac
  printf '    image: registry.k8s.io/%s:%s\n    name: %s\n  hostNetwork: true\nstatus: {}\n' "$1" "$2" "$1"
}

manifest_of() { printf '%s' "$fs/etc/kubernetes/manifests/$1.yaml"; }

# write_manifests RELEASE: the manifests that kubeadm init writes on a control-plane node.
write_manifests() {
  local component
  for component in "${components[@]}"; do
    render "$component" "$(wanted_tag "$component" "$1")" >"$(manifest_of "$component")"
  done
}
