import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PrometheusAlerts } from '../../runtime/src/prometheus/alerts.ts';
import { testSettings } from '../../runtime/src/testing/cluster.ts';
import { Prometheus } from '../lab/services/prometheus.ts';
import { Monitoring, missingPrograms } from './monitoring.ts';

const it = test.skipIf(missingPrograms().length > 0);

const rule = (alert: string, expr: string, holdsFor?: string) => ({
  alert,
  expr,
  ...(holdsFor && { for: holdsFor }),
  labels: { severity: 'warning' },
  annotations: { summary: alert },
});

const groups = [
  {
    name: 'Upgrade Gates',
    rules: [
      rule('PVCStuckPending', 'vector(1)', '30m'),
      rule('NodeDiskPressure', 'vector(1)'),
      rule('NodeMemoryPressure', 'vector(0) > 0', '5m'),
    ],
  },
];

let monitoring: Monitoring | undefined;
let lab: Prometheus;
beforeEach(async () => {
  lab = await new Prometheus().start();
  lab.groups.set('Upgrade Gates', ['PVCStuckPending', 'NodeDiskPressure', 'NodeMemoryPressure']);
  lab.durations.set('PVCStuckPending', 1800);
});
afterEach(() => Promise.all([monitoring?.stop(), lab.stop()]));

async function watched(options = {}): Promise<string> {
  monitoring = await Monitoring.start(options);
  await monitoring.watch(groups);
  return monitoring.prometheusUrl;
}

const read = (url: string) => {
  const { prometheus } = testSettings({ prometheus: { url } });
  return new PrometheusAlerts(prometheus, new AbortController().signal).read();
};

/** Reads until every rule was evaluated and two alerts are active. */
async function active(url: string) {
  for (;;) {
    const state = await read(url);
    const { firing, pending, rules } = state;
    if (rules.every(({ evaluated }) => evaluated) && firing.length + pending.length === 2) return state;
  }
}

const json = async (url: string) => (await fetch(url)).json();

/** Names of the fields, those of the first element for a list. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]));
}

describe('a real Prometheus that has just started', () => {
  it('says what is pending since when, for how long, and when it started (F34)', async () => {
    const started = Date.now();
    const { firing, pending, rules, startedAt } = await active(await watched());
    expect(firing).toEqual([
      { name: 'NodeDiskPressure', labels: expect.objectContaining({ severity: 'warning' }) },
    ]);
    expect(pending).toEqual([
      expect.objectContaining({ name: 'PVCStuckPending', activeAt: expect.any(Number), holdsFor: 1_800_000 }),
    ]);
    expect(rules.map(({ holdsFor }) => holdsFor)).toEqual([1_800_000, 0, 300_000]);
    for (const time of [startedAt ?? 0, pending[0]?.activeAt ?? 0]) {
      expect(time).toBeGreaterThan(started - 2_000);
      expect(time).toBeLessThan(Date.now() + 1_000);
    }
  });

  it('answers in the shape of the lab’s, as far as that goes', async () => {
    const url = await watched();
    await active(url);
    lab.pend('PVCStuckPending');
    lab.fire('NodeDiskPressure');
    for (const path of ['/api/v1/rules?type=alert', '/api/v1/alerts', '/api/v1/status/runtimeinfo'])
      expect(shapeOf(await json(url + path)), path).toMatchObject(
        shapeOf(await json(lab.url + path)) as object,
      );
  });

  it('can pass for one that has been up for a day', async () => {
    const { startedAt = 0, pending } = await active(await watched({ seemsOld: true }));
    expect(Math.round((Date.now() - startedAt) / 3_600_000)).toBe(24);
    expect(pending).toHaveLength(1);
  });
});
