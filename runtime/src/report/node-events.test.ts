import type { CoreV1Event } from '@kubernetes/client-node';
import { expect, it } from 'vitest';
import type { ClusterWriter } from '../cluster/writer.ts';
import { type Outcome, UpgradeError } from '../errors.ts';
import { parseRelease } from '../release.ts';
import { fakeContext } from '../testing/fake-context.ts';
import { run } from '../testing/run.ts';
import type { RunEvent } from './events.ts';
import { nodeEventSink } from './node-events.ts';

const to = parseRelease('test', '1.34.5');

/** The Kubernetes Events that the sink creates for these events of a run. */
async function created(events: readonly RunEvent[]): Promise<CoreV1Event[]> {
  const found: CoreV1Event[] = [];
  const createEvent = async (event: CoreV1Event) => void found.push(event);
  const sink = nodeEventSink({ createEvent } as Partial<ClusterWriter> as ClusterWriter);
  for (const event of events) await sink.handle(event);
  return found;
}

const shown = (events: readonly CoreV1Event[]) =>
  events.map(({ type, reason, involvedObject }) => `${involvedObject.name} ${type} ${reason}`);

const steps = ['UpgradeKubeadm', 'UpgradeDraining', 'UpgradeStarted', 'UpgradeFinished'];
const normal = (node: string, ...reasons: readonly string[]) =>
  reasons.map((reason) => `${node} Normal ${reason}`);

it('says of each node that it is done, and only of a node that soaked that it soaked', async () => {
  const { ctx, fake } = fakeContext();
  expect((await run({ ctx })).outcome).toBe('done');
  expect(shown(await created(fake.events))).toEqual([
    ...normal('k8s-master', ...steps, 'UpgradeDone'),
    ...normal('k8s-node2', ...steps, 'UpgradeSoaked'),
    ...normal('k8s-node1', ...steps, 'UpgradeSoaked'),
  ]);
});

it.each([
  ['its script', 'onScript', ['UpgradeKubeadm']],
  ['its drain', 'onDrain', ['UpgradeKubeadm', 'UpgradeDraining']],
] as const)('warns on the node whose upgrade failed in %s, with the reason', async (_what, hook, before) => {
  const { ctx, fake } = fakeContext();
  fake[hook] = async (node: string) => {
    if (node === 'k8s-node2') throw new UpgradeError('failed', 'the disk is full');
  };
  expect((await run({ ctx })).outcome).toBe('failed');
  const events = await created(fake.events);
  expect(shown(events).slice(5)).toEqual([
    ...normal('k8s-node2', ...before),
    'k8s-node2 Warning UpgradeFailed',
  ]);
  expect(events.at(-1)?.message).toBe('the disk is full');
});

it.each(['k8s-master', 'k8s-node2'])('warns on no node when a run stops after %s', async (name) => {
  const { ctx, fake } = fakeContext();
  // A worker's soak ends first, and the alert of a gate stops that.
  const alert = { name: 'NodeDiskPressure', labels: {} };
  fake.firing = async () => (fake.node(name).soakingSince ? [alert] : []);
  fake.onScript = async (node, _script, args) => {
    if (node === 'k8s-master' && node === name && args.includes('kubelet'))
      fake.killSwitch = 'a disk is swapped';
  };
  expect((await run({ ctx })).outcome).toBe('blocked');
  const found = shown(await created(fake.events));
  expect(found.at(-1)).toBe(`${name} Normal ${name === 'k8s-master' ? 'UpgradeDone' : 'UpgradeFinished'}`);
});

it('cuts a reason that is longer than an Event may be after a whole character', async () => {
  const node = { type: 'node', node: 'n1', phase: 'draining', from: to, to } as const;
  const ended = {
    type: 'run-ended',
    outcome: 'failed' as Outcome,
    target: to,
    message: `x${'→'.repeat(800)}`,
  };
  const message = (await created([node, { ...ended, type: 'run-ended' }]))[1]?.message ?? '';
  expect(message).toMatch(/^x→+ …$/);
  expect(Buffer.byteLength(message)).toBeLessThanOrEqual(1024);
  expect(Buffer.byteLength(message)).toBeGreaterThan(1015);
});
