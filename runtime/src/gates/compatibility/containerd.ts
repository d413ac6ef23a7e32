import semver from 'semver';
import { beforeMinor, crossingNodes } from './before-minor.ts';
import { containerdFloors } from './tables.ts';

/** Compares each node's containerd with `containerdFloors`. Reads the Node objects only. */
export const containerdGate = beforeMinor({
  name: 'containerd',
  summary: 'every node’s containerd is new enough for the target’s kubelet',
  scope: 'nodes',
  async check(ctx) {
    const floors = containerdFloors.filter(({ from }) => semver.gte(ctx.target, `${from}.0`));
    const nodes = crossingNodes(ctx);
    const old = nodes.flatMap(({ name, containerd }) =>
      floors
        .filter(({ minimum }) => containerd !== undefined && semver.lt(containerd, minimum))
        .map(
          ({ from, minimum, why, source }) =>
            `${name} has containerd ${containerd}, but ${from} needs ${minimum}: ${why} (${source})`,
        ),
    );
    const others = nodes.filter((node) => node.containerd === undefined).map((node) => node.name);
    const notes = others.map(
      (name) => `${name} runs another container runtime than containerd, which is not checked`,
    );
    return { reasons: old, notes };
  },
});
