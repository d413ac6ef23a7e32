#!/usr/bin/env bash
# Upgrades Kubernetes on this node: kubeadm, then the node's components, then kubelet and kubectl.
# Drain the node at the latest before its kubelet is upgraded, and uncordon it afterwards; this script changes
# only the node it runs on. With --prepare it fetches all that it will need, while the node still serves.
set -Eeuo pipefail

usage() {
  cat <<'USAGE'
Usage: update_k8s.sh --role master|worker --release X.Y.Z [options]
   or: k8s-upgrade node-script update_k8s | ssh NODE 'bash -s -- --role worker --release 1.34.5'

  --role master|worker            master: the first control-plane node (kubeadm upgrade apply);
                                  worker: every other node, control plane or not (kubeadm upgrade node)
  --release X.Y.Z                 the target release, such as 1.34.5
  --skip-phases A,B               passed to kubeadm, for example addon/coredns; kubeadm upgrade apply has it
                                  from 1.32 on, and kubeadm upgrade node gets those that it knows
  --ignore-preflight-errors A,B   passed to kubeadm, for example CoreDNSMigration
  --patches DIRECTORY             passed to kubeadm; must exist on this node
  --steps kubeadm|kubelet         only one of the two steps: kubeadm upgrades itself and the node's components
                                  while the node may still serve; drain it before kubelet, which upgrades
                                  kubelet and kubectl and restarts the kubelet
  --planned                       kubeadm upgrade plan has been checked already; leave it out
  --prepare                       only download the packages and pull the images that are missing; the node
                                  need not be drained
  --dry-run                       print what would be done, change nothing
  --help

Safe to run again after any interruption. Needs root, or sudo without a password.
The last line of a success is "result: {json}"; of a failure, "error: what, and what to do".
Exit codes: 0 done, 1 failed, 2 bad input (nothing was changed).
USAGE
}

source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/packages.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/images.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/manifests.sh"

words_pattern='^[A-Za-z0-9/-]+(,[A-Za-z0-9/-]+)*$'
scratch="$root/etc/kubernetes/tmp"
# Free space for packages, images and kubeadm's copies, in MiB.
needed_mib=1024

role='' release='' skip_phases='' ignore_errors='' phases='' patches='' steps=all planned=false prepare=false
# How many images the target needs here, and how many of them were pulled.
needed=0 pulled=0
kubeadm_step=unchanged
packages=(kubeadm kubelet kubectl)
dropped_flags=()
# Whether clean_scratch has found copies to remove.
removable=false

parse_arguments() {
  while (($# > 0)); do
    case $1 in
      --role | --release | --skip-phases | --ignore-preflight-errors | --patches | --steps)
        (($# > 1)) || refuse "$1: expected a value"
        set_option "$1" "$2"
        shift 2
        ;;
      --planned) planned=true && shift ;;
      --prepare) prepare=true && shift ;;
      --dry-run) dry_run=true && shift ;;
      --help) usage && exit 0 ;;
      *) refuse "\"$1\" is not an option; see --help" ;;
    esac
  done
  [[ -n $role ]] || refuse "--role: expected master or worker"
  [[ -n $release ]] || refuse "--release: expected a release X.Y.Z such as 1.34.5"
  [[ $role != master || -z $skip_phases ]] || ! older_than "$release" 1.32.0 ||
    refuse "--skip-phases: kubeadm upgrade apply of $release does not have it, only 1.32 and later do; remove kubeadm.skipPhases from the settings until then, once you have seen what kubeadm would do: kubeadm upgrade apply v$release --dry-run"
}

set_option() {
  case $1 in
    --role) check_value "$1" "$2" '^(master|worker)$' "master or worker" && role=$2 ;;
    --release) check_value "$1" "$2" "$release_pattern" "a release X.Y.Z such as 1.34.5 (no leading v, no pre-release)" && release=$2 ;;
    --skip-phases) check_value "$1" "$2" "$words_pattern" "kubeadm phases separated by commas" && skip_phases=$2 ;;
    --ignore-preflight-errors)
      check_value "$1" "$2" "$words_pattern" "kubeadm checks separated by commas" && ignore_errors=$2
      [[ ,${2,,}, != *,all,* || ${2,,} == all ]] ||
        refuse "--ignore-preflight-errors: \"$2\" is not allowed; kubeadm accepts all only alone, so correct kubeadm.ignorePreflightErrors in the settings"
      ;;
    --patches) check_path "$1" "$2" && patches=$2 ;;
    --steps) check_value "$1" "$2" '^(kubeadm|kubelet)$' "kubeadm or kubelet" && steps=$2 ;;
  esac
}

