#!/usr/bin/env bash
# Builds programs of one of the modules beside this script, each once, into the user's cache, and prints their
# directory.
#   build.sh [--is-built] MODULE PROGRAM[-RELEASE]…
# MODULE is a folder here, or FOLDER/next for its next.mod. A program of Kubernetes with a release, such as
# kubeadm-1.34.2, is the same source that reports that release. With --is-built, builds nothing: the exit code
# says whether all of them are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

is_built=false
if [[ $1 == --is-built ]]; then is_built=true && shift; fi
module=$1
shift
folder=${module%/next}
modfile=$folder/go.mod
if [[ $module != "$folder" ]]; then modfile=$folder/next.mod; fi

key=$({ cat "$modfile" "${modfile%.mod}.sum" && find "$folder" -name '*.go' -print0 | sort -z | xargs -0r cat; } |
  sha256sum | cut -c1-12)
bin=${XDG_CACHE_HOME:-$HOME/.cache}/k8s-version-upgrade/programs/${module//\//-}-$key

# usage: version_of MODULE — its version in go.mod, such as v1.34.4
version_of() {
  awk -v module="$1" '$1 == "require" { $1 = $2; $2 = $3 } $1 == module && $2 ~ /^v/ { print $2; exit }' "$modfile"
}

# usage: package_of PROGRAM — its package: of this module, or one of the tools in go.mod
package_of() {
  if [[ -d $folder/$1 ]]; then printf './%s\n' "$1" && return; fi
  local name=$1
  if [[ $name == etcd ]]; then name=server; fi
  awk -v name="$name" '$1 ~ "/" name "(/v[0-9]+)?$" && NF == 1 { print $1 } $1 == "tool" && $2 ~ "/" name "$" { print $2 }' "$modfile"
}

# usage: stamp_of RELEASE — linker flags, as the release's own build sets them
stamp_of() {
  local minor=${1#1.} package
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf -- ' -X %s.gitVersion=v%s -X %s.gitMajor=1 -X %s.gitMinor=%s -X %s.gitTreeState=clean' \
      "$package" "$1" "$package" "$package" "${minor%%.*}" "$package"
  done
}

# usage: build PROGRAM
build() {
  local program=$1 name=$1 release='' package flags='-s -w' started=$SECONDS
  if [[ $program =~ ^(.*)-([0-9]+\.[0-9]+\.[0-9]+)$ ]]; then name=${BASH_REMATCH[1]} release=${BASH_REMATCH[2]}; fi
  package=$(package_of "$name")
  if [[ -z $package ]]; then
    printf 'build: %s has no program %s\n' "$modfile" "$name" >&2
    return 1
  fi
  if [[ $package == k8s.io/kubernetes/* ]]; then
    release=${release:-$(version_of k8s.io/kubernetes)}
    flags+=$(stamp_of "${release#v}")
  elif [[ $name == crictl ]]; then
    flags+=" -X sigs.k8s.io/cri-tools/pkg/version.Version=$(version_of sigs.k8s.io/cri-tools)"
  fi
  printf 'build: %s\n' "$program" >&2
  (cd "$folder" && CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath -buildvcs=false' nice -n 19 \
    go build -p 2 "-modfile=${modfile##*/}" -ldflags "$flags" -o "$bin/.$program" "$package" >&2)
  mv "$bin/.$program" "$bin/$program"
  printf 'build: %s in %d s\n' "$program" $((SECONDS - started)) >&2
}

main() {
  local program missing=()
  for program in "$@"; do [[ -x $bin/$program ]] || missing+=("$program"); done
  if $is_built; then
    ((${#missing[@]} == 0))
    exit
  fi
  if ((${#missing[@]} > 0)); then
    if ! command -v go >/dev/null; then
      printf 'build: Go is not installed; it is needed to build %s\n' "${missing[*]}" >&2
      exit 1
    fi
    mkdir -p "$bin"
    # Two concurrent builds would write the same files, so the second waits and then finds them.
    exec 9>"$bin/.lock"
    flock 9
    for program in "${missing[@]}"; do [[ -x $bin/$program ]] || build "$program"; done
  fi
  printf '%s\n' "$bin"
}

# Bash reads a script while it runs it. Inside a function, an edit does not affect a running build.
main "$@"
exit
