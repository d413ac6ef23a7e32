import { describe, expect, it } from 'vitest';
import type { Observable, Observation } from '../cluster/observation.ts';
import type { Gate } from '../gates/gate.ts';
import { afterControlPlaneGates } from '../gates/index.ts';
import { fakeContext } from '../testing/fake-context.ts';
import { pause } from '../wait.ts';
import type { Context } from './context.ts';
import { waitForGates } from './wait-for-gates.ts';

const hour = { gates: { alertWait: '1h', alertInterval: '1h' } };

/** A context whose cluster changes when `change` is called. */
function observedContext() {
  const { ctx, fake } = fakeContext({ settings: hour });
  const observed: (readonly Observable[])[] = [];
  let change = () => {};
  const next: Observation['next'] = (wait) => {
    const changed = new AbortController();
    change = () => changed.abort();
    const signal = AbortSignal.any([wait.signal, changed.signal]);
    return pause(Number.POSITIVE_INFINITY, { ...wait, signal }).catch(() => {});
  };
  const observe: Context['cluster']['observe'] = async (what) => {
    observed.push(what);
    return { next };
  };
  return {
    ctx: { ...ctx, cluster: { ...ctx.cluster, observe } },
    fake,
    observed,
    change: () => change(),
  };
}

describe('waiting for gates', () => {
  it('ends soon after the cluster has changed, however long the interval is', async () => {
    const { ctx, fake, observed, change } = observedContext();
    fake.change('k8s-master', { ready: false });
    // After the second check, which comes a second after the first.
    setTimeout(() => {
      fake.change('k8s-master', { ready: true });
      change();
    }, 1_500);
    await waitForGates(ctx, afterControlPlaneGates, 'after the control plane');
    expect(observed).toEqual([['nodes', 'control-plane pods']]);
  });

  it('finds what has changed between the first check and the start of the observation', async () => {
    const { ctx, fake } = observedContext();
    fake.change('k8s-master', { ready: false });
    setTimeout(() => fake.change('k8s-master', { ready: true }), 10);
    await waitForGates(ctx, afterControlPlaneGates, 'after the control plane');
  });

  it('checks at most once a second, however often the cluster changes', async () => {
    const { ctx } = fakeContext({ settings: { gates: { alertWait: '2500ms', alertInterval: '1h' } } });
    let checks = 0;
    const closed: Gate = {
      name: 'closed',
      summary: 'it is open',
      outcomeWhenClosed: 'blocked',
      opensByWaiting: true,
      observes: ['nodes'],
      async check() {
        checks += 1;
        return { reasons: ['no'] };
      },
    };
    const observe = async () => ({ next: async () => {} });
    const cluster = { ...ctx.cluster, observe };
    await expect(waitForGates({ ...ctx, cluster }, [closed], 'here')).rejects.toThrow('stopped here');
    expect(checks).toBeGreaterThan(1);
    expect(checks).toBeLessThanOrEqual(4);
  });
});
