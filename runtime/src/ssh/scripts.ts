import detachScript from '../../dist/node-scripts/detach.sh?raw';
import listPackages from '../../dist/node-scripts/list_packages.sh?raw';
import setRepository from '../../dist/node-scripts/set_repository.sh?raw';
import snapshotEtcd from '../../dist/node-scripts/snapshot_etcd.sh?raw';
import updateContainerd from '../../dist/node-scripts/update_containerd.sh?raw';
import updateKubernetes from '../../dist/node-scripts/update_k8s.sh?raw';

/** The bash that runs on a node, by the name under which a node keeps its state and log. */
export const nodeScripts = {
  update_k8s: updateKubernetes,
  snapshot_etcd: snapshotEtcd,
  list_packages: listPackages,
  set_repository: setRepository,
  update_containerd: updateContainerd,
} as const;

export type ScriptName = keyof typeof nodeScripts;

/** @returns the path on a node of the log of a script, where detach.sh writes it. */
export const logOf = (name: string): string => `/var/log/k8s-upgrade/${name}.log`;

/** What `bash -s -- start NAME …` reads: the script as data, then the launcher. */
export function startInput(name: ScriptName): string {
  return `payload='${Buffer.from(nodeScripts[name]).toString('base64')}'\n${detachScript}`;
}

/** What `bash -s -- follow NAME OFFSET MARK` reads. */
export const followInput: string = detachScript;

/** The line before the log: whatever the login shell prints comes before it, and every byte after it is the log's. */
export const logMark = 'k8s-upgrade-log-begins';

/** How a script ended: its exit code, or that a reboot or a kill left none. */
export type ScriptEnd = number | 'lost';

/** @returns what this line of detach.sh's error output says of the script's end: nothing but that line says it. */
export function endIn(errorLine: string): ScriptEnd | undefined {
  const said = /ended: (\d+|lost)$/.exec(errorLine)?.[1];
  return said === undefined || said === 'lost' ? said : Number(said);
}

/** The exit code of `start` where the script runs with other arguments. */
export const busyCode = 201;
