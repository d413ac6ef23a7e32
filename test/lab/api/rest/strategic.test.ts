import { describe, expect, it } from 'vitest';
import { strategicMerge } from './strategic.ts';

const node = {
  metadata: {
    finalizers: ['a'],
    annotations: { keep: '1', drop: '2' },
    ownerReferences: [{ uid: 'u1', name: 'x' }],
  },
  spec: {
    taints: [
      { key: 'a', effect: 'NoSchedule' },
      { key: 'b', effect: 'NoExecute' },
    ],
  },
  status: { conditions: [{ type: 'Ready', status: 'True' }] },
};

describe('strategic merge', () => {
  it('merges lists by their merge key', () => {
    const patch = {
      spec: {
        taints: [
          { key: 'b', value: 'new' },
          { key: 'c', effect: 'NoSchedule' },
        ],
      },
      status: {
        conditions: [
          { type: 'Ready', status: 'False' },
          { type: 'Disk', status: 'True' },
        ],
      },
    };
    expect(strategicMerge(node, patch)).toMatchObject({
      spec: {
        taints: [
          { key: 'a', effect: 'NoSchedule' },
          { key: 'b', effect: 'NoExecute', value: 'new' },
          { key: 'c', effect: 'NoSchedule' },
        ],
      },
      status: {
        conditions: [
          { type: 'Ready', status: 'False' },
          { type: 'Disk', status: 'True' },
        ],
      },
    });
  });

  it('follows the directives delete and replace', () => {
    expect(strategicMerge(node, { spec: { taints: [{ $patch: 'delete', key: 'a' }] } })).toMatchObject({
      spec: { taints: [{ key: 'b' }] },
    });
    const replaced = strategicMerge(node, {
      spec: { taints: [{ $patch: 'replace' }, { key: 'z', effect: 'NoSchedule' }] },
    });
    expect(replaced).toMatchObject({ spec: { taints: [{ key: 'z' }] } });
    expect(strategicMerge(node, { spec: { $patch: 'replace', unschedulable: true } })).toMatchObject({
      spec: { unschedulable: true },
    });
    expect(strategicMerge(node, { metadata: { annotations: { drop: null } } })).toMatchObject({
      metadata: { annotations: { keep: '1' } },
    });
    expect(
      strategicMerge(node, { metadata: { ownerReferences: [{ uid: 'u1', $patch: 'delete' }] } }),
    ).toMatchObject({
      metadata: { ownerReferences: [] },
    });
  });

  it('treats finalizers as a set', () => {
    expect(strategicMerge(node, { metadata: { finalizers: ['b', 'a'] } })).toMatchObject({
      metadata: { finalizers: ['a', 'b'] },
    });
    expect(
      strategicMerge(node, { metadata: { '$deleteFromPrimitiveList/finalizers': ['a'] } }),
    ).toMatchObject({
      metadata: { finalizers: [] },
    });
  });

  it('follows the directives setElementOrder and retainKeys', () => {
    const pod = {
      spec: {
        containers: [{ name: 'a', env: [{ name: 'X', value: '1' }] }],
        volumes: [{ name: 'v', emptyDir: {} }],
      },
    };
    const patch = {
      spec: {
        '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }],
        containers: [
          { name: 'b', image: 'b' },
          { name: 'a', env: [{ name: 'Y', value: '2' }] },
        ],
        volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }],
      },
    };
    expect(strategicMerge(pod, patch)).toEqual({
      spec: {
        containers: [
          { name: 'b', image: 'b' },
          {
            name: 'a',
            env: [
              { name: 'X', value: '1' },
              { name: 'Y', value: '2' },
            ],
          },
        ],
        volumes: [{ name: 'v', hostPath: { path: '/x' } }],
      },
    });
  });

  it('replaces lists without a merge key', () => {
    const pod = { spec: { tolerations: [{ key: 'a' }], containers: [{ name: 'a', args: ['1', '2'] }] } };
    const patch = { spec: { tolerations: [{ key: 'b' }], containers: [{ name: 'a', args: ['3'] }] } };
    expect(strategicMerge(pod, patch)).toEqual({
      spec: { tolerations: [{ key: 'b' }], containers: [{ name: 'a', args: ['3'] }] },
    });
  });

  it('refuses an element without its merge key', () => {
    expect(() => strategicMerge(node, { spec: { taints: [{ effect: 'NoSchedule' }] } })).toThrow(
      'merge key: key',
    );
  });
});
