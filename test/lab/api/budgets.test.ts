import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call, namespace, startTestLab, type TestLab, testNode } from './testing.ts';
import type { KubeObject } from './types.ts';

const budgets = '/apis/policy/v1/namespaces/apps/poddisruptionbudgets';
const pods = '/api/v1/namespaces/apps/pods';

let lab: TestLab;
beforeAll(async () => {
  lab = await startTestLab();
  lab.api.apply([namespace('apps'), testNode('one')]);
});
afterAll(() => lab.stop());

describe('a PodDisruptionBudget', () => {
  test.each([
    ['a negative number', { minAvailable: -1 }, 'spec.minAvailable', 'must be greater than or equal to 0'],
    ['a negative percentage', { maxUnavailable: '-5%' }, 'spec.maxUnavailable', 'a valid percent string'],
    ['more than all', { minAvailable: '101%' }, 'spec.minAvailable', 'must not be greater than 100%'],
    ['text', { minAvailable: 'half' }, 'spec.minAvailable', 'a valid percent string'],
    ['both', { minAvailable: 1, maxUnavailable: 1 }, 'spec', 'cannot be both set'],
  ])('with %s is refused', async (_what, spec, field, why) => {
    const metadata = { name: 'invalid', namespace: 'apps' };
    const body = { metadata, spec: { ...spec, selector: { matchLabels: { app: 'web' } } } };
    const { code, message, details } = await call(lab.api, 'POST', budgets, body);
    expect([code, details?.causes?.map((cause) => cause.field)]).toEqual([422, [field]]);
    expect(message).toContain(why);
  });

  test.each([[{ minAvailable: 0 }], [{ minAvailable: '100%' }], [{ maxUnavailable: '0%' }]])(
    'with %j is accepted',
    async (spec) => {
      const body = {
        metadata: { generateName: 'fine-', namespace: 'apps' },
        spec: { ...spec, selector: { matchLabels: { app: 'nobody' } } },
      };
      expect((await call(lab.api, 'POST', budgets, body)).code).toBeUndefined();
    },
  );
});

test('an eviction with the uid of a replaced pod is a conflict, but only after the budget allows it', async () => {
  lab.api.apply([
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace: 'apps', labels: { app: 'web' } },
      spec: { nodeName: 'one', containers: [{ name: 'main', image: 'web:1' }] },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'web', namespace: 'apps' },
      spec: { minAvailable: 1, selector: { matchLabels: { app: 'web' } } },
    },
  ] as KubeObject[]);
  await lab.api.settled();
  const uid = '5b9a0f1c-0000-4000-8000-000000000001';
  const body = {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { name: 'web', namespace: 'apps' },
    deleteOptions: { preconditions: { uid } },
  };
  const evict = () => call(lab.api, 'POST', `${pods}/web/eviction`, body);
  expect((await evict()).code).toBe(429);
  lab.api.store.remove('poddisruptionbudgets', 'apps', 'web');
  const { code, message } = await evict();
  expect(code).toBe(409);
  expect(message).toContain(`the UID in the precondition (${uid}) does not match the UID in record`);
  expect(lab.api.store.get('pods', 'apps', 'web')?.metadata.deletionTimestamp).toBeUndefined();
});
