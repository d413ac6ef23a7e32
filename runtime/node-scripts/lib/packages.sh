# How long to wait for apt's locks, in seconds: unattended-upgrades may hold them for a long time.
lock_timeout=900

# How long to wait for the network, in seconds: a cable may be unplugged, a switch may restart.
network_timeout=180

apt_get() {
  as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -q -y -o "DPkg::Lock::Timeout=$lock_timeout" "$@"
}

# kubernetes_urls FILE: the Kubernetes repositories in an apt source file, without CRI-O's, whose URLs look
# alike.
kubernetes_urls() {
  sed -E 's/#.*//' "$1" | grep -Eo 'https?://[^ ]+/v[0-9]+\.[0-9]+/deb/?' | grep -Ev 'addons:|cri-o' || true
}

# The apt source files that name a Kubernetes repository, one a line.
kubernetes_sources() {
  local file
  for file in "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*.{list,sources}; do
    [[ -f $file && -n $(kubernetes_urls "$file") ]] && printf '%s\n' "$file"
  done
  return 0
}

# The minors of the configured Kubernetes repositories, such as "v1.34".
configured_minors() {
  local file
  while read -r file; do kubernetes_urls "$file"; done < <(kubernetes_sources) |
    sed -E 's#.*/(v[0-9]+\.[0-9]+)/deb/?#\1#' | sort -Vu | paste -sd ' '
}

# check_update FILE CODE OUTPUT: dies when apt-get update failed, and explains why. For most of these failures
# it exits 0 and keeps the old lists (F13, F24).
check_update() {
  local file=$1 code=$2 output=$3 line
  line=$(grep -Em 1 'EXPKEYSIG|KEYEXPIRED' <<<"$output") &&
    die "the signing key of the repository in ${file#"$root"} has expired: $line; fetch the current one with set_repository.sh"
  # apt calls a repository unsigned, too, when the server answers InRelease with an error such as 403.
  line=$(grep -m 1 NO_PUBKEY <<<"$output" || { ! grep -q 'Failed to fetch' <<<"$output" && grep -m 1 'is not signed' <<<"$output"; }) &&
    die "the signing key of the repository in ${file#"$root"} is missing: $line; fetch it with set_repository.sh"
  # The line "Err:1 URL" comes first, and the reason is not in it.
  line=$(grep -Em 1 '^[EW]: ' <<<"$output" || true)
  if ((code != 0)) || grep -q 'Failed to fetch' <<<"$output"; then
    die "apt-get update failed for ${file#"$root"}: ${line:-exit $code}; check that the node reaches the repository"
  fi
}

network_reported=false
# wait_for_network WHY DEADLINE: waits 2 seconds, so that the caller can retry. Prints WHY at the first call
# only. False, without waiting, once $SECONDS has reached DEADLINE.
wait_for_network() {
  ((SECONDS < $2)) || return 1
  $network_reported || say "waiting for the network: $1"
  network_reported=true
  sleep 2
}

# What apt prints when it cannot reach a server. It does not retry.
unreachable='(Could not|Unable to) connect to|Cannot initiate the connection to|Connection (failed|timed out)'
unreachable+="|Could not resolve '|(Temporary failure|System error|Something wicked happened) resolving '"

# wait_if_unreachable OUTPUT DEADLINE: when apt's OUTPUT shows that it did not reach a server, waits as
# wait_for_network does. False when OUTPUT shows no such failure, or after DEADLINE.
wait_if_unreachable() {
  local line
  line=$(grep -Em 1 "$unreachable" <<<"$1") && wait_for_network "${line#*: }" "$2"
}

# refresh_source FILE: apt-get update of that file alone. Waits for the network, and for apt's lock, which
# apt-get update does not.
refresh_source() {
  local file=$1 output code holder reported=false
  local deadline=$((SECONDS + lock_timeout)) network=$((SECONDS + network_timeout))
  while true; do
    code=0
    output=$(apt_get update -o "Dir::Etc::sourcelist=$file" -o Dir::Etc::sourceparts=- \
      -o APT::Get::List-Cleanup=0 2>&1) || code=$?
    if wait_if_unreachable "$output" "$network"; then continue; fi
    holder=$(grep -m 1 'Could not get lock' <<<"$output" || true)
    [[ -n $holder ]] || break
    ((SECONDS < deadline)) || die "apt is still locked after ${lock_timeout}s: $holder; see which process holds it"
    $reported || say "waiting for apt: ${holder#E: }"
    reported=true
    sleep 1
  done
  printf '%s\n' "$output"
  check_update "$file" "$code" "$output"
}

# Refreshes the Kubernetes source and nothing else. A dry run leaves the lists as they are.
refresh_kubernetes_source() {
  local file files
  files=$(kubernetes_sources)
  [[ -n $files ]] || die "neither /etc/apt/sources.list nor a file in /etc/apt/sources.list.d names a Kubernetes repository; add one, for example /etc/apt/sources.list.d/kubernetes.list with: deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] https://pkgs.k8s.io/core:/stable:/vX.Y/deb/ /"
  while read -r file; do
    if $dry_run; then
      printf 'WOULD: apt-get update (only %s)\n' "${file#"$root"}"
    else
      say "refreshing ${file#"$root"}"
      refresh_source "$file"
    fi
  done <<<"$files"
}

