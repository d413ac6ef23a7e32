import { ApiException, type V1PodDisruptionBudget } from '@kubernetes/client-node';
import { describe, expect, it, test } from 'vitest';
import { ApiError } from '../cluster/api-error.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import type { ClusterWriter } from '../cluster/writer.ts';
import { UpgradeError } from '../errors.ts';
import { pod } from '../testing/cluster.ts';
import { within } from '../wait.ts';
import { evictUntilAccepted, type Leaving } from './eviction.ts';

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

/** Asks until `answers` are used up; after them every eviction is accepted. */
async function ask(answers: readonly (Answer | Error)[], budgets = [budget], timeout = 10_000) {
  const left = [...answers];
  const times: number[] = [];
  const deleted: string[] = [];
  const notices: string[] = [];
  const one: Leaving = { pod: pod('web', { metadata: { labels: { app: 'web' } } }) };
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
  return { asked: times.length, took: Number(times.at(-1)) - Number(times[0]), one, deleted, notices };
}

/** What kubectl does with each answer (k8s.io/kubectl/pkg/drain/drain.go, evictPods). */
describe('an answer to an eviction', () => {
  const several =
    'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.';
  test.each<[what: string, answer: Answer, then: 'gone' | 'again' | 'fatal']>([
    ['404: it is gone', { code: 404 }, 'gone'],
    [
      '409: another pod of that name',
      { code: 409, message: 'the UID in the precondition (a) does not match the UID in record (b).' },
      'gone',
    ],
    [
      '409: the server met too many other writers of the pod',
      { code: 409, message: 'the object has been modified' },
      'again',
    ],
    [
      '403 in a namespace that is going: its deletion is waited for',
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
    const { asked, one, deleted } = await ask([answer]);
    expect([asked, one.fatal !== undefined]).toEqual([then === 'again' ? 2 : 1, then === 'fatal']);
    if (then === 'fatal') expect(one.fatal?.message).toContain(answer.message ?? 'no');
    expect(deleted).toEqual([]);
  });

  it('that never came: the error is the pod’s', async () => {
    const { asked, one } = await ask([new UpgradeError('failed', 'no answer from the API server')]);
    expect([asked, one.fatal?.message]).toEqual([1, 'no answer from the API server']);
  });

  it('429 with Retry-After: not before that, whatever the settings say', async () => {
    const { asked, took } = await ask([{ code: 429, cause: 'DisruptionBudget', retryAfter: 1 }]);
    expect(asked).toBe(2);
    expect(took).toBeGreaterThanOrEqual(990);
  });

  it('429 again and again: as often as the settings say, told once, by the name of the budget', async () => {
    const refusal = { code: 429, cause: 'DisruptionBudget' };
    const { asked, took, one, notices } = await ask(Array.from({ length: 6 }, () => refusal));
    expect(asked).toBe(7);
    expect(took).toBeGreaterThanOrEqual(6 * 49);
    expect(notices).toEqual([
      expect.stringContaining('apps/web is held back by PodDisruptionBudget apps/web ('),
    ]);
    expect(one.held).toContain('PodDisruptionBudget apps/web');
  });

  it('429 until the end of the wait: nothing is asked any more', async () => {
    const refusal = { code: 429, cause: 'DisruptionBudget' };
    const { asked, one } = await ask(
      Array.from({ length: 1_000 }, () => refusal),
      [budget],
      300,
    );
    expect(asked).toBeLessThan(10);
    expect(one.fatal).toBeUndefined();
  });

  it('429 by a budget that cannot be seen: its own words', async () => {
    const refusal = { code: 429, cause: 'DisruptionBudget', message: 'Cannot evict pod' };
    expect((await ask([refusal], [])).one.held).toContain('Cannot evict pod');
  });
});
