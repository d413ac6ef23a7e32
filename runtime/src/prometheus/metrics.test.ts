import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import type { HttpFaults } from '../../../test/lab/services/http.ts';
import { Prometheus } from '../../../test/lab/services/prometheus.ts';
import { testSettings } from '../testing/cluster.ts';
import { rejection } from '../testing/files.ts';
import { prometheusMetrics } from './metrics.ts';

let prometheus: Prometheus;
beforeEach(async () => {
  prometheus = await new Prometheus().start();
});
afterEach(() => prometheus.stop());

const query = (promql: string, url = prometheus.url) => {
  const settings = testSettings({ prometheus: { url, timeout: '2s' } });
  return prometheusMetrics(settings.prometheus, new AbortController().signal).query(promql);
};
const answer = (data: object) => JSON.stringify({ status: 'success', data });

describe('an instant query', () => {
  it('sends the expression as it is, and returns labels and numbers', async () => {
    const promql = 'sum by (a) (b{c="d",e=~".+"}) > 0';
    prometheus.setQuery(promql, [{ labels: { a: 'x' }, value: 1.5 }]);
    const expected = [{ labels: { a: 'x' }, value: 1.5 }];
    expect(await query(promql)).toEqual(expected);
    expect(await query(promql, `${prometheus.url}/`)).toEqual(expected);
  });

  it('returns an empty list when nothing matches', async () => {
    expect(await query('nothing_like_this')).toEqual([]);
  });
});

describe('an unknown value is not an empty list (F31):', () => {
  const cases: [what: string, faults: HttpFaults, code: string, message: string][] = [
    ['HTML', { body: '<html>Sign in</html>' }, 'badInput', 'answering <html>'],
    ['an empty answer', { body: '' }, 'badInput', 'an empty answer'],
    ['an error', { body: '{"status":"error","error":"x"}' }, 'badInput', 'prometheus.url'],
    ['a scalar', { body: answer({ resultType: 'scalar', result: [1, '1'] }) }, 'badInput', 'prometheus.url'],
    ['404', { status: 404 }, 'failed', 'answered 404'],
    ['503', { status: 503 }, 'failed', 'answered 503'],
    ['a cut connection', { reset: true }, 'failed', 'no answer'],
  ];
  test.each(cases)('%s is %s', async (_what, faults, code, message) => {
    prometheus.faults = faults;
    const error = await rejection(query('up'));
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  });
});
