#!/usr/bin/env bash
# Builds the control plane that the lab is compared with, once for each pair of versions in go.mod, and prints
# its directory. Uses the programs in the directory KUBEBUILDER_ASSETS instead, if set, as envtest does.
set -euo pipefail
assets=${KUBEBUILDER_ASSETS:+$(realpath "$KUBEBUILDER_ASSETS")}
cd "$(dirname "$0")"

programs=(
  kube-apiserver=k8s.io/kubernetes/cmd/kube-apiserver
  kube-controller-manager=k8s.io/kubernetes/cmd/kube-controller-manager
  kube-scheduler=k8s.io/kubernetes/cmd/kube-scheduler
  # The same server, reporting the other releases that clusters are upgraded from and to.
  kube-apiserver-1.33.9=k8s.io/kubernetes/cmd/kube-apiserver
  kube-apiserver-1.34.2=k8s.io/kubernetes/cmd/kube-apiserver
  kube-apiserver-1.34.5=k8s.io/kubernetes/cmd/kube-apiserver
  kube-apiserver-1.35.3=k8s.io/kubernetes/cmd/kube-apiserver
  etcd=go.etcd.io/etcd/server/v3
  etcdctl=go.etcd.io/etcd/etcdctl/v3
  etcdutl=go.etcd.io/etcd/etcdutl/v3
)

# usage: version_of MODULE — prints the version in go.mod, such as v1.34.4
version_of() {
  awk -v module="$1" '$1 == "require" { $1 = $2; $2 = $3 } $1 == module && $2 ~ /^v/ { print $2; exit }' go.mod
}

kubernetes=$(version_of k8s.io/kubernetes)
etcd=$(version_of go.etcd.io/etcd/server/v3)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/k8s-version-upgrade/envtest-$kubernetes-$etcd
bin=$cache/bin

# usage: stamp_of PROGRAM — prints linker flags; a name that ends in -1.33.9 makes it report that release
stamp_of() {
  local release=$kubernetes package=k8s.io/component-base/version
  if [[ $1 =~ -([0-9.]+)$ ]]; then release=v${BASH_REMATCH[1]}; fi
  local minor=${release#v1.}
  printf -- '-X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s' \
    "$package" "$release" "$package" "$package" "${minor%%.*}"
}

# usage: is_given PROGRAM — whether KUBEBUILDER_ASSETS has it; an API server must be of the release in go.mod
is_given() {
  [[ -n $assets && -x $assets/$1 ]] || return 1
  [[ $1 != kube-apiserver || $("$assets/$1" --version) == "Kubernetes $kubernetes" ]]
}

# Prints the entries of `programs` that have to be built.
missing() {
  local program
  for program in "${programs[@]}"; do
    is_given "${program%%=*}" || [[ -x $bin/${program%%=*} ]] || printf '%s\n' "$program"
  done
}

# Links the given and the built programs into one directory and prints it.
together() {
  local program directory
  directory=$cache/with-$(sha256sum <<<"$assets" | cut -c1-12)
  mkdir -p "$directory"
  for program in "${programs[@]%%=*}"; do
    if is_given "$program"; then ln -sfn "$assets/$program" "$directory"; else ln -sfn "$bin/$program" "$directory"; fi
  done
  printf '%s\n' "$directory"
}

main() {
  if [[ -n $assets && -x $assets/kube-apiserver ]] && ! is_given kube-apiserver; then
    printf 'conformance: kube-apiserver in %s is not of %s and is not used\n' "$assets" "$kubernetes" >&2
  fi
  mapfile -t wanted < <(missing)
  if ((${#wanted[@]} > 0)); then
    if ! command -v go >/dev/null; then
      printf 'conformance: Go is not installed; it is needed to build %s\n' "${wanted[*]%%=*}" >&2
      exit 1
    fi
    mkdir -p "$bin"
    # Two concurrent builds would write the same files, so the second waits and then finds them.
    exec 9>"$bin/.lock"
    flock 9
    mapfile -t wanted < <(missing)
    for program in "${wanted[@]}"; do
      printf 'conformance: building %s\n' "${program%%=*}" >&2
      started=$SECONDS
      CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath -buildvcs=false' nice -n 19 go build -p 2 \
        -ldflags "-s -w $(stamp_of "${program%%=*}")" -o "$bin/.${program%%=*}" "${program#*=}" >&2
      mv "$bin/.${program%%=*}" "$bin/${program%%=*}"
      printf 'conformance: built %s in %d s\n' "${program%%=*}" $((SECONDS - started)) >&2
    done
  fi
  if [[ -n $assets ]]; then together; else printf '%s\n' "$bin"; fi
}

# Bash reads a script while it runs it. Inside a function, an edit does not affect a running build.
main; exit
