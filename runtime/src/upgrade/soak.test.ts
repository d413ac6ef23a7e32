import { expect, it } from 'vitest';
import { fakeContext } from '../testing/fake-context.ts';
import { soakUntil } from './soak.ts';

it('a soak ends when it is over, however long the interval between its checks is', async () => {
  const { ctx } = fakeContext({ settings: { gates: { alertWait: '1h', alertInterval: '1h' } } });
  const end = Date.now() + 200;
  await soakUntil(ctx, 'k8s-node1', end);
  expect(Date.now()).toBeGreaterThanOrEqual(end);
});
