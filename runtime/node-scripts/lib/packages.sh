# How long another program may hold apt's locks, in seconds: unattended-upgrades takes its time.
lock_timeout=900

# How long the network may be away while apt fetches, in seconds: a cable is out for a minute, a switch starts anew.
network_timeout=180

apt_get() {
  as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -q -y -o "DPkg::Lock::Timeout=$lock_timeout" "$@"
}

# kubernetes_urls FILE: the Kubernetes repositories that an apt source file names (CRI-O's look alike and are not ours).
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

# The minors that the configured Kubernetes repositories are for, such as "v1.34".
configured_minors() {
  local file
  while read -r file; do kubernetes_urls "$file"; done < <(kubernetes_sources) |
    sed -E 's#.*/(v[0-9]+\.[0-9]+)/deb/?#\1#' | sort -Vu | paste -sd ' '
}

# Explains what apt-get update printed; it exits 0 for most of these and keeps the old lists (F13, F24).
check_update() {
  local file=$1 code=$2 output=$3 line
  line=$(grep -Em 1 'EXPKEYSIG|KEYEXPIRED' <<<"$output") &&
    die "the signing key of the repository in ${file#"$root"} has expired; fetch the current one with set_repository.sh ($line)"
  line=$(grep -Em 1 'NO_PUBKEY|is not signed' <<<"$output") &&
    die "the signing key of the repository in ${file#"$root"} is missing; fetch it with set_repository.sh ($line)"
  line=$(grep -Em 1 '^(E|W|Err)[:0-9]' <<<"$output" || true)
  if ((code != 0)) || grep -q 'Failed to fetch' <<<"$output"; then
    die "apt-get update failed for ${file#"$root"}: ${line:-exit $code}; check that the node reaches the repository"
  fi
}

network_told=false
# wait_for_network WHY DEADLINE: waits a little, having said why once; false when there is no time left.
wait_for_network() {
  ((SECONDS < $2)) || return 1
  $network_told || say "waiting for the network: $1"
  network_told=true
  sleep 2
}

# What apt says when it could not reach what it asked, which it tries once.
unreachable='(Could not|Unable to) connect to|Cannot initiate the connection to|Connection (failed|timed out)'
unreachable+="|Could not resolve '|(Temporary failure|System error|Something wicked happened) resolving '"

# network_is_away OUTPUT DEADLINE: waits a little and is true when the network kept apt from its work and there is time left.
network_is_away() {
  local line
  line=$(grep -Em 1 "$unreachable" <<<"$1") && wait_for_network "${line#*: }" "$2"
}

# refresh_source FILE: apt-get update of that file alone. Waits for apt's lock, which apt-get update itself does not, and for the
# network.
refresh_source() {
  local file=$1 output code holder told=false
  local deadline=$((SECONDS + lock_timeout)) network=$((SECONDS + network_timeout))
  while true; do
    code=0
    output=$(apt_get update -o "Dir::Etc::sourcelist=$file" -o Dir::Etc::sourceparts=- \
      -o APT::Get::List-Cleanup=0 2>&1) || code=$?
    if network_is_away "$output" "$network"; then continue; fi
    holder=$(grep -m 1 'Could not get lock' <<<"$output" || true)
    [[ -n $holder ]] || break
    ((SECONDS < deadline)) || die "apt is still locked after ${lock_timeout}s: $holder; see which process holds it"
    $told || say "waiting for apt: ${holder#E: }"
    told=true
    sleep 1
  done
  printf '%s\n' "$output"
  check_update "$file" "$code" "$output"
}

# Refreshes the Kubernetes source and nothing else. In a dry run the lists stay as they are.
refresh_kubernetes_source() {
  local file files
  files=$(kubernetes_sources)
  [[ -n $files ]] || die "no file in /etc/apt/sources.list.d names a Kubernetes repository; add one, for example kubernetes.list with: deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] https://pkgs.k8s.io/core:/stable:/vX.Y/deb/ /"
  while read -r file; do
    if $dry_run; then
      printf 'WOULD: apt-get update (only %s)\n' "${file#"$root"}"
    else
      say "refreshing ${file#"$root"}"
      refresh_source "$file"
    fi
  done <<<"$files"
}

# madison PACKAGE: what the lists offer, as ` name | version | source`.
madison() { LC_ALL=C apt-cache madison "$1"; }

# newest_revision PACKAGE VERSION: the newest package version whose upstream version is exactly VERSION; empty when there is none.
newest_revision() {
  madison "$1" | awk -F ' *[|] *' -v want="$2" '{ v = $2; u = v; sub(/^[0-9]+:/, "", u); sub(/[-~+].*/, "", u); if (u == want) print v }' |
    sort -V | tail -n 1
}

# when_unlocked COMMAND…: waits for dpkg's lock, which neither apt-mark nor dpkg does itself. Its output is shown when it fails.
# How dpkg says it: 1.19 "dpkg frontend is locked by …", 1.20 "dpkg frontend lock is locked by …", later "… lock was locked by …".
when_unlocked() {
  local output locked=' (is|was) locked by another process' told=false deadline=$((SECONDS + lock_timeout))
  until output=$(as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@" 2>&1); do
    if ((SECONDS >= deadline)) || ! grep -Eq "$locked" <<<"$output"; then
      printf '%s\n' "$output"
      return 1
    fi
    $told || say "waiting for apt: $(grep -Em 1 "$locked" <<<"$output")"
    told=true
    sleep 1
  done
}

# mark hold|unhold PACKAGE…
mark() { when_unlocked apt-mark "$@"; }

installed_version() { dpkg-query -W -f='${Version}' "$1" 2>/dev/null || true; }

# dpkg's journal outlives it only when it was killed. apt refuses to work then, even when every package is configured.
has_journal() { compgen -G "$root/var/lib/dpkg/updates/[0-9]*" >/dev/null; }

# Finishes what an interrupted apt left half done; does nothing otherwise.
repair_dpkg() {
  if [[ -z $(as_root dpkg --audit) ]] && ! has_journal; then return; fi
  say "finishing an interrupted package installation"
  when_unlocked dpkg --force-confdef --force-confold --configure -a ||
    die "dpkg --configure -a failed; see its output above, mend that package by hand, then run this again"
}

capture=''
# Prints what a command says as it says it, and keeps it in $output.
run_shown() {
  local code=0
  [[ -n $capture ]] || capture=$(mktemp)
  "$@" 2>&1 | tee "$capture" || code=$?
  output=$(<"$capture")
  return "$code"
}

# install_packages NAME=VERSION…: installs exactly these, keeping configuration files as they are. Waits for the network.
install_packages() {
  local code network=$((SECONDS + network_timeout))
  while true; do
    code=0
    run_shown apt_get install --no-install-recommends \
      -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" || code=$?
    ((code != 0)) || return 0
    network_is_away "$output" "$network" || break
  done
  grep -q 'Held packages' <<<"$output" &&
    die "apt would have to change held packages ($(apt-mark showhold | paste -sd ' ')); see which with: apt-get install --dry-run $*, then apt-mark unhold it"
  die "apt-get install $* failed: $(grep -m 1 '^E:' <<<"$output" || printf 'exit %s' "$code")"
}
