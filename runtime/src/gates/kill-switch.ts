import type { Gate } from './gate.ts';

/** Closed while the ConfigMap `k8s-upgrade-killswitch` exists. */
export const killSwitchGate: Gate = {
  name: 'kill-switch',
  summary: 'nobody has halted upgrades',
  outcomeWhenClosed: 'blocked',
  async check({ killSwitch }) {
    const reason = await killSwitch.reason();
    return { reasons: reason === undefined ? [] : [`halted: ${reason} (k8s-upgrade resume lifts it)`] };
  },
};
