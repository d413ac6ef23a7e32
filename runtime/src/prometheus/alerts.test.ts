import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import type { HttpFaults } from '../../../test/lab/services/http.ts';
import { Prometheus } from '../../../test/lab/services/prometheus.ts';
import { testSettings } from '../testing/cluster.ts';
import { rejection } from '../testing/files.ts';
import { PrometheusAlerts } from './alerts.ts';

let prometheus: Prometheus;
beforeEach(async () => {
  prometheus = await new Prometheus().start();
});
afterEach(() => prometheus.stop());

const read = (ruleGroups = ['Upgrade Gates'], url = prometheus.url) => {
  const settings = testSettings({ prometheus: { url, ruleGroups, timeout: '2s' } });
  return new PrometheusAlerts(settings.prometheus, new AbortController().signal).read();
};
const firing = async (ruleGroups?: string[], url?: string) => (await read(ruleGroups, url)).firing;
const rules = (rule: object) =>
  JSON.stringify({
    status: 'success',
    data: {
      groups: [{ name: 'Upgrade Gates', rules: [{ name: 'Broken', type: 'alerting', alerts: [], ...rule }] }],
    },
  });

describe('firing alerts', () => {
  it('are an empty list while nothing fires', async () => {
    expect(await firing()).toEqual([]);
  });

  it('have their labels, one alert for each instance', async () => {
    prometheus.fire('RecentNodeReboot', { node: 'k8s-node1' });
    prometheus.fire('RecentNodeReboot', { node: 'k8s-node2' });
    expect(await firing(undefined, `${prometheus.url}/`)).toEqual(
      ['k8s-node1', 'k8s-node2'].map((node) => ({
        name: 'RecentNodeReboot',
        labels: expect.objectContaining({ node }),
      })),
    );
  });

  it('count in the gating groups only (F32)', async () => {
    prometheus.groups.set('Other', ['Noise']);
    prometheus.fire('Noise');
    expect(await firing()).toEqual([]);
    expect((await firing(['Upgrade Gates', 'Other'])).map((alert) => alert.name)).toEqual(['Noise']);
  });

  it('count in the gating groups only, even if the server returns all groups', async () => {
    prometheus.filtersRules = false;
    prometheus.groups.set('Other', ['Noise']);
    prometheus.fire('Noise');
    expect(await firing()).toEqual([]);
  });

  it('do not count while pending', async () => {
    prometheus.faults = { body: rules({ health: 'ok', alerts: [{ state: 'pending', labels: {} }] }) };
    expect(await firing()).toEqual([]);
    prometheus.faults = { body: rules({ health: 'ok', alerts: [{ state: 'firing', labels: { a: 'b' } }] }) };
    expect(await firing()).toEqual([{ name: 'Broken', labels: { a: 'b' } }]);
  });
});

describe('pending alerts (F34)', () => {
  it('have their labels, since when their expression is true, and the `for` of their rule', async () => {
    prometheus.durations.set('RecentNodeReboot', 60);
    const since = new Date(Date.now() - 30_000);
    prometheus.pend('RecentNodeReboot', { node: 'k8s-node1' }, since);
    const { firing, pending } = await read();
    expect(firing).toEqual([]);
    expect(pending).toEqual([
      {
        name: 'RecentNodeReboot',
        labels: expect.objectContaining({ node: 'k8s-node1' }),
        activeAt: since.getTime(),
        holdsFor: 60_000,
      },
    ]);
    prometheus.fire('RecentNodeReboot', { node: 'k8s-node1' });
    expect(await read()).toMatchObject({ firing: [{ name: 'RecentNodeReboot' }], pending: [] });
  });

  it.each([-300_000, 300_000])(
    'have times by this machine’s clock, where the server’s is off by %i ms',
    async (by) => {
      prometheus.clockAheadMs = by;
      const since = Date.now() - 60_000;
      prometheus.pend('PVCStuckPending', {}, new Date(since));
      const [alert] = (await read()).pending;
      expect(Math.abs((alert?.activeAt ?? 0) - since)).toBeLessThan(3_000);
    },
  );

  it.each([[{}], [{ activeAt: '0001-01-01T00:00:00Z' }], [{ activeAt: 'soon' }]])(
    'may have no time: %j',
    async (alert) => {
      const alerts = [{ state: 'pending', labels: {}, ...alert }];
      prometheus.faults = { body: rules({ health: 'ok', duration: 900, alerts }) };
      expect((await read()).pending).toMatchObject([{ activeAt: undefined, holdsFor: 900_000 }]);
    },
  );
});

