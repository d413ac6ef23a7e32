import { addOnsIn, readKubeadmAddOns } from '../../cluster/kubeadm-add-ons.ts';
import type { Gate } from '../gate.ts';

/** Compares kube-proxy and CoreDNS with what they were when the rollout started (F33). */
export const addOnsAfter: Gate = {
  name: 'kubeadm-addons-after',
  summary: 'kubeadm has installed no kube-proxy or CoreDNS that was not there before the rollout',
  outcomeWhenClosed: 'blocked',
  async check({ client, inFlight, settings }) {
    const before = parse(inFlight?.addOns);
    if (before.size === 0) return { reasons: [], notAsked: 'not checked: there is no record of the start' };
    const now = parse(addOnsIn(await readKubeadmAddOns(client)));
    const changed = [...now].filter(([name, digest]) => before.get(name) !== digest);
    const installed = changed.filter(([name]) => before.get(name) === 'absent').map(([name]) => name);
    const others = changed.map(([name]) => name).filter((name) => !installed.includes(name));
    const { acceptChanges } = settings.gates;
    return {
      reasons: installed
        .filter((name) => !acceptChanges.includes(name))
        .map(
          (name) =>
            `${name} is in kube-system and was not before this rollout: if kubeadm has installed it, remove it, and set kubeadm.skipPhases: [addon/${name}]`,
        ),
      notes: others.map((name) => {
        const how = now.get(name) === 'absent' ? 'is gone' : 'has changed beyond its image';
        return `${name} ${how} since this rollout started, by kubeadm of the target or by somebody`;
      }),
    };
  },
};

/** Name → digest, or `absent`. */
function parse(text = ''): ReadonlyMap<string, string> {
  const pairs = text.split(' ').map((pair) => pair.split('='));
  return new Map(pairs.flatMap(([name, digest]) => (name && digest ? [[name, digest]] : [])));
}
