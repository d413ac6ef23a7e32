#!/usr/bin/env bash
# Builds targets of runtime/Dockerfile on this machine, without Docker or a registry of images. Prints the
# path of one docker-archive for each, in the order of the arguments. `ctr -n k8s.io images import PATH`
# imports it as the image NAME.
#   product-image.sh TARGET=NAME…     TARGET: runtime or agent; NAME: with its tag
#
# The archives are in the user's cache, and are built again only when what goes into them has changed; those
# that nobody has asked for in a day are removed. Everything else is in memory and in separate namespaces: it
# goes when this process ends, for whatever reason. If this machine cannot build them: one line on stderr, and
# exit code 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dockerfile=runtime/Dockerfile
cache=${XDG_CACHE_HOME:-$HOME/.cache}/k8s-version-upgrade
work=$cache/product-image.work
authorities=/etc/ssl/certs/ca-certificates.crt

cannot() {
  printf 'product-image: not built: %s\n' "$1" >&2
  exit 1
}

check_arguments() {
  local argument
  (($# > 0)) || cannot 'usage: product-image.sh TARGET=NAME…'
  for argument in "$@"; do
    [[ $argument =~ ^(runtime|agent)=[a-z0-9][a-z0-9./:_-]*:[A-Za-z0-9_][A-Za-z0-9._-]*$ ]] ||
      cannot "not TARGET=NAME:TAG with the target runtime or agent: $argument"
  done
}

check_machine() {
  local tool missing=()
  [[ $(uname -s) == Linux ]] || cannot "Linux is required, this is $(uname -s)"
  ((EUID == 0)) || cannot 'root is required for namespaces and chroot'
  for tool in buildah debootstrap flock jq npm setpriv unshare; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  ((${#missing[@]} == 0)) || cannot "missing programs: ${missing[*]} (scripts/setup and test/cluster/setup.sh install Debian's)"
  unshare --mount --pid --fork true 2>/dev/null || cannot 'this machine does not allow namespaces'
}

# At least the files that the Dockerfile copies and its .dockerignore lets through, and how they are built.
inputs() {
  local copied
  mapfile -t copied < <(sed -nE 's/^COPY ([^-].*) \S+$/\1/p' "$dockerfile" | tr ' ' '\n')
  find "$dockerfile" "$dockerfile.dockerignore" test/cluster/{product-image,image-base}.sh "${copied[@]}" -type f \
    -not -path '*/node_modules/*' -not -path 'runtime/dist/*' -not -name '*.test.ts' -print0 | sort -zu
}

# archive_of TARGET=NAME: the path of its archive, which changes with everything that goes into it.
archive_of() {
  local key
  key=$({ uname -m && printf '%s\n' "$1" && inputs | xargs -0 sha256sum; } | sha256sum | cut -c1-12)
  printf '%s/product-image-%s-%s.tar\n' "$cache" "${1%%=*}" "$key"
}

# Storage in memory, whose mounts are in this namespace. Chroot is the isolation that needs the fewest rights.
in_storage() {
  buildah --root "$work/storage" --runroot "$work/run" --storage-driver overlay "$@"
}

# program_of VERSION: a directory with this version of Node.js as bin/node. npm has it as a package.
program_of() {
  local name prefix=$cache/node-$1
  name=node-linux-$(node -p process.arch)
  if [[ ! -x $prefix/node_modules/$name/bin/node ]]; then
    npm install --silent --prefix "$work/node" --no-save --ignore-scripts "$name@$1" >&2
    rm -rf "$prefix" "$prefix.part"
    cp -a "$work/node" "$prefix.part"
    mv "$prefix.part" "$prefix"
    rm -rf "$work/node"
  fi
  printf '%s/node_modules/%s\n' "$prefix" "$name"
}

# base NAME:TAG: stands in for this image of Node.js, of Debian also where the tag says Alpine.
base() {
  local version container archive program
  version=$(sed -E 's/.*:([0-9.]+)-.*/\1/' <<<"$1")
  archive=$(test/cluster/image-base.sh "$work")
  program=$(program_of "$version")
  container=$(in_storage from scratch)
  in_storage add --quiet "$container" "$archive" / >/dev/null
  in_storage copy --quiet "$container" "$program/bin/node" /usr/local/bin/node >/dev/null
  in_storage config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env "NODE_VERSION=$version" --cmd node "$container"
  in_storage commit --quiet --rm "$container" "docker.io/library/$1" >/dev/null
}

# The build asks the registry that this machine asks, with its credentials, and believes the same authorities.
# Both are mounted for the build: they are in no layer.
write_configuration() {
  local file
  {
    for file in "$(npm config get globalconfig)" "$(npm config get userconfig)"; do
      # Addresses and credentials; the other keys are about this machine.
      if [[ -f $file ]]; then grep -E '^(@|//)' "$file" || true; fi
    done
    npm config get registry proxy https-proxy noproxy strict-ssl | grep -vE '=(null)?$'
    printf 'cafile=%s\n' "$authorities"
  } >"$work/npmrc"
  for file in "$authorities" "$(npm config get cafile)" "${NODE_EXTRA_CA_CERTS:-}"; do
    if [[ -f $file ]]; then cat "$file"; fi
  done >"$work/authorities"
}

# build TARGET NAME
build() {
  local log=$work/log
  printf 'product-image: building %s\n' "$1" >&2
  in_storage build --isolation chroot --pull-never --layers --identity-label=false --target "$1" --tag "$2" \
    --file "$dockerfile" --ignorefile "$dockerfile.dockerignore" \
    --volume "$work/npmrc:/root/.npmrc:ro" --volume "$work/authorities:$authorities:ro" \
    --volume "$(npm config get cache):/root/.npm" . &>"$log" || { tail -n 30 "$log" >&2 && return 1; }
}

# check TARGET NAME: the program starts as uid 1000 without a writable file system.
check() {
  local container root command=(k8s-upgrade)
  if [[ $1 == runtime ]]; then
    mapfile -t command < <(in_storage inspect --type image "$2" | jq -r '.OCIv1.config.Entrypoint[]')
  fi
  container=$(in_storage from --pull-never "$2")
  root=$(in_storage mount "$container")
  mount --bind "$root" "$work/check"
  mount -o remount,bind,ro "$work/check"
  mount --bind /dev "$work/check/dev"
  chroot --userspec=1000:1000 --groups= "$work/check" "${command[@]}" --version >"$work/log" ||
    { printf 'product-image: %s does not start: %s\n' "$2" "${command[*]} --version" >&2 && return 1; }
  umount -R "$work/check"
  in_storage rm "$container" >/dev/null
}

# Runs in the namespaces, as their first process.
inside() {
  local argument target name archive reference
  # buildah notes what it has copied in /var/lib, unless it cannot write there. The cache may be there, too.
  mount --bind "$cache" "$cache"
  mount --rbind /var/lib /var/lib
  mount -o remount,bind,ro /var/lib
  mount -t tmpfs -o mode=0700,size=6g product-image "$work"
  mkdir "$work"/{check,tmp}
  export TMPDIR=$work/tmp
  rm -f "$cache"/product-image-*.part
  find "$cache" -maxdepth 1 -name 'product-image-*.tar' -mtime +0 -delete
  write_configuration
  while read -r reference; do base "$reference"; done < <(sed -nE 's/^ARG \w+_IMAGE=(node:.*)/\1/p' "$dockerfile")
  for argument in "$@"; do
    target=${argument%%=*} name=${argument#*=}
    archive=$(archive_of "$argument")
    if [[ -f $archive ]]; then continue; fi
    build "$target" "$name"
    check "$target" "$name"
    in_storage push --quiet "$name" "docker-archive:$archive.part:$name" >&2
    mv "$archive.part" "$archive"
  done
}

# Succeeds if all archives exist, and prints their paths.
print_existing() {
  local argument archives=()
  for argument in "$@"; do archives+=("$(archive_of "$argument")"); done
  # Keeps them for another day.
  touch --no-create "${archives[@]}" || true
  for argument in "${archives[@]}"; do [[ -f $argument ]] || return 1; done
  printf '%s\n' "${archives[@]}"
}

if [[ ${1:-} == --inside ]]; then
  shift
  inside "$@"
  exit
fi

check_arguments "$@"
if print_existing "$@"; then exit; fi
check_machine
mkdir -p "$cache"
exec 9>"$cache/product-image.lock"
flock 9
mkdir -p "$work"
# Killed with this process, even by SIGKILL; and with the first process in the namespaces go all others.
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
  test/cluster/product-image.sh --inside "$@"
rmdir "$work"
print_existing "$@"
