import { describe, expect, it } from 'vitest';
import { parseRelease } from '../../release.ts';
import { clusterNode } from '../../testing/cluster.ts';
import { checkOneGate } from '../../testing/gate-context.ts';
import { containerdGate } from './containerd.ts';

const release = (text: string) => parseRelease('test', text);

describe('the floor of containerd', () => {
  const check = (containerd: string | undefined, to: string, from: string) =>
    checkOneGate(containerdGate, {
      to,
      nodes: [clusterNode('k8s-node1', { release: release(from), containerd })],
      server: from,
    });

  it.each([
    ['1.7.28', '1.38.1', '1.37.2', false],
    ['2.0.0', '1.38.1', '1.37.2', true],
    ['2.1.4', '1.38.1', '1.37.2', true],
    ['1.7.28', '1.37.2', '1.36.1', true],
    ['1.5.18', '1.35.3', '1.34.5', false],
    ['1.6.0', '1.35.3', '1.34.5', true],
  ])('%s for %s: open %s', async (containerd, to, from, open) => {
    expect((await check(containerd, to, from)).open).toBe(open);
  });

  it('names the node, the floor and its source', async () => {
    expect((await check('1.7.28', '1.38.1', '1.37.2')).reasons).toEqual([
      expect.stringMatching(/^k8s-node1 has containerd 1\.7\.28, but 1\.38 needs 2\.0\.0: .*#139121/),
    ]);
  });

  it('is not checked for another container runtime, which is noted', async () => {
    expect(await check(undefined, '1.38.1', '1.37.2')).toMatchObject({
      open: true,
      notes: ['k8s-node1 runs another container runtime than containerd, which is not checked'],
    });
  });
});
