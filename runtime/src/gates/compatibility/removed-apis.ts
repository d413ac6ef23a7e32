import semver from 'semver';
import { UpgradeError } from '../../errors.ts';
import type { Sample } from '../../prometheus/metrics.ts';
import { minorOf, type Release } from '../../release.ts';
import type { GateContext } from '../gate.ts';
import { beforeMinor } from './before-minor.ts';

/**
 * Every API server sets this gauge to 1 when a deprecated version is called, and keeps it until it restarts.
 * Labels: group, version, resource, subresource, removed_release. Without a call there is no series.
 */
export const requestedQuery = 'apiserver_requested_deprecated_apis';
/**
 * The API servers that Prometheus scrapes, one series each. Every API server requests namespaces from itself;
 * an aggregated API server, which has the same metrics, gets no such requests and is not counted.
 */
export const scrapedQuery = 'count by (instance) (apiserver_request_total{group="",resource="namespaces"})';

/** Unknown, and so closed, unless Prometheus scrapes every API server. */
export const removedApis = beforeMinor({
  name: 'removed-apis',
  summary: 'nobody calls an API version that the target no longer serves',
  scope: 'control plane',
  async check(ctx) {
    const { metrics, target } = ctx;
    const [scraped, requested] = await Promise.all([
      metrics.query(scrapedQuery),
      metrics.query(requestedQuery),
    ]);
    assertScraped(ctx, scraped.length);
    const gone = requested.filter((sample) => sample.value > 0 && isRemoved(sample, target));
    const reasons = [...new Set(gone.map((sample) => describe(sample, target)))].sort();
    if (reasons.length === 0) return { reasons };
    const whereToLook =
      'the API server’s audit log shows the callers (k8s.io/deprecated=true); a call counts until the API server restarts';
    return { reasons, notes: [whereToLook] };
  },
});

/** @throws UpgradeError when Prometheus does not scrape every API server. */
function assertScraped({ nodes }: GateContext, seen: number): void {
  const wanted = nodes.filter((node) => node.controlPlane).length;
  if (seen > 0 && seen >= wanted) return;
  throw new UpgradeError(
    'blocked',
    `Prometheus has apiserver_request_total of ${seen} API servers, but there are ${wanted}, so calls of removed API versions may go unseen; have Prometheus scrape every API server`,
  );
}

/** An API without the label `removed_release` stays. @throws UpgradeError when that label is unreadable. */
function isRemoved({ labels }: Sample, target: Release): boolean {
  const removed = labels.removed_release ?? '';
  if (removed === '') return false;
  if (!/^\d+\.\d+$/.test(removed))
    throw new UpgradeError('blocked', `${requestedQuery} has removed_release=${JSON.stringify(removed)}`);
  return semver.gte(target, `${removed}.0`);
}

function describe({ labels }: Sample, target: Release): string {
  const { group = '', version = '', resource = '', subresource = '', removed_release: removed } = labels;
  const api = group === '' ? version : `${group}/${version}`;
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const minor = minorOf(target);
  const since = removed === minor ? '' : ` (removed in ${removed})`;
  return `${api} ${what} is still called, but ${minor} does not serve it${since}`;
}
