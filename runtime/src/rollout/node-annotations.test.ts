import type { V1Node } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { readNode } from '../cluster/nodes.ts';
import { annotationKeys } from '../names.ts';
import { inFlightSince } from '../testing/fake-context.ts';
import type { InFlight } from './journal.ts';
import {
  type AnnotationPorts,
  annotationsReader,
  clearChanged,
  clearNodeAnnotations,
  cordon,
  isInProgress,
  readmit,
  recordChange,
  recordKubeadm,
  recordKubelet,
} from './node-annotations.ts';

const prefix = 'example.com';
const keys = annotationKeys(prefix);
const month = 30 * 86_400_000;
const now = Date.now();
const rollout = inFlightSince(now - 60_000);
const earlier = inFlightSince(now - month);
const during = new Date(now - 30_000).toISOString();
const before = new Date(now - month + 1_000).toISOString();

const nameOf = (key: string) => Object.entries(keys).find(([, one]) => one === key)?.[0];

interface NodeOf {
  readonly annotations?: Record<string, string>;
  readonly unschedulable?: boolean;
  readonly inFlight?: InFlight | undefined;
}

/** One node in an API in memory, read for the rollout in flight. */
function oneNode({ annotations = {}, unschedulable = false, inFlight }: NodeOf) {
  const node = {
    metadata: { name: 'node1', annotations: { ...annotations } as Record<string, string> },
    spec: { unschedulable },
    status: {
      addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
      nodeInfo: { kubeletVersion: 'v1.34.2', containerRuntimeVersion: '' },
    },
  };
  const read = () => readNode(node as unknown as V1Node, annotationsReader(prefix, inFlight));
  const ports: AnnotationPorts = {
    cluster: { nodes: async () => [read()], podsOn: async () => [] },
    writer: {
      async patchNode(_name, changes, cordoned) {
        for (const [key, value] of Object.entries(changes))
          if (value === null) delete node.metadata.annotations[key];
          else node.metadata.annotations[key] = value;
        if (cordoned !== undefined) node.spec.unschedulable = cordoned;
      },
    },
    journal: { read: async () => inFlight },
    settings: { annotationPrefix: prefix },
  };
  const state = () => ({
    left: Object.keys(node.metadata.annotations).map(nameOf),
    unschedulable: node.spec.unschedulable,
  });
  return { read, ports, state, annotations: node.metadata.annotations };
}

const marks = { this: rollout.started, other: earlier.started, no: undefined };

describe('whose cordon it is', () => {
  type Owner = 'this rollout' | 'unclear' | 'a person' | 'nobody';
  const cases: [
    mark: keyof typeof marks,
    cordoned: boolean,
    inFlight: boolean,
    owner: Owner,
    stale: boolean,
  ][] = [
    ['this', true, true, 'this rollout', false],
    ['this', false, true, 'nobody', true],
    ['this', true, false, 'unclear', true],
    ['this', false, false, 'nobody', true],
    ['other', true, true, 'unclear', true],
    ['other', false, true, 'nobody', true],
    ['other', true, false, 'unclear', true],
    ['other', false, false, 'nobody', true],
    ['no', true, true, 'a person', false],
    ['no', false, true, 'nobody', false],
    ['no', true, false, 'a person', false],
    ['no', false, false, 'nobody', false],
  ];

  const nodeOf = (mark: keyof typeof marks, unschedulable: boolean, inFlight: boolean) =>
    oneNode({
      annotations: marks[mark] === undefined ? {} : { [keys.cordoned]: marks[mark] },
      unschedulable,
      inFlight: inFlight ? rollout : undefined,
    });

  test.each(cases)(
    'F11 F47: %s mark, cordoned %s, rollout in flight %s: %s',
    (mark, cordoned, inFlight, owner, stale) => {
      const node = nodeOf(mark, cordoned, inFlight).read();
      const found: Owner = node.cordonedByUs
        ? 'this rollout'
        : node.cordonedEarlier
          ? 'unclear'
          : node.unschedulable
            ? 'a person'
            : 'nobody';
      expect([found, node.stale.length > 0]).toEqual([owner, stale]);
      expect(isInProgress(node)).toBe(owner === 'this rollout');
    },
  );

  test.each(cases)(
    'F11 F47: %s mark, cordoned %s, rollout in flight %s: uncordoned at the end only if it is ours',
    async (mark, cordoned, inFlight, owner) => {
      const { ports, state } = nodeOf(mark, cordoned, inFlight);
      await readmit(ports, 'node1', false);
      const stays = cordoned && owner !== 'this rollout';
      expect(state()).toEqual({ left: [], unschedulable: stays });
    },
  );

  it('F47: our mark takes the place of one that is stale, and only where we cordon', async () => {
    const { ports, annotations } = nodeOf('other', false, true);
    expect(await cordon(ports, 'node1')).toBe('cordoned');
    expect(annotations[keys.cordoned]).toBe(rollout.started);
    const cordoned = nodeOf('other', true, true);
    expect(await cordon(cordoned.ports, 'node1')).toBe('already');
    expect(cordoned.read()).toMatchObject({ cordonedByUs: false, cordonedEarlier: true });
  });

  it('F47: no node is cordoned when no rollout is in flight, as nobody could tell whose cordon it is', async () => {
    const { ports, state } = nodeOf('no', false, false);
    await expect(cordon(ports, 'node1')).rejects.toThrow(
      'node1 is not cordoned: somebody has cleared the state of this rollout',
    );
    expect(state()).toEqual({ left: [], unschedulable: false });
  });
});

