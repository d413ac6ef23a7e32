# shellcheck shell=bash disable=SC2154 # sourced after stub.sh and manifests.sh, by kubeadm
# What kubeadm prints in a dry run of the phases that write files and add-ons, and its patches.

# patched TARGET: standard input with the patches for this target applied.
patched() {
  [[ -n $patches ]] || { cat && return; }
  [[ -d $fs$patches ]] ||
    fatal "could not list patch files for path \"$patches\": lstat $patches: no such file or directory"
  "$LAB_NODE_BIN" "$LAB_STUBS/patches.mjs" "$fs$patches" "$1"
}

# The kubelet's configuration: that of the ConfigMap kubelet-config.
kubelet_configuration() { patched kubeletconfiguration <"$LAB_CLUSTER_DIR/kubelet-config"; }

# would_write PATH: prints that standard input would be written there.
would_write() {
  printf '[dryrun] Would write file "%s" with content:\n' "$1"
  cat
}

# manifests NAME: the objects of an add-on, each after a line of its own.
manifests() {
  printf -- '---\n'
  sed "s/vRELEASE/v$uploaded/" "$LAB_STUBS/add-ons/$1.yaml"
}

# dry_run_phase NAME [SUBPHASE]: a phase of kubeadm upgrade node.
dry_run_phase() {
  local component
  if $help && { [[ $1 != addon ]] || (($(minor "$own") >= 32)); }; then return; fi
  $simulate || fatal 'the lab supports phases of upgrade node only with --dry-run'
  is_root || fatal "couldn't create a Kubernetes client from file \"/etc/kubernetes/kubelet.conf\": open /etc/kubernetes/kubelet.conf: permission denied"
  printf '[upgrade] Reading configuration from the "kubeadm-config" ConfigMap in namespace "kube-system"...\n'
  case $1 in
    control-plane)
      [[ -e $(manifest_of kube-apiserver) ]] || { printf '[upgrade/control-plane] Skipping phase. Not a control plane node.\n' && return; }
      printf '[dryrun] Would upgrade your static Pod-hosted control plane to version "v%s"' "$uploaded"
      for component in "${components[@]:1}"; do
        render "$component" "v$uploaded" | patched "$component" | would_write "/etc/kubernetes/manifests/$component.yaml"
      done
      # DryRunStaticPodUpgrade in phases/upgrade/staticpods.go
      rm -rf -- "${KUBEADM_UPGRADE_DRYRUN_DIR:-/nonexistent}"
      ;;
    kubelet-config)
      mkdir -p "$fs/etc/kubernetes/tmp"
      mktemp -d "$fs/etc/kubernetes/tmp/kubeadm-upgrade-dryrunXXXXXXXXXX" >/dev/null
      mktemp -d "$fs/etc/kubernetes/tmp/kubeadm-kubelet-configXXXXXXXXXX" >/dev/null
      kubelet_configuration | would_write /var/lib/kubelet/config.yaml
      printf '[upgrade/kubelet-config] The kubelet configuration for this node was successfully upgraded!\n'
      ;;
    addon)
      (($(minor "$own") >= 32)) || fatal "unknown command \"addon\" for \"kubeadm upgrade node phase\""
      manifests coredns
      printf '[dryrun] Would perform action LIST on resource "pods" in API group "core/v1"\n'
      manifests kube-proxy
      ;;
    *) fatal "unknown command \"$1\" for \"kubeadm upgrade node phase\"" ;;
  esac
}

# dry_run_etcd etcd local: the manifest of etcd, with the patches that the configuration names.
dry_run_etcd() {
  [[ "$*" == 'etcd local' && $simulate == true ]] || fatal 'of kubeadm init the lab supports only phase etcd local --dry-run'
  [[ -z $patches ]] || fatal "can not mix '--config' with arguments [patches]"
  patches=$(sed -nE '/^patches:/{n;s/^  directory: //p}' "$config")
  printf '[etcd] Creating static Pod manifest for local etcd in "%s"\n' "${KUBEADM_INIT_DRYRUN_DIR:-}"
  # newInitData in cmd/init.go, of a certificate authority that is kept elsewhere
  [[ ! -e $fs/etc/kubernetes/pki/ca.crt || -e $fs/etc/kubernetes/pki/ca.key ]] ||
    fatal 'the super-admin.conf file does not exists or it is not valid'
  render etcd "$(wanted_tag etcd "$own")" | patched etcd | would_write /etc/kubernetes/manifests/etcd.yaml
}
