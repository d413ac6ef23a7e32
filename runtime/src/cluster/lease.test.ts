import { afterAll, afterEach, beforeAll, describe, expect, it, test, vi } from 'vitest';
import type { TestLab } from '../../../test/lab/api/testing.ts';
import { ownLabels } from '../labels.ts';
import { connect, startLab } from '../testing/api.ts';
import { rejection } from '../testing/files.ts';
import { within } from '../wait.ts';
import { Lease, LeaseHeldError, readHolder } from './lease.ts';

let lab: TestLab;
const never = new AbortController().signal;
const opened: Lease[] = [];
beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab.stop());
afterEach(async () => {
  vi.restoreAllMocks();
  lab.api.faults.clear();
  for (const lease of opened.splice(0)) await lease.release();
  lab.api.store.remove('leases', 'k8s-upgrade', 'k8s-version-upgrade');
});

function lease(identity: string, duration = 1_000): Lease {
  const [runId = '', processName = ''] = identity.split('/');
  const made = new Lease(connect(lab), 'k8s-upgrade', { runId, processName }, duration);
  opened.push(made);
  return made;
}
const stored = () => lab.api.store.get('leases', 'k8s-upgrade', 'k8s-version-upgrade')?.spec;
const acquire = (one: Lease, ms = 3_000, notices: string[] = []) =>
  one.acquire(within(ms, never), (notice) => notices.push(notice));
/** Milliseconds from now until a time in a text, with this before it. */
const untilTime = (text = '', before = '') =>
  Date.parse(new RegExp(`${before}(20\\S+Z)`).exec(text)?.[1] ?? '') - Date.now();
/** Blocks this process for `ms`, as SIGSTOP does. */
const stopProcess = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
/** Another process writes itself as the holder. */
const takeOver = (holderIdentity: string, duration = 60, ago = 0) =>
  lab.api.store.modify('leases', 'k8s-upgrade', 'k8s-version-upgrade', (one) => {
    const now = new Date(Date.now() - ago).toISOString();
    one.spec = {
      ...one.spec,
      holderIdentity,
      leaseDurationSeconds: duration,
      renewTime: now,
      acquireTime: now,
    };
  });

/** Shifts the wall clock, as when it is set or after a sleep of the machine; monotonic time does not move. */
function shiftClock(ms: number): void {
  const real = Date.now;
  vi.spyOn(Date, 'now').mockImplementation(() => real() + ms);
}

