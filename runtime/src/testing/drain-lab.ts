import { afterEach, beforeEach, vi } from 'vitest';
import type { RequestRecord } from '../../../test/lab/api/request-log.ts';
import { type TestLab, until } from '../../../test/lab/api/testing.ts';
import type { KubeObject, Node } from '../../../test/lab/api/types.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { clusterWriter } from '../cluster/writer.ts';
import { type DrainOptions, type DrainResult, drain } from '../drain/drain.ts';
import { connect, startLab } from './api.ts';

/** A lab with the nodes `one` and `two` in front of each test, and what a test of drains asks of it. */
export class DrainLab {
  readonly lab: TestLab;
  /** What drains have told, in order. */
  readonly notices: string[] = [];

  constructor(lab: TestLab) {
    this.lab = lab;
  }

  node(name = 'one'): Node | undefined {
    return this.lab.api.store.get('nodes', undefined, name);
  }

  podsOn(name = 'one'): string[] {
    return this.lab.api.store
      .list('pods')
      .filter((pod) => pod.spec?.nodeName === name)
      .map((pod) => pod.metadata.name);
  }

  /** Puts pods in place and waits until they run and the budgets have counted them. */
  async seed(...objects: KubeObject[]): Promise<void> {
    const { api } = this.lab;
    api.apply(objects);
    await api.settled();
    await until(api, () =>
      api.store.list('pods').every((pod) => pod.status?.phase !== 'Pending') ? true : undefined,
    );
    await api.settled();
  }

  /** Drains `one`; a pod has 30 s, the whole 20 s, and a refused eviction is tried again after 0.1 s. */
  drainOne(change: Partial<DrainOptions> = {}, client = connect(this.lab)): Promise<DrainResult> {
    return drain(client, clusterWriter(client, 'k8s-upgrade'), 'one', {
      timeout: 20_000,
      gracePeriod: 30_000,
      evictionRetry: 100,
      blockedPods: [],
      signal: client.options.signal,
      onNotice: (notice) => this.notices.push(notice),
      cordon: () => cordon(client),
      ...change,
    });
  }

  /** Resolves once a drain has told something with this text in it. */
  async reported(text: string): Promise<void> {
    const found = () => {
      if (!this.notices.some((notice) => notice.includes(text))) throw new Error(`nobody said "${text}"`);
    };
    await vi.waitFor(found, { timeout: 30_000, interval: 20 });
  }

  /** Requests for an eviction that were answered. */
  get evictions(): RequestRecord[] {
    return this.lab.api.requests.matching({ subresource: 'eviction' });
  }
}

/** Cordons as the upgrade does: reads, and writes only when it must. */
async function cordon(client: KubernetesClient): Promise<'cordoned' | 'already'> {
  const found = await client.call('read node', () => client.core.readNode({ name: 'one' }));
  if (found.spec?.unschedulable === true) return 'already';
  await clusterWriter(client, 'k8s-upgrade').patchNode('one', {}, true);
  return 'cordoned';
}

/** A lab of its own for each test of the file, behind one name. */
export function drainLabs(): () => DrainLab {
  let current: DrainLab | undefined;
  beforeEach(async () => {
    current = new DrainLab(await startLab());
  });
  afterEach(() => current?.lab.stop());
  return () => {
    if (current === undefined) throw new Error('only in a test');
    return current;
  };
}
