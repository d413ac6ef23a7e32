#!/usr/bin/env bash
# Builds the control plane that the lab is compared with, once, and prints its directory. Uses the programs in
# the directory KUBEBUILDER_ASSETS instead, if set, as envtest does.
set -euo pipefail
assets=${KUBEBUILDER_ASSETS:+$(realpath "$KUBEBUILDER_ASSETS")}
cd "$(dirname "$0")"

module="kubernetes-1.34"
kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "../programs/$module/go.mod")
programs=(
  etcd etcdctl etcdutl kube-apiserver kube-controller-manager kube-scheduler
  # The same server, reporting the other releases that clusters are upgraded from and to.
  kube-apiserver-1.33.9 kube-apiserver-1.34.2 kube-apiserver-1.34.5 kube-apiserver-1.35.3
)

# usage: is_given PROGRAM — whether KUBEBUILDER_ASSETS has it; an API server must be of the release in go.mod
is_given() {
  [[ -n $assets && -x $assets/$1 ]] || return 1
  [[ $1 != kube-apiserver || $("$assets/$1" --version) == "Kubernetes $kubernetes" ]]
}

# usage: together BIN — links the given and the built programs into one directory and prints it
together() {
  local program directory
  directory=$1/with-$(sha256sum <<<"$assets" | cut -c1-12)
  mkdir -p "$directory"
  for program in "${programs[@]}"; do
    if is_given "$program"; then ln -sfn "$assets/$program" "$directory"; else ln -sfn "$1/$program" "$directory"; fi
  done
  printf '%s\n' "$directory"
}

if [[ -n $assets && -x $assets/kube-apiserver ]] && ! is_given kube-apiserver; then
  printf 'conformance: kube-apiserver in %s is not of %s and is not used\n' "$assets" "$kubernetes" >&2
fi
missing=()
for program in "${programs[@]}"; do is_given "$program" || missing+=("$program"); done
bin=$(../programs/build.sh "$module" "${missing[@]}")
if [[ -n $assets ]]; then together "$bin"; else printf '%s\n' "$bin"; fi
