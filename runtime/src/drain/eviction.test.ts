import { ApiException, type V1PodDisruptionBudget } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { ApiError } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { UpgradeError } from '../errors.ts';
import { pod } from '../testing/cluster.ts';
import { within } from '../wait.ts';
import { evictUntilAccepted, type PodEviction } from './eviction.ts';

interface Answer {
  readonly code: number;
  readonly message?: string;
  readonly cause?: string;
  readonly retryAfter?: number;
}

const answerOf = ({ code, message = 'no', cause, retryAfter }: Answer): ApiError => {
  const body = { message, details: { causes: cause === undefined ? [] : [{ reason: cause, message }] } };
  const headers: Record<string, string> =
    retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
  return new ApiError('evict pod apps/web', new ApiException(code, '', body, headers));
};

const budget: V1PodDisruptionBudget = {
  metadata: { name: 'web', namespace: 'apps' },
  spec: { selector: { matchLabels: { app: 'web' } } },
};

/** Evicts one pod while the API server gives `answers`; after them every eviction is accepted. */
async function evict(answers: readonly (Answer | Error)[], budgets = [budget], timeout = 10_000) {
  const left = [...answers];
  const times: number[] = [];
  const deleted: string[] = [];
  const notices: string[] = [];
  const one: PodEviction = { pod: pod('web', { metadata: { labels: { app: 'web' } } }) };
  const writer = {
    async evict() {
      times.push(Date.now());
      const next = left.shift();
      if (next !== undefined) throw next instanceof Error ? next : answerOf(next);
    },
    async deletePod() {
      deleted.push('apps/web');
    },
  } as Partial<ClusterWriter> as ClusterWriter;
  const client = {
    call: (_what: string, request: () => Promise<unknown>) => request(),
    policy: { listPodDisruptionBudgetForAllNamespaces: async () => ({ items: budgets }) },
  } as unknown as KubernetesClient;
  const options = {
    gracePeriod: 30_000,
    evictionRetry: 50,
    blockedPods: [],
    onNotice: (notice: string) => notices.push(notice),
  };
  await evictUntilAccepted(client, writer, one, options, within(timeout, new AbortController().signal));
  return { requests: times.length, took: Number(times.at(-1)) - Number(times[0]), one, deleted, notices };
}

/** As kubectl handles each answer (k8s.io/kubectl/pkg/drain/drain.go, evictPods). */
describe('an answer to an eviction', () => {
  const several =
    'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.';
  test.each<[what: string, answer: Answer, then: 'gone' | 'again' | 'fatal']>([
    ['404: the pod is gone', { code: 404 }, 'gone'],
    [
      '409: another pod of that name',
      { code: 409, message: 'the UID in the precondition (a) does not match the UID in record (b).' },
      'gone',
    ],
    [
      '409: somebody else wrote the pod at the same time',
      { code: 409, message: 'the object has been modified' },
      'again',
    ],
    [
      '403 in a namespace that is being deleted: the drain waits',
      { code: 403, cause: 'NamespaceTerminating' },
      'gone',
    ],
    ['403 for another reason', { code: 403 }, 'fatal'],
    ['403 for a negative budget', { code: 403, message: 'pdb disruptions allowed is negative' }, 'fatal'],
    ['429 by a budget', { code: 429, cause: 'DisruptionBudget' }, 'again'],
    ['429 by an API server that is overloaded', { code: 429 }, 'again'],
    ['500 for several budgets', { code: 500, message: several }, 'fatal'],
    ['500 by a webhook', { code: 500, message: 'failed calling webhook' }, 'fatal'],
    ['422', { code: 422 }, 'fatal'],
  ])('%s', async (_what, answer, then) => {
    const { requests, one, deleted } = await evict([answer]);
    expect([requests, one.fatal !== undefined]).toEqual([then === 'again' ? 2 : 1, then === 'fatal']);
    if (then === 'fatal') expect(one.fatal?.message).toContain(answer.message ?? 'no');
    expect(deleted).toEqual([]);
  });

  it('that never arrives is a fatal error of that pod', async () => {
    const { requests, one } = await evict([new UpgradeError('failed', 'no answer from the API server')]);
    expect([requests, one.fatal?.message]).toEqual([1, 'no answer from the API server']);
  });

  it('429 with Retry-After is retried no earlier than that, even if the settings say so', async () => {
    const { requests, took } = await evict([{ code: 429, cause: 'DisruptionBudget', retryAfter: 1 }]);
    expect(requests).toBe(2);
    expect(took).toBeGreaterThanOrEqual(990);
  });

  it("429 several times is retried at the settings' interval and reported once, with the budget's name", async () => {
    const refusal = { code: 429, cause: 'DisruptionBudget' };
    const { requests, took, one, notices } = await evict(Array.from({ length: 6 }, () => refusal));
    expect(requests).toBe(7);
    expect(took).toBeGreaterThanOrEqual(6 * 49);
    expect(notices).toEqual([
      expect.stringContaining('apps/web is held back by PodDisruptionBudget apps/web ('),
    ]);
    expect(one.heldBackBy).toContain('PodDisruptionBudget apps/web');
  });

  it('429 until the deadline ends the attempts without a fatal error', async () => {
    const refusal = { code: 429, cause: 'DisruptionBudget' };
    const { requests, one } = await evict(
      Array.from({ length: 1_000 }, () => refusal),
      [budget],
      300,
    );
    expect(requests).toBeLessThan(10);
    expect(one.fatal).toBeUndefined();
  });

  it('429 by a budget that cannot be listed is reported in the words of the API server', async () => {
    const refusal = { code: 429, cause: 'DisruptionBudget', message: 'Cannot evict pod' };
    expect((await evict([refusal], [])).one.heldBackBy).toContain('Cannot evict pod');
  });
});
