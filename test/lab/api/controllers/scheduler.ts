import type { Node, Pod } from '../types.ts';
import { type Kit, withCondition } from './kit.ts';
import { nodeAccepts, preference } from './placement.ts';
import { isFinished } from './pods.ts';

const waiting = (pod: Pod): boolean =>
  (pod.spec?.nodeName ?? '') === '' && pod.metadata.deletionTimestamp === undefined && !isFinished(pod);

/** Binds pods to nodes, or reports why no node fits. Returns a function that stops it. */
export function startScheduler(kit: Kit): () => void {
  const enqueue = kit.queue(() => {
    for (const pod of kit.store.list('pods').filter(waiting)) kit.guard(() => schedule(kit, pod));
  });
  return kit.store.subscribe(({ resource, object, type }) => {
    const freed = resource === 'pods' && (type === 'DELETED' || waiting(object as Pod));
    if (resource === 'nodes' || freed) enqueue('all');
  });
}

function schedule(kit: Kit, pod: Pod): void {
  const spec = pod.spec;
  if (spec === undefined || (spec.schedulingGates ?? []).length > 0) return;
  const nodes = kit.store.list('nodes');
  const refusals = nodes.map((n) => nodeAccepts(spec, n));
  const fitting = nodes.filter((_, i) => refusals[i] === undefined);
  const chosen = best(kit, pod, fitting);
  if (chosen === undefined) {
    refuse(kit, pod, refusals);
    return;
  }
  const { namespace, name } = pod.metadata;
  kit.store.modify('pods', namespace, name, (p) => {
    if (p.spec !== undefined) p.spec.nodeName = chosen.metadata.name;
    const conditions = withCondition(p.status?.conditions, { type: 'PodScheduled', status: 'True' });
    p.status = { ...p.status, conditions };
  });
  const message = `Successfully assigned ${namespace}/${name} to ${chosen.metadata.name}`;
  kit.event(pod, { reason: 'Scheduled', message, component: 'default-scheduler' });
}

/** The preferred node; among equals the one with the fewest pods, above all of the same owner. */
function best(kit: Kit, pod: Pod, nodes: readonly Node[]): Node | undefined {
  const spec = pod.spec;
  if (spec === undefined) return undefined;
  const pods = kit.store.list('pods');
  const load = (node: Node) => {
    const here = pods.filter((p) => p.spec?.nodeName === node.metadata.name && !isFinished(p));
    const siblings = here.filter(
      (p) => p.metadata.ownerReferences?.[0]?.uid === pod.metadata.ownerReferences?.[0]?.uid,
    );
    return here.length + siblings.length * 10;
  };
  const rank = (node: Node) => preference(spec, node) * 1000 - load(node);
  return [...nodes].sort((a, b) => rank(b) - rank(a))[0];
}

function refuse(kit: Kit, pod: Pod, refusals: readonly (string | undefined)[]): void {
  const counts = new Map<string, number>();
  for (const reason of refusals) if (reason !== undefined) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const total = refusals.length;
  const listed = [...counts].map(([reason, n]) => `${n} ${reason}`).sort();
  const none = `0/${total} nodes are available`;
  const message =
    total === 0
      ? 'no nodes available to schedule pods'
      : `${none}: ${listed.join(', ')}. no new claims to deallocate, preemption: ${none}: ${total} Preemption is not helpful for scheduling.`;
  const known = pod.status?.conditions?.find((c) => c.type === 'PodScheduled');
  if (known?.message === message) return;
  kit.store.modify('pods', pod.metadata.namespace, pod.metadata.name, (p) => {
    const conditions = withCondition(p.status?.conditions, {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message,
    });
    p.status = { ...p.status, conditions };
  });
  kit.event(pod, { type: 'Warning', reason: 'FailedScheduling', message, component: 'default-scheduler' });
}
