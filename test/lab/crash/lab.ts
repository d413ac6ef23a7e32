import type { SettingsInput } from '../../../runtime/src/settings.ts';
import { labNodes } from '../cluster.ts';
import { Lab } from '../lab.ts';

export const before = '1.34.2';
export const target = '1.34.5';
export const inputs = JSON.stringify({ target_version: target, kind: 'patch' });
/** Cordoned by a person before the run, and to stay so (F11). */
export const cordonedByHand = 'k8s-node3';

/** A control plane and three workers, one of them out of service; a run takes two legs. */
export async function startLab(change = (base: SettingsInput): SettingsInput => base): Promise<Lab> {
  const lab = await Lab.start({
    release: before,
    published: [before, target],
    nodes: labNodes.slice(0, 4),
    settings: (base) => ({
      ...change(base),
      // A killed executor's lease has to run out before the next one goes on.
      timing: { ...base.timing, lease: '2s', apiRequest: '2s' },
      gates: { ...base.gates, alertWait: '10s' },
      drain: { ...base.drain, timeout: '20s' },
      prometheus: { ...base.prometheus, url: base.prometheus.url, timeout: '2s' },
      pushgateway: { ...base.pushgateway, url: base.pushgateway.url, timeout: '2s' },
      slack: { ...base.slack, timeout: '2s' },
    }),
  });
  lab.api.store.modify('nodes', undefined, cordonedByHand, (node) => {
    node.spec = { ...node.spec, unschedulable: true };
  });
  // A new executor is there before a script has ended: it meets kubeadm at work.
  for (const node of lab.nodes.values()) node.setDuration('kubeadm', node.name === 'k8s-master' ? 0.7 : 1.5);
  for (const node of lab.nodes.values()) node.setDuration('apt-install', 0.5);
  lab.cordons.length = 0;
  return lab;
}
