import { ApiException, type V1DaemonSet, type V1Deployment } from '@kubernetes/client-node';
import { expect, it, test } from 'vitest';
import { ApiError } from '../../cluster/api-error.ts';
import { addOnsIn } from '../../cluster/kubeadm-add-ons.ts';
import type { SettingsInput } from '../../settings/settings.ts';
import { testSettings } from '../../testing/cluster.ts';
import { inFlightSince } from '../../testing/fake-context.ts';
import { checkGates, type GateContext } from '../gate.ts';
import { addOnsAfter } from './addons-after.ts';

const workload = (name: string, spec: object = {}): V1DaemonSet & V1Deployment =>
  ({
    metadata: { name },
    spec: { template: { spec: { containers: [{ name, image: `${name}:v1` }], ...spec } } },
  }) as V1DaemonSet & V1Deployment;
const proxy = workload('kube-proxy');
const dns = workload('coredns');

interface Case {
  readonly before?: string;
  readonly now?: { readonly proxy?: V1DaemonSet; readonly dns?: V1Deployment };
  readonly gates?: SettingsInput['gates'];
}

async function check({ before, now = { proxy, dns }, gates = {} }: Case) {
  const ctx = {
    inFlight: inFlightSince(Date.now(), { addOns: before }),
    settings: testSettings({ gates }),
    client: {
      options: { signal: new AbortController().signal },
      call: (_what: string, request: () => Promise<unknown>) => request(),
      core: {
        readNamespacedConfigMap: async () => ({ data: { ClusterConfiguration: 'apiVersion: v1beta4\n' } }),
      },
      apps: {
        async readNamespacedDaemonSet() {
          if (now.proxy === undefined) throw new ApiError('read', new ApiException(404, '', {}, {}));
          return now.proxy;
        },
        listNamespacedDeployment: async () => ({ items: now.dns === undefined ? [] : [now.dns] }),
      },
    },
  } as unknown as GateContext;
  const [verdict] = await checkGates([addOnsAfter], ctx);
  if (verdict === undefined) throw new Error('no verdict');
  return verdict;
}

it('F33: is open for what is as it was, whatever the image', async () => {
  const newer = workload('kube-proxy');
  Object.assign(newer.spec?.template.spec?.containers[0] ?? {}, { image: 'kube-proxy:v2' });
  const before = addOnsIn({ proxy, dns });
  expect(await check({ before, now: { proxy: newer, dns } })).toMatchObject({ open: true, notes: [] });
  const none = addOnsIn({ proxy: undefined, dns: undefined });
  expect(none).toBe('kube-proxy=absent coredns=absent');
  expect(await check({ before: none, now: {} })).toMatchObject({ open: true, notes: [] });
});

it('F33: is closed by an add-on that was not there when the rollout started', async () => {
  const before = addOnsIn({ proxy: undefined, dns });
  const { open, reasons } = await check({ before });
  expect(open).toBe(false);
  expect(reasons).toEqual([expect.stringContaining('kube-proxy is in kube-system and was not before')]);
  expect(reasons[0]).toContain('kubeadm.skipPhases: [addon/kube-proxy]');
  expect((await check({ before, gates: { acceptChanges: ['kube-proxy'] } })).open).toBe(true);
});

test.each([
  [
    'changed',
    { proxy, dns: workload('coredns', { nodeSelector: { a: 'b' } }) },
    'coredns has changed beyond',
  ],
  ['gone', { proxy }, 'coredns is gone'],
])('an add-on that is %s is named', async (_what, now, note) => {
  const verdict = await check({ before: addOnsIn({ proxy, dns }), now });
  expect(verdict).toMatchObject({ open: true, notes: [expect.stringContaining(note)] });
});

it('does not compare without a record', async () => {
  expect(await check({})).toMatchObject({ open: true, notAsked: expect.stringContaining('no record') });
});
