# The container images that the target needs on this node: which they are, which are missing, pulling those.
# Needs packages.sh.

# Root's own directory for the target's kubeadm. Not below /tmp or /run, which may be mounted noexec.
unpacked="$root/var/lib/k8s-upgrade-prepare"

# The longest that one pull may take, in seconds. `timeout --foreground` leaves the program in the script's
# process group, so that whoever kills the group ends it too.
pull_timeout=900

# Longest message about images that could not be pulled, in characters. It goes into a chat.
message_limit=300

# images_message REASON IMAGE…: one sentence of bounded length about images that could not be pulled.
images_message() {
  local reason=$1 names='' shown=0 image text
  shift
  for image in "$@"; do
    ((${#names} < message_limit / 2)) || break
    names+="${names:+, }${image##*/}"
    shown=$((shown + 1))
  done
  (($# == shown)) || names+=" and $(($# - shown)) more"
  text="$# images could not be pulled: $names: $reason"
  (($# > 1)) || text="1 image could not be pulled: $names: $reason"
  ((${#text} <= message_limit)) || text="${text:0:message_limit - 3}..."
  printf '%s' "$text"
}

# pull_reason: the cause in an error of crictl or kubeadm on standard input, without what each layer of the
# container runtime adds. crictl's log has another form when it does not write to a terminal.
pull_reason() {
  grep -Ev '^[[:space:]]*$|To see the stack trace' | tail -n 1 | sed -E \
    -e 's/^time="[^"]*" level=fatal msg="(.*)"$/\1/' -e 's/\\"/"/g' -e 's/^FATA\[[0-9]+\] *//' \
    -e 's/^(error: )?(pulling image: )?//' -e 's/(failed to pull image "?[^ ]+"?: )+//' \
    -e 's/rpc error: code = [A-Za-z]+ desc = //' -e 's/failed to pull and unpack image "[^"]*": //' \
    -e 's/failed to resolve (reference|image) "[^"]*": //'
}

# The socket of the container runtime that this node's kubelet uses, as a URL; empty when no file has it.
# kubeadm and crictl cannot choose where a node has several.
runtime_socket() {
  local kubelet="$root/var/lib/kubelet" found
  found=$({
    as_root sed -nE 's/^containerRuntimeEndpoint: *"?([^" ]+)"?.*/\1/p' "$kubelet/instance-config.yaml"
    as_root sed -nE "s/.*--container-runtime-endpoint[= ]([^ \"']+).*/\1/p" "$kubelet/kubeadm-flags.env"
    as_root sed -nE 's/^containerRuntimeEndpoint: *"?([^" ]+)"?.*/\1/p' "$kubelet/config.yaml"
  } 2>/dev/null | head -n 1) || true
  [[ $found != /* ]] || found="unix://$found"
  printf '%s' "$found"
}

# run_split COMMAND…: sets output to what it prints, and errors to what it prints as errors.
run_split() {
  local code=0
  [[ -n $capture ]] || capture=$(mktemp)
  output=$("$@" 2>"$capture") || code=$?
  errors=$(<"$capture")
  return "$code"
}

# Sets output to the cluster's ClusterConfiguration, which a kubelet may read. Waits for an API server that is
# away.
read_configuration() {
  local reason deadline=$((SECONDS + network_timeout))
  local away='refused|timed? ?out|unreachable|no route|unable to handle|EOF|reset by peer'
  until run_split as_root kubectl --kubeconfig "$root/etc/kubernetes/kubelet.conf" \
    --cache-dir "$unpacked/cache" --request-timeout=30s \
    -n kube-system get configmap kubeadm-config -o 'jsonpath={.data.ClusterConfiguration}'; do
    reason=$(tail -n 1 <<<"$errors")
    if grep -Eiq "$away" <<<"$reason" && wait_for_network "$reason" "$deadline"; then continue; fi
    die "cannot read the ConfigMap kube-system/kubeadm-config, which says where images come from: $reason"
  done
}

# write_configuration RELEASE: writes kubeadm's configuration for the target to $unpacked/kubeadm.yaml: the
# cluster's, with the release replaced and this node's socket added.
write_configuration() {
  local api
  read_configuration
  api=$(sed -nE 's/^apiVersion: *//p' <<<"$output")
  socket=$(runtime_socket)
  {
    sed -E "s/^kubernetesVersion:.*/kubernetesVersion: v$1/" <<<"$output"
    printf -- '---\napiVersion: %s\nkind: InitConfiguration\n' "$api"
    [[ -z $socket ]] || printf 'nodeRegistration:\n  criSocket: %s\n' "$socket"
  } | write_as_root "$unpacked/kubeadm.yaml"
}

# unpack_kubeadm REVISION: sets target_kubeadm to the kubeadm of that package version. Unless it is installed,
# takes it out of its package, which apt has usually just downloaded. apt leaves packages of file:/ sources
# where they are.
unpack_kubeadm() {
  local deb
  target_kubeadm=kubeadm
  [[ $(installed_version kubeadm) != "$1" ]] || return 0
  target_kubeadm="$unpacked/kubeadm"
  deb=$(compgen -G "$root/var/cache/apt/archives/kubeadm_${1/:/%3a}_*.deb" | head -n 1) || true
  if [[ -z $deb ]]; then
    run_shown as_root env "--chdir=$unpacked" LC_ALL=C apt-get -q -y download "kubeadm=$1" ||
      die "apt-get download kubeadm=$1 failed: $(grep -m 1 '^E:' <<<"$output")"
    deb=$(as_root find "$unpacked" -name 'kubeadm_*.deb' | head -n 1)
  fi
  # shellcheck disable=SC2016 # expanded by that bash
  as_root bash -c 'set -eo pipefail; dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards "*usr/bin/kubeadm" >"$2"; chmod 700 "$2"' \
    bash "$deb" "$target_kubeadm" || die "cannot take kubeadm out of ${deb#"$root"}"
}

# list_images: sets images to those that kubeadm of the target pulls on this node. It pulls none on a worker,
# where kube-proxy alone is new; `upgrade apply` has changed its DaemonSet by then.
list_images() {
  run_split as_root "$target_kubeadm" config images list --config "$unpacked/kubeadm.yaml" ||
    die "kubeadm of the target cannot list its images: $(pull_reason <<<"$errors")"
  mapfile -t images <<<"$output"
  is_control_plane || mapfile -t images < <(leaves_kube_proxy || grep -E '/kube-proxy[:@]' <<<"$output" || true)
}

crictl_here() {
  local endpoint=()
  [[ -z $socket ]] || endpoint=(--runtime-endpoint "$socket" --image-endpoint "$socket")
  as_root timeout --foreground "$pull_timeout" crictl "${endpoint[@]}" "$@"
}

# is_present IMAGE: whether the node has it, as kubeadm and the kubelet then do not pull it. False when no
# program can tell.
is_present() {
  if command -v crictl >/dev/null; then
    crictl_here inspecti --quiet "$1" >/dev/null 2>&1
  elif command -v ctr >/dev/null; then
    as_root ctr --namespace k8s.io images ls --quiet 2>/dev/null | grep -Fx -- "$1" >/dev/null
  else
    return 1
  fi
}

# Sets missing to the images that the node does not have.
find_missing() {
  local image
  missing=()
  for image in "${images[@]}"; do is_present "$image" || missing+=("$image"); done
}

# Pulls the missing images and sets reason to why one failed. Without crictl only kubeadm can reach the
# container runtime. It pulls its whole list, which is for a control-plane node, and stops at a failure.
pull_missing() {
  local image
  if ! command -v crictl >/dev/null; then
    say "pulling ${missing[*]##*/} with kubeadm"
    run_shown as_root timeout --foreground "$pull_timeout" "$target_kubeadm" config images pull --config "$unpacked/kubeadm.yaml" ||
      reason=$(pull_reason <<<"$output")
    return 0
  fi
  for image in "${missing[@]}"; do
    say "pulling $image"
    output=$(crictl_here pull "$image" 2>&1) || reason=${reason:-$(pull_reason <<<"$output")}
  done
}

# fetch_images RELEASE REVISION: pulls the images that the target needs and this node lacks. Never pulls one
# that is present: nodes without a registry have them imported. Dies when some are missing afterwards.
fetch_images() {
  local images=() missing=() reason='' socket=''
  as_root rm -rf -- "$unpacked"
  as_root install -d -m 700 "$unpacked"
  unpack_kubeadm "$2"
  choose_phases "$target_kubeadm"
  write_configuration "$1"
  list_images
  find_missing
  # shellcheck disable=SC2034 # update_k8s.sh prints it
  needed=${#images[@]} pulled=${#missing[@]}
  ((pulled > 0)) || return 0
  if ! command -v crictl >/dev/null && ! is_control_plane; then
    pulled=0
    warn "crictl is missing on this node, so ${missing[*]} is left to the kubelet to pull; apt-get install cri-tools"
    return
  fi
  pull_missing
  [[ -n $reason ]] || return 0
  # A registry or the network may have failed for a moment only.
  find_missing
  reason=''
  ((${#missing[@]} == 0)) || pull_missing
  [[ -n $reason ]] || return 0
  find_missing
  ((${#missing[@]} > 0)) || return 0
  if may_lack_images || ! { command -v crictl || command -v ctr; } >/dev/null; then
    # Nothing shows what is present, or kubeadm is to continue; it checks for itself.
    warn "$(images_message "$reason" "${missing[@]}")"
  else
    die "$(images_message "$reason" "${missing[@]}")"
  fi
}