describe('acquiring the lease', () => {
  it('writes the holder, which a release removes', async () => {
    const mine = lease('run/a');
    await acquire(mine);
    expect(stored()).toMatchObject({ holderIdentity: 'run/a', leaseDurationSeconds: 1, leaseTransitions: 1 });
    const holder = await readHolder(connect(lab), 'k8s-upgrade');
    expect(holder).toMatchObject({ identity: 'run/a', expired: false });
    expect(Math.abs(Date.now() - Date.parse(holder?.since ?? ''))).toBeLessThan(5_000);
    const { labels } = lab.api.store.get('leases', 'k8s-upgrade', 'k8s-version-upgrade')?.metadata ?? {};
    expect(labels).toEqual(ownLabels);
    await mine.release();
    expect(await readHolder(connect(lab), 'k8s-upgrade')).toBeUndefined();
  });

  it('is refused at once while another run holds it, and the error names that run', async () => {
    await acquire(lease('run/a'));
    const started = performance.now();
    const error = await rejection(acquire(lease('other/b')));
    expect(error).toBeInstanceOf(LeaseHeldError);
    expect(error).toMatchObject({ code: 'blocked', holder: { identity: 'run/a', expired: false } });
    expect(error.message).toMatch(/^cannot start: run\/a holds the lease k8s-version-upgrade since 20/);
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  it('is refused with the time from which on it can be taken over if the holder has died', async () => {
    await acquire(lease('run/a', 60_000));
    const notices: string[] = [];
    const { hint } = (await rejection(acquire(lease('other/b'), 3_000, notices))) as LeaseHeldError;
    expect(hint).toMatch(/^Wait for it to end .*\. If its process has died, run again after 20\S+Z\.$/);
    expect(untilTime(hint, 'after ')).toBeGreaterThan(50_000);
    expect(untilTime(hint, 'after ')).toBeLessThanOrEqual(60_000);
    expect(notices).toEqual([]);
    // It has just been renewed, but by a clock that is far behind.
    takeOver('run/a', 1, 90_000);
    setTimeout(() => takeOver('run/a', 1, 90_000), 200);
    const late = (await rejection(acquire(lease('other/c')))) as LeaseHeldError;
    expect(late.hint).not.toContain('has died');
  });

  it('reports once for whom it waits and until when', async () => {
    const notices: string[] = [];
    await acquire(lease('run/a', 60_000));
    await rejection(acquire(lease('run/b'), 700, notices));
    expect(notices).toEqual([
      expect.stringMatching(
        /^waiting for run\/a, which holds the lease k8s-version-upgrade: until 20\S+Z if it has died, at most until 20\S+Z if not$/,
      ),
    ]);
    expect(untilTime(notices[0], 'upgrade: until ')).toBeGreaterThan(50_000);
    expect(untilTime(notices[0], 'at most until ')).toBeLessThanOrEqual(700);
    takeOver('run/a', 1, 61_000);
    await acquire(lease('other/c'), 3_000, notices);
    expect(notices[1]).toMatch(/^waiting for run\/a, which holds the lease .*: until 20\S+Z if it has died$/);
    expect(notices).toHaveLength(2);
  });

  it('waits until another process of the same run releases it, at most until the deadline', async () => {
    const first = lease('run/a');
    await acquire(first);
    expect(await rejection(acquire(lease('run/b'), 300))).toBeInstanceOf(LeaseHeldError);
    const waiting = acquire(lease('run/c'));
    await first.release();
    expect(await waiting).toBe(false);
    expect(stored()).toMatchObject({ holderIdentity: 'run/c' });
  });

  it.each([
    ['run', true],
    ['other', false],
  ])('returns whether a process of its own run was killed: run, then %s', async (runId, interrupted) => {
    await acquire(lease('run/a', 60_000));
    takeOver('run/a', 0);
    expect(await acquire(lease(`${runId}/b`))).toBe(interrupted);
  });

  it('takes over an expired lease, whose holder was killed (F5)', async () => {
    const first = lease('first/x');
    await acquire(first);
    await first.release();
    takeOver('killed/a', 1, 61_000);
    expect(await readHolder(connect(lab), 'k8s-upgrade')).toMatchObject({
      identity: 'killed/a',
      expired: true,
    });
    const started = performance.now();
    await acquire(lease('other/b'));
    expect(stored()).toMatchObject({ holderIdentity: 'other/b' });
    // It has observed the lease for as long as a living holder may take to renew it.
    expect(performance.now() - started).toBeGreaterThanOrEqual(1_000);
  });

  it('as the next process of a killed run waits only for the rest of the duration', async () => {
    const first = lease('run/x');
    await acquire(first);
    await first.release();
    takeOver('run/a', 4, 1_700);
    const started = performance.now();
    expect(await acquire(lease('run/b'))).toBe(true);
    expect(performance.now() - started).toBeLessThan(3_200);
  });

  it.each([
    ['another run', 'other/b'],
    ['the same run', 'run/b'],
  ])('is refused to %s with a fast clock while the holder is alive', async (_who, identity) => {
    await acquire(lease('run/a'));
    shiftClock(90_000);
    expect(await rejection(acquire(lease(identity), 2_500))).toBeInstanceOf(LeaseHeldError);
    expect(stored()).toMatchObject({ holderIdentity: 'run/a', leaseTransitions: 1 });
  });

  test.each([
    ['no lease yet', 0],
    ['an expired lease', 1],
  ])('by many processes at once succeeds for one of them, with %s', async (_what, before) => {
    for (let n = 0; n < before; n++) {
      await acquire(lease('old/x'));
      takeOver('old/x', 0);
    }
    const all = ['a', 'b', 'c', 'd'].map((runId) => lease(`${runId}/p`, 30_000));
    const results = await Promise.allSettled(all.map((one) => acquire(one)));
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(LeaseHeldError);
    }
  });
});

describe('holding the lease', () => {
  it('renews it for as long as the process is alive', async () => {
    const mine = lease('run/a');
    await acquire(mine);
    const [first] = [stored()?.renewTime];
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    expect(stored()?.renewTime).not.toBe(first);
    await mine.assertHeld();
    expect(await rejection(acquire(lease('other/b')))).toBeInstanceOf(LeaseHeldError);
  });

  it('continues after a stop of the process during which no other took the lease', async () => {
    const mine = lease('run/a');
    await acquire(mine);
    stopProcess(1_100);
    await mine.assertHeld();
    expect(stored()).toMatchObject({ holderIdentity: 'run/a', leaseTransitions: 1 });
    expect(await mine.isLost()).toBe(false);
  });

  it('releases it after a stop of the process, but not the lease of another one', async () => {
    const mine = lease('run/a');
    await acquire(mine);
    stopProcess(800);
    await mine.release();
    expect(stored()).toMatchObject({ holderIdentity: '' });
    const another = lease('run/b');
    await acquire(another);
    stopProcess(1_100);
    takeOver('other/c');
    await another.release();
    expect(stored()).toMatchObject({ holderIdentity: 'other/c' });
  });

  it('does not write after a stop of the process during which another took the lease', async () => {
    const mine = lease('run/a');
    await acquire(mine);
    stopProcess(1_100);
    takeOver('other/b');
    const error = await rejection(mine.assertHeld());
    expect(error).toBeInstanceOf(LeaseHeldError);
    expect(error.message).toContain('stopped before the next write: other/b holds the lease');
    expect(await mine.isLost()).toBe(true);
    await mine.release();
    expect(stored()).toMatchObject({ holderIdentity: 'other/b' });
  });

  it('does not write after its machine slept, during which monotonic time stands still', async () => {
    const mine = lease('run/a', 60_000);
    await acquire(mine);
    takeOver('other/b');
    shiftClock(61_000);
    expect(await rejection(mine.assertHeld())).toBeInstanceOf(LeaseHeldError);
  });

  it('trusts a renewal for less time than others have to wait', async () => {
    const mine = lease('run/a', 3_000);
    await acquire(mine);
    stopProcess(2_100);
    takeOver('other/b');
    expect(await rejection(mine.assertHeld())).toBeInstanceOf(LeaseHeldError);
  });

  it('notices a loss at the next renewal, even if the last one is still trusted', async () => {
    const mine = lease('run/a', 3_000);
    await acquire(mine);
    takeOver('other/b');
    await mine.assertHeld();
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    expect(await rejection(mine.assertHeld())).toBeInstanceOf(LeaseHeldError);
  });

  it('ends when the Lease object is deleted', async () => {
    const mine = lease('run/a');
    await acquire(mine);
    stopProcess(1_100);
    lab.api.store.remove('leases', 'k8s-upgrade', 'k8s-version-upgrade');
    expect((await rejection(mine.assertHeld())).message).toContain('nobody holds the lease');
  });

  it('survives an API server that is away or answers late', async () => {
    const mine = lease('run/a');
    await acquire(mine);
    lab.api.faults.add({ match: { resource: 'leases' }, times: 2, action: { reset: 'after' } });
    lab.api.faults.add({ match: { resource: 'leases' }, times: 1, action: { status: 503 } });
    stopProcess(1_100);
    await mine.assertHeld();
    expect(stored()).toMatchObject({ holderIdentity: 'run/a' });
  });

  it.each(['while it is renewed', 'afterwards'])(
    'gives up the release without the API server %s',
    async (when) => {
      const mine = lease('run/a');
      await acquire(mine);
      lab.api.faults.add({ match: { resource: 'leases' }, action: { reset: 'before' } });
      if (when === 'while it is renewed') {
        stopProcess(1_100);
        void mine.assertHeld().catch(() => {});
      }
      const started = performance.now();
      await mine.release();
      expect(performance.now() - started).toBeLessThan(4_000);
      lab.api.faults.clear();
      // Nothing is retried in the background, which would keep the process alive.
      lab.api.requests.clear();
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      expect(lab.api.requests.matching({ resource: 'leases' })).toEqual([]);
    },
  );

  it('stops the writes of a client once another process has taken over', async () => {
    const mine = lease('run/a');
    await acquire(mine);
    const client = connect(lab);
    client.guardWrites(() => mine.assertHeld());
    const write = () =>
      client.call('create x', () =>
        client.core.createNamespacedConfigMap({
          namespace: 'apps',
          body: { metadata: { generateName: 'x-' } },
        }),
      );
    await write();
    stopProcess(1_100);
    takeOver('other/b');
    expect(await rejection(write())).toBeInstanceOf(LeaseHeldError);
    expect(
      lab.api.store.list('configmaps', 'apps').filter((map) => map.metadata.name.startsWith('x-')),
    ).toHaveLength(1);
  });
});
