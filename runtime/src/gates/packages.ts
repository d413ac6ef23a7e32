import { architecturesOf } from '../cluster/nodes.ts';
import { minorOf, type Release } from '../release.ts';
import { missingPackages, newestFirst } from '../releases/packages.ts';
import type { Gate } from './gate.ts';

/**
 * A node installs packages only after its drain, so a missing release would leave it empty and cordoned, and
 * one without kubelet a node between two releases (F49).
 * Reads the repository, not the nodes' package lists: those may be old or belong to the minor before (F13).
 */
export const packagesGate: Gate = {
  name: 'packages',
  summary: 'the package repository has every package of the target',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { target, repository } = ctx;
    if ((await ctx.remaining()).nodes.length === 0)
      return { reasons: [], notAsked: `not checked: every node is at ${target} already` };
    const minor = minorOf(target);
    if (!(await repository.hasMinor(minor)))
      return { reasons: [`there is no package repository for v${minor}`] };
    const packages = await repository.packages(minor);
    const architectures = architecturesOf((await ctx.remaining()).nodes);
    const missingOf = (release: Release) => missingPackages(packages, release, architectures);
    const releases = newestFirst(packages.map((one) => one.release));
    const isThere = releases.includes(target);
    const missing = isThere ? missingOf(target) : ['kubeadm'];
    if (missing.length === 0) return { reasons: [] };
    const newest = releases.find((release) => missingOf(release).length === 0);
    const incomplete = isThere ? ', so that release is not complete yet' : '';
    return {
      reasons: [
        `the package repository for v${minor} has no ${missing.join(', no ')} ${target}${incomplete}; its newest is ${newest ?? 'not complete either'}`,
      ],
    };
  },
};
