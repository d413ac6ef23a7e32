import { afterEach, beforeEach, vi } from 'vitest';
import type { RequestRecord } from '../../../test/lab/api/request-log.ts';
import { type TestLab, until } from '../../../test/lab/api/testing.ts';
import type { KubeObject, Node } from '../../../test/lab/api/types.ts';
import type { KubernetesClient } from '../cluster/client.ts';
import { clusterWriter } from '../cluster/writer.ts';
import { type DrainOptions, type DrainResult, drain } from '../drain/drain.ts';
import { connect, startLab } from './api.ts';

/** A lab with the nodes `one` and `two`, and what a test of drains does with it. */
export class DrainLab {
  /** The API and its controllers. */
  readonly lab: TestLab;
  /** Notices of drains, in order. */
  readonly notices: string[] = [];

  constructor(lab: TestLab) {
    this.lab = lab;
  }

  /** The Node object as it is now. */
  node(name = 'one'): Node | undefined {
    return this.lab.api.store.get('nodes', undefined, name);
  }

  /** The names of the pods on a node. */
  podsOn(name = 'one'): string[] {
    return this.lab.api.store
      .list('pods')
      .filter((pod) => pod.spec?.nodeName === name)
      .map((pod) => pod.metadata.name);
  }

  /** Creates objects and waits until the pods run and the budgets have counted them. */
  async seed(...objects: KubeObject[]): Promise<void> {
    const { api } = this.lab;
    api.apply(objects);
    await api.settled();
    await until(api, () =>
      api.store.list('pods').every((pod) => pod.status?.phase !== 'Pending') ? true : undefined,
    );
    await api.settled();
  }

  /**
   * Drains `one` with a grace period of 30 s, a time-out of 20 s, and 0.1 s between attempts to evict a pod.
   */
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

  /** Resolves once a notice contains this text; throws after 30 s. */
  async reported(text: string): Promise<void> {
    const found = () => {
      if (!this.notices.some((notice) => notice.includes(text)))
        throw new Error(`no notice contains "${text}"`);
    };
    await vi.waitFor(found, { timeout: 30_000, interval: 20 });
  }

  /** The requests for evictions that were answered. */
  get evictions(): RequestRecord[] {
    return this.lab.api.requests.matching({ subresource: 'eviction' });
  }
}

/** Cordons `one` as the upgrade does: reads first, writes only when necessary. */
async function cordon(client: KubernetesClient): Promise<'cordoned' | 'already'> {
  const found = await client.call('read node', () => client.core.readNode({ name: 'one' }));
  if (found.spec?.unschedulable === true) return 'already';
  await clusterWriter(client, 'k8s-upgrade').patchNode('one', {}, true);
  return 'cordoned';
}

/** A separate lab for each test of the file. Returns the one of the current test. */
export function drainLabs(): () => DrainLab {
  let current: DrainLab | undefined;
  beforeEach(async () => {
    current = new DrainLab(await startLab());
  });
  afterEach(() => current?.lab.stop());
  return () => {
    if (current === undefined) throw new Error('there is a lab only during a test');
    return current;
  };
}
