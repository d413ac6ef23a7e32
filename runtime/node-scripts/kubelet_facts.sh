#!/usr/bin/env bash
# Prints what on this node decides whether a newer kubelet starts on it: the cgroup version, and every file that gives the
# kubelet flags or feature gates, as "file PATH BASE64". Changes nothing; needs root, as the kubelet's files may be root's alone.
set -euo pipefail

# Prefix of every file path: empty on a real node, a directory when the script is rehearsed.
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
# Where /lib is a link to /usr/lib, one file would be told twice.
[[ -L $root/lib ]] || units+=("$root"/lib/systemd/system)

printf 'cgroup %s\n' "$(cgroup_version)"
for file in "$root"/var/lib/kubelet/{config.yaml,kubeadm-flags.env} "$root"/etc/{default,sysconfig}/kubelet \
  "${units[@]/%//kubelet.service}" "${units[@]/%//kubelet.service.d}"; do
  for each in "$file" "$file"/*.conf; do
    [[ ! -f $each ]] || printf 'file %s %s\n' "${each#"$root"}" "$(base64 <"$each" | tr -d '\n')"
  done
done
# Without this line the answer was cut off.
printf 'end\n'
