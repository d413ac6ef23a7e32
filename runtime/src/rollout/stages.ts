/** The properties of a stage. Its code is in `upgrade/stages/`, one file each. */
interface Row {
  readonly name: string;
  /** What it does, for help, plan, log and documents. */
  readonly summary: string;
  /** A run without any such stage is not a rollout and sets no in-flight annotation (F7). */
  readonly changesNodes: boolean;
  /** Which nodes it drains and upgrades, one after the other. @default - none */
  readonly rolls?: 'control plane' | 'workers';
  /**
   * `before`: runs before the rollout is in flight. `snapshot`: records the snapshot. `end`: ends it.
   *
   * @default - none of these
   */
  readonly rollout?: 'before' | 'snapshot' | 'end';
}

/** In the order in which they run. */
const rows = [
  {
    name: 'preflight',
    summary: 'check every gate before anything is changed',
    changesNodes: false,
    rollout: 'before',
  },
  {
    name: 'snapshot',
    summary: 'save and verify an etcd snapshot',
    changesNodes: false,
    rollout: 'snapshot',
  },
  {
    name: 'containerd',
    summary: 'bring containerd on the control plane up to the version of the workers, where it is older',
    changesNodes: true,
  },
  {
    name: 'repo',
    summary: 'point the package repository of every node at the new minor (minor only)',
    changesNodes: true,
  },
  {
    name: 'master',
    summary: 'upgrade the control plane: kubeadm upgrade apply on its first node, upgrade node on the others',
    changesNodes: true,
    rolls: 'control plane',
  },
  {
    name: 'workers',
    summary: 'upgrade the workers one by one, each with a soak',
    changesNodes: true,
    rolls: 'workers',
  },
  {
    name: 'postflight',
    summary: 'verify the whole cluster and clear the annotations of the rollout',
    changesNodes: false,
    rollout: 'end',
  },
] as const satisfies readonly Row[];

/** Name of a stage, as in `--inputs`. */
export type StageName = (typeof rows)[number]['name'];

/** One stage of an upgrade. */
export interface StageRow extends Row {
  /** As in `--inputs`, the log and the plan. */
  readonly name: StageName;
}

/** Every stage, in the order in which they run. */
export const stageRows: readonly StageRow[] = rows;

/** The names of all stages, in the order in which they run. */
export const stageNames: readonly StageName[] = stageRows.map((row) => row.name);

/** Whether this is the name of a stage. */
export const isStageName = (text: string): text is StageName =>
  (stageNames as readonly string[]).includes(text);

/** The rows of these stages, in the order in which they run. */
export const rowsOf = (names: readonly StageName[]): StageRow[] =>
  stageRows.filter((row) => names.includes(row.name));

/** The stage that upgrades this node. */
export function stageThatRolls(node: { readonly controlPlane: boolean }): StageRow {
  const found = stageRows.find((row) => isRolledBy(row, node));
  if (found === undefined) throw new Error('no stage upgrades such a node');
  return found;
}

/** Whether the stage drains and upgrades this node if anything is left to do on it. */
export const isRolledBy = ({ rolls }: StageRow, node: { readonly controlPlane: boolean }): boolean =>
  rolls === (node.controlPlane ? 'control plane' : 'workers');

/** Whether any of these stages changes nodes. */
export const isRollout = (names: readonly StageName[]): boolean =>
  rowsOf(names).some((row) => row.changesNodes);

/** Whether a run of these stages ends the rollout. */
export const endsRollout = (names: readonly StageName[]): boolean =>
  rowsOf(names).some((row) => row.rollout === 'end');
