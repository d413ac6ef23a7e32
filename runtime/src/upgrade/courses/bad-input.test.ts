import { describe, expect, it } from 'vitest';
import { InputError } from '../../errors.ts';
import { fakeContext } from '../../testing/fake-context.ts';
import { rejection } from '../../testing/files.ts';
import { runUpgrade } from '../run.ts';

const page = new InputError('prometheus.url', 'http://x answering <html>', 'the URL of Prometheus');

describe('an unreadable answer of a server', () => {
  it('during a rollout is waited for, like no answer', async () => {
    const { ctx, fake } = fakeContext();
    let queries = 0;
    fake.firing = async () => {
      if (fake.node('k8s-node2').soakingSince === undefined) return [];
      queries += 1;
      if (queries === 1) throw page;
      return [];
    };
    expect((await runUpgrade(ctx)).outcome).toBe('done');
    expect(queries).toBeGreaterThan(1);
  });

  it('during a rollout is a closed gate after the wait, not bad input', async () => {
    const { ctx, fake } = fakeContext();
    fake.firing = async () => {
      if (fake.node('k8s-node2').soakingSince !== undefined) throw page;
      return [];
    };
    const { outcome, message } = await runUpgrade(ctx);
    expect(outcome).toBe('blocked');
    expect(message).toContain('alerts: unknown, so closed: prometheus.url');
  });

  it('is waited for while a rollout resumes', async () => {
    // On a busy machine every gate of preflight takes its time, three times.
    const gates = { alertWait: '10s', alertInterval: '5ms' };
    const { ctx, fake } = fakeContext({ inFlight: {}, settings: { gates } });
    let queries = 0;
    fake.firing = async () => {
      queries += 1;
      if (queries < 3) throw page;
      return [];
    };
    expect((await runUpgrade(ctx)).outcome).toBe('done');
  });

  it('is bad input before anything is changed', async () => {
    const { ctx, fake } = fakeContext();
    const repository = {
      hasMinor: async () => true,
      packages: async () => {
        throw new InputError('packages.repository', 'HTML', 'a Packages file');
      },
    };
    expect(await rejection(runUpgrade({ ...ctx, repository }))).toMatchObject({ code: 'badInput' });
    expect(fake.effects).toEqual([]);
  });
});

it('bad input that is found after nodes were changed is a failure', async () => {
  const { ctx, fake } = fakeContext();
  fake.onDrain = async () => {
    throw new InputError('node k8s-node9', 'nothing', 'something');
  };
  expect(await runUpgrade(ctx)).toMatchObject({ outcome: 'failed' });
});