describe('a node that this rollout changed', () => {
  const inProgress: [what: string, annotations: Record<string, string>, kubeadmOnly: boolean][] = [
    ['its mark', { [keys.cordoned]: rollout.started }, false],
    ['the annotation of a changing kubelet', { [keys.unfinished]: during }, false],
    ['that of kubeadm’s step', { [keys.unfinished]: 'kubeadm', [keys.cordoned]: rollout.started }, true],
  ];
  // Its script may still run, and its kubelet may be half-way.
  test.each(inProgress)(
    'F5 F47: is in progress by %s, also once a person has uncordoned it',
    (_what, annotations, kubeadmOnly) => {
      for (const unschedulable of [true, false]) {
        const annotated = { ...annotations, [keys.changed]: during };
        const node = oneNode({ annotations: annotated, unschedulable, inFlight: rollout }).read();
        expect(isInProgress(node)).toBe(true);
        expect(node).toMatchObject({ kubeadmOnly, stale: [], cordonedEarlier: false });
      }
    },
  );

  test.each(inProgress)('F47: is not by %s of an earlier rollout', (_what, annotations) => {
    for (const inFlight of [rollout, undefined]) {
      const given = annotations[keys.cordoned] && { [keys.cordoned]: earlier.started };
      const annotated = { ...annotations, ...given, [keys.changed]: before };
      const node = oneNode({ annotations: annotated, inFlight }).read();
      expect(isInProgress(node)).toBe(false);
      expect(node).toMatchObject({ kubeadmOnly: false, stale: Object.keys(annotations).toSorted() });
    }
  });

  it('is recorded as changed and soaking after the start of its rollout, also by a clock that is behind', async () => {
    const inFlight = inFlightSince(now + 3_600_000);
    const { ports, read } = oneNode({ inFlight });
    await recordKubeadm(ports, 'node1');
    await cordon(ports, 'node1');
    await recordKubelet(ports, 'node1');
    expect(read()).toMatchObject({ changedAt: inFlight.startedAt, cordonedByUs: true });
    await readmit(ports, 'node1', true);
    expect(read()).toMatchObject({ soakingSince: inFlight.startedAt, unschedulable: false });
  });
});

describe('a soak', () => {
  test.each([
    ['of this rollout counts', during, rollout, Date.parse(during)],
    ['F47: of an earlier rollout does not', before, rollout, undefined],
    ['F47: does not without a rollout', during, undefined, undefined],
    ['F47: does not when it is unreadable', 'nonsense', rollout, undefined],
  ])('%s', (_what, soaking, inFlight, since) => {
    const node = oneNode({ annotations: { [keys.soaking]: soaking }, inFlight }).read();
    expect(node.soakingSince).toBe(since);
    expect(node.stale).toEqual(since === undefined ? [keys.soaking] : []);
  });
});

describe('F47: what an earlier rollout left is removed', () => {
  const annotations = {
    [keys.cordoned]: earlier.started,
    [keys.unfinished]: before,
    [keys.soaking]: before,
  };
  type Act = (ports: AnnotationPorts) => Promise<unknown>;
  const acts: [what: string, act: Act, left: string[]][] = [
    [
      'when kubeadm’s step is recorded',
      (ports) => recordKubeadm(ports, 'node1'),
      ['changed', 'daemonSets', 'unfinished'],
    ],
    ['with another change', (ports) => recordChange(ports, 'node1', () => false), ['changed', 'daemonSets']],
    ['at the cordon', (ports) => cordon(ports, 'node1'), ['cordoned']],
    ['at the uncordon', (ports) => readmit(ports, 'node1', true), ['soaking']],
    ['at the end of a rollout', clearChanged, []],
    ['by clear', (ports) => clearNodeAnnotations(ports, () => {}), []],
  ];
  test.each(acts)('%s', async (_what, act, left) => {
    const { ports, state } = oneNode({ annotations, inFlight: rollout });
    await act(ports);
    expect(state().left.toSorted()).toEqual(left);
  });
});
