import { stageThatRolls } from '../rollout/stages.ts';
import type { Gate } from './gate.ts';

/** A kubelet must not be newer than any API server that it may talk to, whichever stages a run has. */
export const controlPlaneFirst: Gate = {
  name: 'control-plane-first',
  summary: 'the whole control plane is at the target',
  outcomeWhenClosed: 'blocked',
  async check(ctx) {
    const { target } = ctx;
    const left = await ctx.remaining();
    const ofControlPlane = left.nodes.filter((node) => node.controlPlane);
    const behind = ofControlPlane.filter((node) => left.kubelets.includes(node));
    const unfinished = ofControlPlane.filter(
      (node) => left.inProgress.includes(node) && !behind.includes(node),
    );
    const reasons = [
      ...left.servers.map((node) => `the API server of ${node.name} is older than ${target}`),
      ...behind.map((node) => `${node.name} is at ${node.release}`),
      ...unfinished.map((node) => `${node.name} is in progress`),
    ];
    const { name } = stageThatRolls({ controlPlane: true });
    return { reasons: reasons.map((why) => `${why}; the stage ${name} must bring it to ${target} first`) };
  },
};
