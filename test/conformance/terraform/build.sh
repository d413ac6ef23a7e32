#!/usr/bin/env bash
# Builds what a real apply needs besides terraform and the control plane, once for each version, and prints
# its directory:
#   vault            Vault, without the engines that this project does not use
#   providers/       Terraform's providers, at the commits of the releases that the stack requires
#   crds/            the definitions of External Secrets and of the Prometheus operator
# If TERRAFORM_PROVIDERS names a directory made by `terraform providers mirror DIR`, no provider is built.
# For each part that cannot be built, prints a line on stderr and continues without it.
set -euo pipefail
cd "$(dirname "$0")"

vault=v1.21.1
external_secrets=v1.3.2
prometheus_operator=v0.85.0
providers=(
  kubernetes_v2.38.0=be88f44271050f69d52f410bca388834afedfe71
  vault_v5.6.0=bcb1be4983c816359dbdf9956ccf384fefb62cd0
  helm_v3.1.1=1cbf08f6a306ab3cdff6079b87a61c7641b64f3b
)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/k8s-version-upgrade/terraform-$vault-$external_secrets-$prometheus_operator

# usage: cannot WHAT LOG — prints one line, with the last line of Go's log
cannot() {
  printf 'terraform: %s cannot be built here: %s\n' "$1" "$(grep -v '^[[:space:]]*$' "$2" | tail -n 1 | sed 's/^[[:space:]]*//')" >&2
}

build_vault() {
  [[ ! -x $cache/vault ]] || return 0
  echo 'terraform: building vault' >&2
  (cd vault && CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath -buildvcs=false' nice -n 19 go build -p 2 -tags minimal \
    -ldflags '-s -w' -o "$cache/.vault" github.com/hashicorp/vault) >"$cache/vault.log" 2>&1 ||
    { cannot "vault $vault" "$cache/vault.log" && return 0; }
  mv "$cache/.vault" "$cache/vault"
}

# usage: build_provider NAME_VERSION COMMIT
build_provider() {
  local program=$cache/providers/terraform-provider-$1 module=github.com/hashicorp/terraform-provider-${1%%_*}
  [[ ! -x $program ]] || return 0
  CGO_ENABLED=0 GOBIN="$cache/bin" GOFLAGS='-trimpath -buildvcs=false' nice -n 19 go install -p 2 \
    -ldflags '-s -w' "$module@$2" >"$cache/$1.log" 2>&1 ||
    { cannot "the provider ${1/_/ }" "$cache/$1.log" && return 0; }
  mv "$cache/bin/${module##*/}" "$program"
}

# usage: fetch_crd MODULE@VERSION PATH — copies a file of a module
fetch_crd() {
  [[ ! -e $cache/crds/${2##*/} ]] || return 0
  local directory
  directory=$(GOFLAGS=-mod=mod go mod download -json "$1" 2>"$cache/crds.log" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p')
  if [[ -z $directory ]]; then
    printf 'terraform: %s is not available as a Go module here\n' "$1" >&2
    return 0
  fi
  install -m 644 "$directory/$2" "$cache/crds/${2##*/}"
}

main() {
  local provider
  mkdir -p "$cache/providers" "$cache/crds" "$cache/bin"
  if command -v go >/dev/null; then
    exec 9>"$cache/.lock"
    flock 9
    build_vault
    if [[ -z ${TERRAFORM_PROVIDERS-} ]]; then
      for provider in "${providers[@]}"; do build_provider "${provider%%=*}" "${provider#*=}"; done
    fi
    fetch_crd "github.com/external-secrets/external-secrets@$external_secrets" \
      config/crds/bases/external-secrets.io_externalsecrets.yaml
    fetch_crd "github.com/prometheus-operator/prometheus-operator@$prometheus_operator" \
      example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml
  else
    echo 'terraform: Go is not installed; it is needed to build vault and the providers' >&2
  fi
  printf '%s\n' "$cache"
}

# Bash reads a script while it runs it. Inside a function, an edit does not affect a running build.
main; exit