# madison PACKAGE: the versions in the lists, as lines ` name | version | source`.
madison() { LC_ALL=C apt-cache madison "$1"; }

# For awk: the upstream version of a package version, 1:1.34.5+vendor-1.1 -> 1.34.5. A pre-release keeps its
# suffix, so that it is no release.
# shellcheck disable=SC2034 # not every script uses it
awk_upstream='function upstream(v) {
  sub(/^[0-9]+:/, "", v)
  if (v !~ /[~-](alpha|beta|rc)/) sub(/[-~+].*/, "", v)
  return v
}'

upstream_of() { awk "$awk_upstream { print upstream(\$1) }" <<<"$1"; }

# newest_revision PACKAGE VERSION: the newest package version whose upstream version is VERSION; empty when
# there is none.
newest_revision() {
  madison "$1" | awk -F ' *[|] *' -v want="$2" "$awk_upstream upstream(\$2) == want { print \$2 }" | sort -V | tail -n 1
}

# when_unlocked COMMAND…: waits for dpkg's lock, which neither apt-mark nor dpkg does, and prints the
# command's output when it fails. dpkg 1.19 prints "dpkg frontend is locked by …", 1.20 "dpkg frontend lock is
# locked by …", later versions "… lock was locked by …".
when_unlocked() {
  local output locked=' (is|was) locked by another process' reported=false deadline=$((SECONDS + lock_timeout))
  until output=$(as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@" 2>&1); do
    if ((SECONDS >= deadline)) || ! grep -Eq "$locked" <<<"$output"; then
      printf '%s\n' "$output"
      return 1
    fi
    $reported || say "waiting for apt: $(grep -Em 1 "$locked" <<<"$output")"
    reported=true
    sleep 1
  done
}

# mark hold|unhold PACKAGE…
mark() { when_unlocked apt-mark "$@"; }

installed_version() { dpkg-query -W -f='${Version}' "$1" 2>/dev/null || true; }

# dpkg leaves its journal behind only when it was killed. apt then refuses to work, even when every package is
# configured.
has_journal() { compgen -G "$root/var/lib/dpkg/updates/[0-9]*" >/dev/null; }

is_interrupted() { has_journal || [[ -n $(as_root dpkg --audit) ]]; }

# Finishes a package installation that was interrupted; does nothing when there is none.
repair_dpkg() {
  is_interrupted || return 0
  say "finishing an interrupted package installation"
  when_unlocked dpkg --force-confdef --force-confold --configure -a ||
    die "dpkg --configure -a failed; see its output above, repair that package manually, then run this again"
}

capture=''
# run_shown COMMAND…: runs it, shows its output while it runs, and keeps the output in $output.
run_shown() {
  local code=0
  [[ -n $capture ]] || capture=$(mktemp)
  "$@" 2>&1 | tee "$capture" || code=$?
  output=$(<"$capture")
  return "$code"
}

# try_install [OPTION…] NAME=VERSION…: apt-get install of exactly these. Waits for the network, and for dpkg's
# lock, after it has said who holds it. Its output is in $output.
try_install() {
  local code holder wait=0 network=$((SECONDS + network_timeout))
  while true; do
    code=0
    run_shown apt_get install -o "DPkg::Lock::Timeout=$wait" --no-install-recommends "$@" || code=$?
    ((code != 0)) || return 0
    holder=$(grep -m 1 'Could not get lock' <<<"$output") || holder=''
    if [[ -n $holder ]] && ((wait == 0)); then
      say "waiting for apt: ${holder#E: }"
      wait=$lock_timeout
      continue
    fi
    wait_if_unreachable "$output" "$network" || return "$code"
  done
}

# apt_reason CODE: why apt-get failed, from its output in $output.
apt_reason() { grep -m 1 '^E:' <<<"$output" || printf 'exit %s' "$1"; }

# install_packages NAME=VERSION…: installs exactly these and keeps configuration files as they are. Waits for
# the network.
install_packages() {
  local code=0
  try_install -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" || code=$?
  ((code != 0)) || return 0
  grep -q 'Held packages' <<<"$output" &&
    die "apt would have to change held packages ($(apt-mark showhold | paste -sd ' ')); find out which with: apt-get install --dry-run $*, and release them with apt-mark unhold"
  die "apt-get install $* failed: $(apt_reason "$code")"
}

# download_packages NAME=VERSION…: downloads these and what they need into apt's cache, after apt has
# simulated their installation: no package may be removed, and no other may be held. Holds stay as they are.
download_packages() {
  local code=0 held ours=() package keep=(--no-remove --allow-change-held-packages)
  for package in "$@"; do ours+=(-e "${package%%=*}"); done
  output=$(apt_get install --simulate --no-install-recommends "${keep[@]}" "$@" 2>&1) || code=$?
  ((code == 0)) || die "apt-get install $* would fail: $(apt_reason "$code")"
  held=$(sed -nE 's/^(Inst|Remv) ([^ :]+).*/\2/p' <<<"$output" | { grep -Fxv "${ours[@]}" || true; } |
    { grep -Fxf <(apt-mark showhold) || true; } | sort -u | paste -sd ' ')
  [[ -z $held ]] || die "apt would have to change held packages ($held); release them with apt-mark unhold"
  try_install --download-only "${keep[@]}" "$@" || die "apt-get cannot download $*: $(apt_reason "$?")"
}