# --- the state of the node ---

kubelet_release() { kubelet --version | sed -E 's/^Kubernetes v//'; }
kubeadm_release() { kubeadm version -o short | sed -E 's/^v//'; }

components=(kube-apiserver kube-controller-manager kube-scheduler)

is_control_plane() { as_root test -e "$manifests/kube-apiserver.yaml"; }

# True when every control-plane component of this node is at the release, also on a node that runs none.
components_at_release() {
  local component tag
  for component in "${components[@]}"; do
    tag=$(component_tag "$component")
    [[ -z $tag || $tag == "$release" ]] || return 1
  done
}

check_role() {
  if [[ $role == master ]]; then
    is_control_plane || die "--role master, but this node runs no API server; use --role worker"
    # Not for this script: the snapshot before it needs crictl, on which kubeadm's package does not depend
    # since 1.32.
    [[ -z $(component_tag etcd) ]] || command -v crictl >/dev/null || command -v etcdctl >/dev/null ||
      die "crictl is missing on this node and is needed to reach etcd: apt-get install cri-tools"
  fi
  [[ -z $patches ]] || as_root test -d "$root$patches" || die "$(no_patches "$patches")"
  check_manifests "${components[@]}" etcd
  as_root test -e "$root/etc/kubernetes/kubelet.conf" || die "this node has not joined a cluster (no /etc/kubernetes/kubelet.conf)"
}

# check_path_from WHAT VERSION: refuses a downgrade and a skipped minor, as kubeadm can do neither.
check_path_from() {
  local what=$1 now=$2
  [[ $now =~ $release_pattern ]] || die "$what is at \"$now\", which is not a release; upgrade this node manually"
  ! older_than "$release" "$now" || refuse "--release: $release is older than $what $now on this node; kubeadm cannot go back"
  if [[ ${now%%.*} != "${release%%.*}" ]] || (($(cut -d. -f2 <<<"$release") > $(cut -d. -f2 <<<"$now") + 1)); then
    refuse "--release: $release skips a minor from $what $now on this node; go to $(next_minor "$now") first"
  fi
}

next_minor() { awk -F. '{ print $1 "." $2 + 1 }' <<<"$1"; }

check_versions() {
  local tag
  from=$(kubelet_release)
  check_path_from kubelet "$from"
  # An interrupted run leaves kubeadm ahead of the rest, so kubeadm's version only rules out a downgrade.
  ! older_than "$release" "$(kubeadm_release)" ||
    refuse "--release: $release is older than kubeadm $(kubeadm_release) on this node; kubeadm cannot go back"
  tag=$(component_tag kube-apiserver)
  [[ -z $tag ]] || check_path_from kube-apiserver "$tag"
}

check_disk_space() {
  local directory free used message data need=$needed_mib
  # kubeadm copies etcd's data below /etc/kubernetes/tmp.
  data=$(flag_of etcd data-dir)
  data="$root${data:-/var/lib/etcd}/member"
  if as_root test -d "$data"; then
    # du fails when etcd removes files in the meantime.
    used=$(as_root du -sm "$data" 2>/dev/null | cut -f1) || true
    need=$((need + ${used:-0}))
  fi
  for directory in "$root/etc/kubernetes" "$root/var/lib" "$root/usr"; do
    free=$(free_mib "$directory")
    ((free < need)) || continue
    message="only $free MiB are free on the file system of ${directory#"$root"}, $need are needed"
    is_relieved "$directory" || die "$message; free some space (crictl rmi --prune, apt-get clean)"
    warn "$message; the real run removes kubeadm's old copies before this check"
  done
}

# is_relieved DIRECTORY: true in a dry run that would remove copies on the same file system.
is_relieved() {
  $dry_run && $removable && [[ $(stat -c %d "$1") == "$(stat -c %d "$root/etc/kubernetes")" ]]
}

# --- packages ---

# Set while packages may be upgraded; they are held again however the script ends.
unheld=()

