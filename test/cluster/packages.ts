import type { DebSpec } from '../hosts/deb.ts';
import type { Specs } from '../hosts/repository.ts';
import type { Programs } from './programs.ts';

/** Of kubeadm's package, verbatim. */
const kubeadmDropIn = `# Note: This dropin only works with kubeadm and kubelet v1.11+
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
# This is a file that "kubeadm init" and "kubeadm join" generates at runtime, populating the KUBELET_KUBEADM_ARGS variable dynamically
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
# This is a file that the user can use for overrides of the kubelet args as a last resort. Preferably, the user should use
# the .NodeRegistration.KubeletExtraArgs object in the configuration files instead. KUBELET_EXTRA_ARGS should be sourced from this file.
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`;

/** Of kubelet's package, verbatim. */
const kubeletService = `[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
`;

/** As debhelper writes it for a package with a service. */
const postinst = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  systemctl daemon-reload || true
  systemctl enable kubelet || true
fi
`;

/** Versions of the packages beside Kubernetes in a minor's repository. */
const companions: Readonly<Record<string, { readonly cni: string; readonly tools: string }>> = {
  '1.34': { cni: '1.7.1', tools: '1.34.0' },
  '1.35': { cni: '1.8.0', tools: '1.35.0' },
};

/** The packages of pkgs.k8s.io with the programs that were built. */
export const realPackages =
  (programs: Programs): Specs =>
  (minor, releases) => {
    const { cni = '', tools = '' } = companions[minor] ?? {};
    const revision = '1.1';
    return [
      // The plug-ins themselves are Debian's.
      { name: 'kubernetes-cni', version: `${cni}-${revision}` },
      {
        name: 'cri-tools',
        version: `${tools}-${revision}`,
        programs: { '/usr/bin/crictl': programs.crictl },
      },
      ...releases.flatMap((release): DebSpec[] => {
        const version = `${release}-${revision}`;
        const program = (name: string) => ({ [`/usr/bin/${name}`]: programs.ofKubernetes(name, release) });
        return [
          {
            name: 'kubeadm',
            version,
            depends: 'cri-tools (>= 1.30.0)',
            programs: program('kubeadm'),
            files: { '/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf': kubeadmDropIn },
          },
          {
            name: 'kubelet',
            version,
            depends: `iptables (>= 1.4.21), kubernetes-cni (>= ${cni}), mount, util-linux`,
            programs: program('kubelet'),
            files: { '/usr/lib/systemd/system/kubelet.service': kubeletService },
            scripts: { postinst },
          },
          { name: 'kubectl', version, programs: program('kubectl') },
        ];
      }),
    ];
  };
