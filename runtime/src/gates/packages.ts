import { minorOf } from '../release.ts';
import { newestFirst } from '../releases/packages.ts';
import type { Gate } from './gate.ts';

/**
 * A node installs packages only after its drain, so a missing release would leave it empty and cordoned.
 * Reads the repository, not the nodes' package lists: those may be old or belong to the minor before (F13).
 */
export const packagesGate: Gate = {
  name: 'packages',
  summary: 'the package repository has the target',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { target, repository } = ctx;
    if ((await ctx.remaining()).nodes.length === 0)
      return { reasons: [], notAsked: `not checked: every node is at ${target} already` };
    const minor = minorOf(target);
    if (!(await repository.hasMinor(minor)))
      return { reasons: [`there is no package repository for v${minor}`] };
    const releases = newestFirst((await repository.packages(minor)).map((one) => one.release));
    if (releases.includes(target)) return { reasons: [] };
    return {
      reasons: [
        `the package repository for v${minor} has no kubeadm ${target}; its newest is ${releases[0]}`,
      ],
    };
  },
};
