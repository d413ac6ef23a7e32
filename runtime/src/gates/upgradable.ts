import type { ClusterNode } from '../cluster/nodes.ts';
import { UpgradeError } from '../errors.ts';
import { minorOf } from '../release.ts';
import { isInProgressOf } from '../rollout/node-annotations.ts';
import { ScriptError } from '../ssh/node-shell.ts';
import { packageList } from '../ssh/package-list.ts';
import { nodeScripts } from '../ssh/scripts.ts';
import type { Findings, Gate, GateContext } from './gate.ts';

/**
 * Finds what would otherwise surface only after the drain: SSH refuses the login or the host key has changed
 * (F27), sudo requires a password, the disk is full, or the key of the package repository has expired (F24).
 */
export const upgradable: Gate = {
  name: 'upgradable',
  summary: 'every node accepts the login and the upgrade, and its package manager offers the target',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { target, inFlight } = ctx;
    const pending = (await ctx.remaining()).nodes.filter((node) => !isInProgressOf(node, inFlight));
    if (pending.length === 0)
      return { reasons: [], notAsked: `not checked: every node is at ${target}, or in progress` };
    const found = await Promise.all(pending.map((node) => judge(ctx, node)));
    return {
      reasons: found.flatMap((one) => one.reasons),
      notes: [...new Set(found.flatMap((one) => one.notes ?? []))],
    };
  },
};

async function judge(ctx: GateContext, node: ClusterNode): Promise<Findings> {
  try {
    // First, as it refreshes the lists that the rehearsal reads.
    const packages = await judgePackages(ctx, node);
    if (packages.reasons.length === 0) await rehearse(ctx, node);
    return packages;
  } catch (error) {
    ctx.client.options.signal.throwIfAborted();
    if (!(error instanceof UpgradeError)) throw error;
    return { reasons: [error.message] };
  }
}

/**
 * Runs the checks that update_k8s.sh makes before it changes anything.
 *
 * @throws ScriptError when one fails.
 */
async function rehearse({ shell, settings, target }: GateContext, node: ClusterNode): Promise<void> {
  const role = node.controlPlane ? 'master' : 'worker';
  const { skipPhases, ignorePreflightErrors } = settings.kubeadm;
  const words = [
    ...['bash', '-s', '--', '--role', role, '--release', target, '--dry-run'],
    ...(skipPhases.length > 0 ? ['--skip-phases', skipPhases.join(',')] : []),
    ...(ignorePreflightErrors.length > 0
      ? ['--ignore-preflight-errors', ignorePreflightErrors.join(',')]
      : []),
  ];
  const { code, output } = await shell.read(node, words, nodeScripts.update_k8s);
  if (code !== 0) throw new ScriptError(node.name, 'update_k8s --dry-run', code, output.split('\n'));
}

async function judgePackages({ shell, target }: GateContext, node: ClusterNode): Promise<Findings> {
  // Before a minor the node has the old repository. The stage `repo` switches and checks it before any drain.
  if (minorOf(node.release) !== minorOf(target)) return { reasons: [] };
  const list = await packageList(shell, node);
  if (list === undefined)
    return { reasons: [], notes: ['a dry-run does not check what the nodes’ package managers offer'] };
  if (list.releases.includes(target)) return { reasons: [] };
  const [newest] = list.releases;
  const missing = list.incomplete.get(target) ?? ['kubeadm'];
  const from = list.repository === undefined ? '' : ` from ${list.repository}`;
  const instead = newest === undefined ? 'it offers no other' : `its newest is ${newest}`;
  return {
    reasons: [
      `the package manager of ${node.name} offers no ${missing.join(', no ')} ${target}${from}; ${instead}`,
    ],
  };
}
