/** A file on a node: as it is, and as kubeadm would write it. */
export type PreviewedFile = readonly [present: string, written: string];

const encode = (text: string): string => Buffer.from(text).toString('base64');

const kubeletConfig = '/var/lib/kubelet/config.yaml';
const kubelet = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';

/**
 * The output of preview_kubeadm.sh on a node on which kubeadm would change nothing, but for these files.
 *
 * @param files by path.
 * @param addOns what the phase `addon` prints. @default the node's kubeadm does not have the phase
 */
export function previewOutput(files: Readonly<Record<string, PreviewedFile>> = {}, addOns?: string): string {
  const all = { [kubeletConfig]: [kubelet, kubelet] as const, ...files };
  const lines = Object.entries(all).flatMap(([path, [present, written]]) => [
    `file ${path} ${encode(present)}`,
    `phase one ${encode(`[upgrade] Reading\n[dryrun] Would write file "${path}" with content:\n${written}[upgrade] done\n`)}`,
  ]);
  return [...lines, ...(addOns === undefined ? [] : [`phase addon ${encode(addOns)}`]), 'end'].join('\n');
}
