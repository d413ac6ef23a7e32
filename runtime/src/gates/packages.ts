import { minorOf } from '../release.ts';
import { newestFirst } from '../releases/packages.ts';
import type { Gate } from './gate.ts';

/**
 * A node asks its package manager only once it is drained: a release that is not to be had would leave it empty and cordoned.
 * Asked of the repository and not of the nodes' lists, which are as old as their last refresh and of the minor before (F13).
 */
export const packagesGate: Gate = {
  name: 'packages',
  summary: 'the package repository has the target',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { target, repository } = ctx;
    if ((await ctx.remaining()).nodes.length === 0)
      return { reasons: [], notAsked: `not asked: every node is at ${target} already` };
    const minor = minorOf(target);
    if (!(await repository.hasMinor(minor)))
      return { reasons: [`no package repository for v${minor} is out`] };
    const releases = newestFirst((await repository.packages(minor)).map((one) => one.release));
    if (releases.includes(target)) return { reasons: [] };
    return {
      reasons: [`the package repository for v${minor} has no kubeadm ${target}, up to ${releases[0]}`],
    };
  },
};
