import detachScript from '../../node-scripts/detach.sh?raw';
import listPackages from '../../node-scripts/list_packages.sh?raw';
import setRepository from '../../node-scripts/set_repository.sh?raw';
import snapshotEtcd from '../../node-scripts/snapshot_etcd.sh?raw';
import updateContainerd from '../../node-scripts/update_containerd.sh?raw';
import updateKubernetes from '../../node-scripts/update_k8s.sh?raw';

/** The bash that runs on a node, by the name under which a node keeps its state and log. */
export const nodeScripts = {
  update_k8s: updateKubernetes,
  snapshot_etcd: snapshotEtcd,
  list_packages: listPackages,
  set_repository: setRepository,
  update_containerd: updateContainerd,
} as const;

export type ScriptName = keyof typeof nodeScripts;

/** What `bash -s -- start NAME …` reads: the script as data, then the launcher. */
export function startInput(name: ScriptName): string {
  return `payload='${Buffer.from(nodeScripts[name]).toString('base64')}'\n${detachScript}`;
}

/** What `bash -s -- follow NAME OFFSET` reads. */
export const followInput: string = detachScript;

/** Exit codes of detach.sh beside the script's own. */
export const detachCodes = { lost: 200, busy: 201 } as const;
