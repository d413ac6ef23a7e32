import detachScript from '../../dist/node-scripts/detach.sh?raw';
import listPackages from '../../dist/node-scripts/list_packages.sh?raw';
import setRepository from '../../dist/node-scripts/set_repository.sh?raw';
import snapshotEtcd from '../../dist/node-scripts/snapshot_etcd.sh?raw';
import updateContainerd from '../../dist/node-scripts/update_containerd.sh?raw';
import updateKubernetes from '../../dist/node-scripts/update_k8s.sh?raw';

/** The bash scripts that run on nodes, by the name that a node uses for their state and log. */
export const nodeScripts = {
  update_k8s: updateKubernetes,
  snapshot_etcd: snapshotEtcd,
  list_packages: listPackages,
  set_repository: setRepository,
  update_containerd: updateContainerd,
} as const;

/** Name of a script that can run on a node. */
export type ScriptName = keyof typeof nodeScripts;

/** Path of a script's log on its node; detach.sh writes it. */
export const logOf = (name: string): string => `/var/log/k8s-upgrade/${name}.log`;

/** Standard input of `bash -s -- start NAME …`: the script as data, then detach.sh. */
export function startInput(name: ScriptName): string {
  return `payload='${Buffer.from(nodeScripts[name]).toString('base64')}'\n${detachScript}`;
}

/** Standard input of `bash -s -- follow NAME OFFSET MARK [running]`. */
export const followInput: string = detachScript;

/** MARK of `follow`: the line that detach.sh prints before the log, after any output of the login shell. */
export const logStart = 'k8s-upgrade-log-begins';

/** How a script ended: its exit code, or `lost` when a reboot or a kill left none. */
export type ScriptEnd = number | 'lost';

/** The script's end, if this line of detach.sh's error output reports it. No other output does. */
export function endIn(errorLine: string): ScriptEnd | undefined {
  const end = /ended: (\d+|lost)$/.exec(errorLine)?.[1];
  return end === undefined || end === 'lost' ? end : Number(end);
}

/**
 * When the script started, if this line of the error output of `follow … running` reports it: an ISO time by
 * the node's clock.
 */
export const startIn = (errorLine: string): string | undefined =>
  /^running since: (\S+)$/.exec(errorLine)?.[1];

/** Exit code of `start` when the script already runs with other arguments. */
export const busyCode = 201;
