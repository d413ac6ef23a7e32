#!/usr/bin/env bash
# Prints what decides whether a newer kubelet starts on this node: the cgroup version, and every file with
# flags or feature gates of the kubelet, as "file PATH BASE64". Changes nothing. Needs root to read the
# kubelet's files.
set -euo pipefail

# Prefix of every file path: empty on a real node, a directory in tests and in the lab.
root="${K8S_UPGRADE_ROOT:-}"

cgroup_version() {
  if [[ -e $root/sys/fs/cgroup/cgroup.controllers ]]; then
    printf 'v2'
  elif [[ -d $root/sys/fs/cgroup ]]; then
    printf 'v1'
  else
    printf 'unknown'
  fi
}

units=("$root"/{etc,usr/lib}/systemd/system)
# Where /lib is a link to /usr/lib, each file would be printed twice.
[[ -L $root/lib ]] || units+=("$root"/lib/systemd/system)

printf 'cgroup %s\n' "$(cgroup_version)"
for file in "$root"/var/lib/kubelet/{config.yaml,kubeadm-flags.env} "$root"/etc/{default,sysconfig}/kubelet \
  "${units[@]/%//kubelet.service}" "${units[@]/%//kubelet.service.d}"; do
  for each in "$file" "$file"/*.conf; do
    [[ ! -f $each ]] || printf 'file %s %s\n' "${each#"$root"}" "$(base64 <"$each" | tr -d '\n')"
  done
done
# Output without this line is incomplete.
printf 'end\n'