hold_again() {
  ((${#unheld[@]} == 0)) || mark hold "${unheld[@]}" || warn "could not hold ${unheld[*]} again"
  unheld=()
}
clean_up() {
  hold_again
  [[ ! -e $unpacked ]] || as_root rm -rf -- "$unpacked"
}

# Package -> its version of the release, such as 1.34.5-1.1. Each has its own (F49).
declare -A revisions=()

# is_at_release PACKAGE: whether the installed one is, whatever its epoch and revision.
is_at_release() { [[ $(upstream_of "$(installed_version "$1")") == "$release" ]]; }

# Sets revisions, from the package lists for what is not installed yet. A release may lack a package while it
# is being published or mirrored, so all three are asked before anything is changed (F49).
resolve_revisions() {
  local package missing=() listed=()
  for package in "${packages[@]}"; do
    revisions[$package]=$(newest_revision "$package" "$release")
    [[ -z ${revisions[$package]} ]] || listed+=("$package")
    if is_at_release "$package"; then
      revisions[$package]=$(installed_version "$package")
    elif [[ -z ${revisions[$package]} ]]; then
      missing+=("$package")
    fi
  done
  ((${#missing[@]} > 0)) || return 0
  if ((${#listed[@]} > 0)); then
    die "the configured repository ($(configured_minors)) offers $(comma_list "${listed[@]}") $release, but no $(comma_list "${missing[@]}"): the release is not complete there yet; run this again once it is"
  elif $dry_run; then
    for package in "${missing[@]}"; do revisions[$package]="$release-*"; done
    warn "${missing[0]} $release is not in the package lists yet; the real run refreshes them"
  else
    die "the configured repository ($(configured_minors)) offers no ${missing[0]} $release; for another minor change it with set_repository.sh --minor $(minor_of "$release")"
  fi
}

comma_list() { local list="$*" && printf '%s' "${list// /, }"; }

# Dies unless kubeadm's step is done, as the kubelet would be newer than this node's API server.
check_kubeadm_step() {
  if ! is_at_release kubeadm || ! components_at_release; then
    die "--steps kubelet, but kubeadm has not upgraded this node to $release; run --steps kubeadm first"
  fi
}

# outdated NAME…: those that are not at the release, as NAME=VERSION, one a line.
outdated() {
  local package
  for package in "$@"; do
    is_at_release "$package" || printf '%s=%s\n' "$package" "${revisions[$package]}"
  done
}

# upgrade_packages NAME…: upgrades them to the release and holds them.
upgrade_packages() {
  local wanted
  mapfile -t wanted < <(outdated "$@")
  if $dry_run; then
    ((${#wanted[@]} == 0)) || printf 'WOULD: install %s\n' "${wanted[*]}"
    printf 'WOULD: hold %s\n' "$*"
    return
  fi
  unheld=("$@")
  if ((${#wanted[@]} > 0)); then
    say "installing ${wanted[*]}"
    mark unhold "$@" || die "apt-mark cannot release $*; see its output above"
    install_packages "${wanted[@]}"
  fi
  hold_again
}

# --- before the drain ---

# The real run removes kubeadm's old copies first; this one only takes them into account.
check_space_as_if_cleaned() {
  local dry_run=true
  clean_scratch >/dev/null
  check_disk_space
}

# Whether kubeadm is to continue without images.
may_lack_images() { [[ ,${ignore_errors,,}, =~ ,(imagepull|all), || ,$skip_phases, == *,preflight,* ]]; }

# Whether kubeadm is to leave kube-proxy out.
leaves_kube_proxy() { [[ ,$skip_phases, =~ ,addon(/kube-proxy)?, ]]; }

# Fetches all that the upgrade will need here, so that what cannot be had is found on a node that still serves
# (F54, F70). Changes apt's cache and the image store, nothing else; packages stay held.
prepare_node() {
  local wanted
  mapfile -t wanted < <(outdated "${packages[@]}")
  if $dry_run; then
    ((${#wanted[@]} == 0)) || printf 'WOULD: download %s\n' "${wanted[*]}"
    printf 'WOULD: pull the images of %s that are missing here\n' "$release"
    return
  fi
  if ((${#wanted[@]} > 0)) && is_interrupted; then
    say "a package installation was interrupted here; the upgrade finishes it, and only then asks apt for more"
  elif ((${#wanted[@]} > 0)); then
    say "downloading ${wanted[*]}"
    download_packages "${wanted[@]}"
  fi
  fetch_images "$release" "${revisions[kubeadm]}"
  say "everything for $release is on this node; images pulled: $pulled of $needed"
}

# --- kubeadm ---

kubeadm_flags() {
  [[ -z $phases ]] || printf -- '--skip-phases=%s\n' "$phases"
  [[ -z $ignore_errors ]] || printf -- '--ignore-preflight-errors=%s\n' "$ignore_errors"
  [[ -z $patches ]] || printf -- '--patches=%s\n' "$patches"
}

# phases_of KUBEADM apply|node: the phases that this command can skip, one a line; none when it cannot.
phases_of() {
  as_root "$1" upgrade "$2" --help 2>/dev/null | awk '
    /^```/ { listed = !listed; next }
    listed && /^[a-z]/ { parent = $1; found = found parent "\n" }
    listed && /^ +\// { found = found parent $1 "\n" }
    /^ +--skip-phases / { has_flag = 1 }
    END { if (has_flag) printf "%s", found }'
}

# choose_phases KUBEADM: sets phases to those of --skip-phases that kubeadm's command for this role has, and
# leaves out what only the other one has. Dies when neither has one of them (F40): kubeadm itself would say so
# only on a node that is about to change.
choose_phases() {
  local command=node other=apply own others known phase unknown=() passed=()
  [[ -n $skip_phases ]] || return 0
  [[ $role == worker ]] || { command=apply && other=node; }
  own=$(phases_of "$1" "$command") others=$(phases_of "$1" "$other")
  known=$(printf '%s\n%s\n' "$own" "$others" | awk 'NF && !seen[$0]++')
  for phase in ${skip_phases//,/ }; do
    if grep -Fxq -- "$phase" <<<"$own"; then
      passed+=("$phase")
    # Before 1.32 nobody can tell which phases `upgrade apply` will have.
    elif [[ $role == master || -n $others ]] && ! grep -Fxq -- "$phase" <<<"$others"; then
      unknown+=("$phase")
    fi
  done
  # shellcheck disable=SC2086 # one word for each phase
  ((${#unknown[@]} == 0)) ||
    die "kubeadm $release has no phase $(comma_list "${unknown[@]}") that --skip-phases $skip_phases names; correct kubeadm.skipPhases in the settings, it knows: $(comma_list $known)"
  phases=$(comma_list "${passed[@]}")
  phases=${phases//, /,}
}

# In a dry run kubeadm may still be the one of another minor, whose phases say nothing about the target's.
choose_phases_early() {
  if [[ $(minor_of "$(kubeadm_release)") == "$(minor_of "$release")" ]]; then
    choose_phases kubeadm
  else
    phases=$skip_phases
  fi
}

run_kubeadm() {
  say "kubeadm $*"
  run_shown as_root kubeadm "$@"
}

# upgrade ARGS…: runs kubeadm upgrade, and retries once when its health check timed out. That is a Job with 15
# seconds to complete, including the pull of its image, which the retry finds on the node.
upgrade() {
  run_kubeadm upgrade "$@" && return
  grep -q '\[ERROR CreateJob\]' <<<"$output" || return 1
  say "kubeadm's health check timed out; retrying once"
  run_kubeadm upgrade "$@"
}

# `upgrade apply` enforces the same version policy and makes the same checks, but not without its preflight.
needs_plan() { ! $planned || [[ ,$skip_phases, == *,preflight,* ]]; }

# Dies unless kubeadm offers exactly this release. Skipped when the API server is already at it, as kubeadm
# then offers nothing (F9), even when an interrupted upgrade left the other components behind.
check_plan() {
  local arguments=("v$release")
  [[ -z $ignore_errors ]] || arguments+=("--ignore-preflight-errors=$ignore_errors")
  [[ $(component_tag kube-apiserver) != "$release" ]] || return 0
  upgrade plan "${arguments[@]}" || explain_kubeadm
  grep -Eq "kubeadm upgrade apply v${release//./[.]}( |\$)" <<<"$output" ||
    die "kubeadm upgrade plan does not offer v$release; see its output above"
}

# Warns of flags that kubeadm will drop because they are only in the manifest (F22). Its diff does not show
# what patches add.
report_dropped_flags() {
  local diff flag
  [[ -z $patches ]] || return 0
  ! components_at_release || return 0
  diff=$(as_root kubeadm upgrade diff "v$release" 2>/dev/null) || return 0
  while read -r flag; do
    grep -Eq "^\+ .*- $flag(=|\$)" <<<"$diff" || dropped_flags+=("$flag")
  done < <(sed -nE 's/^- +- (--[a-z0-9-]+).*/\1/p' <<<"$diff" | sort -u)
  ((${#dropped_flags[@]} == 0)) ||
    warn "kubeadm will drop ${dropped_flags[*]} from the manifests; add them to extraArgs in the ConfigMap kubeadm-config to keep them"
}

upgrade_components() {
  local flags
  if [[ $from == "$release" ]] && components_at_release; then
    say "the components are already at $release"
    return
  fi
  if $dry_run; then choose_phases_early; else choose_phases kubeadm; fi
  mapfile -t flags < <(kubeadm_flags)
  kubeadm_step=upgraded
  if [[ $role == master ]]; then
    if $dry_run; then
      ! needs_plan || printf 'WOULD: kubeadm upgrade plan v%s\n' "$release"
      change kubeadm upgrade apply "v$release" --yes "${flags[@]}"
      return
    fi
    ! needs_plan || check_plan
    report_dropped_flags
    apply "${flags[@]}"
  elif $dry_run; then
    change kubeadm upgrade node "${flags[@]}"
  else
    ! is_control_plane || report_dropped_flags
    run_kubeadm upgrade node "${flags[@]}" || second_attempt node "${flags[@]}"
  fi
}

apply() {
  upgrade apply "v$release" --yes "$@" || second_attempt apply "v$release" --yes "$@"
}

# True when etcd's manifest has the version that this kubeadm installs.
etcd_at_version() {
  local wanted
  wanted=$(kubeadm config images list --kubernetes-version "v$release" 2>/dev/null | sed -nE 's#.*/etcd:v?##p')
  [[ -n $wanted && $(component_tag etcd) == "$wanted" ]]
}

# second_attempt ARGS…: retries kubeadm upgrade after "static Pod hash … did not change" (F20), without etcd
# when that is at its version already. Dies when the manifest shows that the component did not change, or for
# any other failure.
second_attempt() {
  local component arguments=("$@")
  component=$(sed -nE 's/.*static Pod hash for component ([a-z-]+).*/\1/p' <<<"$output" | tail -n 1)
  [[ -n $component ]] || explain_kubeadm
  if etcd_at_version; then
    arguments+=(--etcd-upgrade=false)
  elif [[ $(component_tag "$component") != "$release" ]]; then
    die "kubeadm gave up on $component, which is at $(component_tag "$component"); see crictl ps -a and journalctl -u kubelet on this node, then run this again"
  fi
  say "kubeadm gave up on $component, whose manifest is at $(component_tag "$component"); retrying once"
  upgrade "${arguments[@]}" || explain_kubeadm
}

# Dies with the reason of kubeadm's failure and what to do about it (F21).
explain_kubeadm() {
  local refused
  refused=$(sed -nE 's/.*ERROR (CoreDNS[A-Za-z]+).*/\1/p' <<<"$output" | sort -u | paste -sd ,)
  [[ -z $refused ]] ||
    die "kubeadm refuses this cluster's CoreDNS ($refused); to keep CoreDNS as it is set kubeadm.skipPhases to [addon/coredns] and kubeadm.ignorePreflightErrors to [CoreDNSMigration, CoreDNSUnsupportedPlugins] (here: --skip-phases addon/coredns --ignore-preflight-errors CoreDNSMigration,CoreDNSUnsupportedPlugins)"
  die "kubeadm failed: $(kubeadm_reason); see its output above, then run this again"
}

# The reason in kubeadm's output: its failed checks, with one sentence for all images that could not be pulled
# (F70), or its error without what kubeadm adds to every one, such as "Can be bypassed if you pass the --force
# flag" after it.
kubeadm_reason() {
  local pull='^[[:space:]]*\[ERROR ImagePull\]: ' checks images reason
  checks=$(grep -Ev "$pull" <<<"$output" | grep -o '\[ERROR .*' || true)
  # With serialized pulls there is a line for each image, otherwise one for all.
  mapfile -t images < <(grep -E "$pull" <<<"$output" | grep -oE 'failed to pull image "?[^" ]+"?: ' |
    sed -E 's/^failed to pull image "?//; s/"?: $//' | awk '!seen[$0]++')
  if ((${#images[@]} > 0)); then
    reason=$(grep -Em 1 "$pull" <<<"$output" | sed -E "s/$pull//" | pull_reason)
    checks+="${checks:+$'\n'}$(images_message "$reason" "${images[@]}")"
  fi
  if [[ -n $checks ]]; then
    paste -sd / <<<"$checks"
  else
    reason=$(sed -n '/^error: /,$p' <<<"$output" |
      grep -Ev '^[[:space:]]*$|^To see the stack trace|^Can be bypassed|^Please fix' || tail -n 1 <<<"$output")
    sed -E 's/^(error: |[[:space:]]+- )//; s/(error execution phase [a-z/-]+: )+//' <<<"$reason" | paste -sd ' '
  fi
}

# copies KIND [TEST…]: kubeadm's copies of a kind, newest first. TEST is an expression of find.
copies() {
  as_root find "$scratch" -mindepth 1 -maxdepth 1 -name "$1*" "${@:2}" -printf '%T@ %p\n' | sort -rn | cut -d' ' -f2-
}

# Removes the copies of etcd, the manifests and the kubelet's files that kubeadm leaves behind at every
# upgrade (F23). Keeps the newest of each kind, and the first since this kubeadm was installed: after an
# interruption the later ones are copies of a partly upgraded node. Nobody needs what it wrote in dry runs.
clean_scratch() {
  local kind path first installed="$root/var/lib/dpkg/info/kubeadm.list"
  as_root test -d "$scratch" || return 0
  while read -r path; do
    removable=true
    change rm -rf -- "$path"
  done < <(copies 'kubeadm-*-dryrun')
  for kind in kubeadm-{backup-etcd,backup-manifests,upgraded-manifests,kubelet-config,kubelet-env}; do
    first=$(copies "$kind" -newer "$installed" 2>/dev/null | tail -n 1) || first=''
    while read -r path; do
      [[ $path != "$first" ]] || continue
      removable=true
      change rm -rf -- "$path"
    done < <(copies "$kind" | tail -n +2)
  done
}

# --- kubelet ---

restart_kubelet() {
  local deadline=$((SECONDS + 120)) now
  change systemctl daemon-reload
  change systemctl restart kubelet
  $dry_run && return
  say "waiting for kubelet"
  until systemctl is-active --quiet kubelet; do
    ((SECONDS < deadline)) || die "kubelet is not active after the restart; see journalctl -u kubelet on this node"
    sleep 0.5
  done
  now=$(kubelet_release)
  [[ $now == "$release" ]] || die "kubelet is at $now after the upgrade, not $release; see dpkg -l kubelet on this node"
}

print_preparation() {
  printf 'result: {"release":"%s","from":"%s","role":"%s","revision":"%s","images":%s,"pulled":%s,"dryRun":%s}\n' \
    "$release" "$from" "$role" "${revisions[kubeadm]}" "$needed" "$pulled" "$dry_run"
}

print_result() {
  printf 'result: {"release":"%s","from":"%s","role":"%s","revision":"%s","steps":"%s","kubeadm":"%s","droppedFlags":%s,"dryRun":%s}\n' \
    "$release" "$from" "$role" "${revisions[kubeadm]}" "$steps" "$kubeadm_step" "$(json_list "${dropped_flags[@]}")" "$dry_run"
}

run_kubeadm_step() {
  clean_scratch
  check_disk_space
  refresh_kubernetes_source
  resolve_revisions
  $dry_run || repair_dpkg
  upgrade_packages kubeadm
  upgrade_components
  clean_scratch
}

# Asks no repository: the node is empty by now, and its packages have been downloaded.
run_kubelet_step() {
  if [[ $steps == kubelet ]]; then
    $dry_run || repair_dpkg
    check_kubeadm_step
    resolve_revisions
  fi
  upgrade_packages kubelet kubectl
  restart_kubelet
}

main() {
  parse_arguments "$@"
  require_root
  check_role
  check_versions
  if $prepare; then
    say "preparing $from -> $release"
    check_space_as_if_cleaned
    refresh_kubernetes_source
    resolve_revisions
    prepare_node
    print_preparation
    return
  fi
  say "$role: $from -> $release$([[ $steps == all ]] || printf ', only %s' "$steps")"
  [[ $steps == kubelet ]] || run_kubeadm_step
  [[ $steps == kubeadm ]] || run_kubelet_step
  print_result
}

main "$@"