describe('an unknown state is not "nothing fires" (F31):', () => {
  const whole = rules({ health: 'ok' });
  const cases: [what: string, faults: HttpFaults, code: string, message: string][] = [
    ['HTML', { body: '<html>Sign in</html>' }, 'badInput', 'answering <html>'],
    ['an empty answer', { body: '' }, 'badInput', 'an empty answer'],
    ['truncated JSON', { body: whole.slice(0, whole.length / 2) }, 'badInput', 'which answers JSON'],
    ['another API', { body: '{"kind":"Status"}' }, 'badInput', 'expected the URL of Prometheus'],
    ['an error', { body: '{"status":"error","error":"x"}' }, 'badInput', 'prometheus.url'],
    ['a redirect loop', { redirectLoop: true }, 'badInput', 'redirect loop'],
    ['404', { status: 404 }, 'failed', 'answered 404'],
    ['503', { status: 503 }, 'failed', 'answered 503'],
    ['a cut connection', { reset: true }, 'failed', 'no answer'],
  ];
  test.concurrent.each(cases)('%s is %s', async (_what, faults, code, message) => {
    const own = await new Prometheus().start();
    own.faults = faults;
    const error = await rejection(firing(undefined, own.url)).finally(() => own.stop());
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(error.message).toContain('prometheus.url');
  });

  it('a group that is empty or not loaded is blocked, with its name', async () => {
    prometheus.groups.set('Upgrade Gates', []);
    const empty = await rejection(firing());
    expect(empty).toMatchObject({ code: 'blocked', message: 'Prometheus has no rule group "Upgrade Gates"' });
    const missing = await rejection(firing(['Missing']));
    expect(missing).toMatchObject({ code: 'blocked', message: expect.stringContaining('"Missing"') });
  });

  test.each([
    ['err', 'many-to-many matching', 'Broken (many-to-many matching)'],
    ['err', undefined, 'Broken (err)'],
  ])('a rule with health %s is blocked, with its error', async (health, lastError, message) => {
    prometheus.faults = { body: rules({ health, lastError }) };
    expect(await rejection(firing())).toMatchObject({
      code: 'blocked',
      message: `Prometheus cannot evaluate rules: ${message}`,
    });
  });

  it('a refused connection is failed', async () => {
    await prometheus.stop();
    expect(await rejection(firing())).toMatchObject({
      code: 'failed',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });
});

describe('a Prometheus that has started lately (F34)', () => {
  it.each([0, 300_000])('says when, by this machine’s clock, if its own is %i ms ahead', async (ahead) => {
    prometheus.clockAheadMs = ahead;
    prometheus.startedAt = new Date(Date.now() - 240_000);
    const { startedAt = 0 } = await read();
    expect(Math.abs(startedAt - prometheus.startedAt.getTime())).toBeLessThan(3_000);
  });

  it('is unknown where the server does not serve that', async () => {
    for (const status of [400, 403, 404, 405]) {
      prometheus.runtimeInfoStatus = status;
      expect((await read()).startedAt, String(status)).toBeUndefined();
    }
    prometheus.faults = { body: rules({ health: 'ok' }) };
    expect((await read()).startedAt).toBeUndefined();
  });

  it('is no answer where the server fails', async () => {
    prometheus.runtimeInfoStatus = 503;
    expect(await rejection(read())).toMatchObject({
      code: 'failed',
      message: expect.stringContaining('503'),
    });
  });

  it('has rules that it has not evaluated yet, or no longer does', async () => {
    const seen = async () =>
      (await read()).rules.filter(({ evaluated }) => !evaluated).map(({ name }) => name);
    prometheus.unevaluated.add('PVCStuckPending');
    expect(await seen()).toEqual(['PVCStuckPending']);
    const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
    prometheus.faults = { body: rules({ health: 'ok', lastEvaluation: ago(6) }) };
    expect(await seen()).toEqual([]);
    prometheus.faults = { body: rules({ health: 'ok', lastEvaluation: ago(8) }) };
    expect(await seen()).toEqual(['Broken']);
  });
});
