import type { ClusterNode } from '../cluster/nodes.ts';
import { UpgradeError } from '../errors.ts';
import { minorOf } from '../release.ts';
import { isInProgressOf } from '../rollout/node-marks.ts';
import { ScriptError } from '../ssh/node-shell.ts';
import { packageList } from '../ssh/package-list.ts';
import { nodeScripts } from '../ssh/scripts.ts';
import type { Findings, Gate, GateContext } from './gate.ts';

/**
 * What would otherwise be found out only once a node is empty and cordoned: it lets nobody in or shows another host key (F27), sudo
 * asks for a password, its disk is full, or its repository's key has expired (F24).
 */
export const upgradable: Gate = {
  name: 'upgradable',
  summary: 'every node lets the run in, could take the target, and its own package manager offers it',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { target, inFlight } = ctx;
    const pending = (await ctx.remaining()).nodes.filter((node) => !isInProgressOf(node, inFlight));
    if (pending.length === 0)
      return { reasons: [], notAsked: `not asked: every node is at ${target}, or in progress` };
    const found = await Promise.all(pending.map((node) => judge(ctx, node)));
    return {
      reasons: found.flatMap((one) => one.reasons),
      notes: [...new Set(found.flatMap((one) => one.notes ?? []))],
    };
  },
};

async function judge(ctx: GateContext, node: ClusterNode): Promise<Findings> {
  try {
    await rehearse(ctx, node);
    return await judgePackages(ctx, node);
  } catch (error) {
    ctx.client.options.signal.throwIfAborted();
    if (!(error instanceof UpgradeError)) throw error;
    return { reasons: [error.message] };
  }
}

/** Changes nothing: everything that update_k8s.sh checks before it does something. */
async function rehearse({ shell, target }: GateContext, node: ClusterNode): Promise<void> {
  const role = node.controlPlane ? 'master' : 'worker';
  const words = ['bash', '-s', '--', '--role', role, '--release', target, '--dry-run'];
  const { code, output } = await shell.read(node, words, nodeScripts.update_k8s);
  if (code !== 0) throw new ScriptError(node.name, 'update_k8s --dry-run', code, output.split('\n'));
}

async function judgePackages({ shell, target }: GateContext, node: ClusterNode): Promise<Findings> {
  // Before a minor its repository is another one's still. The stage `repo` sets and asks it, before anything is drained.
  if (minorOf(node.release) !== minorOf(target)) return { reasons: [] };
  const list = await packageList(shell, node);
  if (list === undefined)
    return { reasons: [], notes: ['what the nodes’ package managers offer is not asked in a dry run'] };
  if (list.releases.includes(target)) return { reasons: [] };
  const newest = list.releases[0] ?? 'nothing';
  return {
    reasons: [`${node.name} is offered no kubeadm ${target}, up to ${newest} from ${list.repository}`],
  };
}
