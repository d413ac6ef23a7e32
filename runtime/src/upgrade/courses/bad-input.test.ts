import { describe, expect, it } from 'vitest';
import { InputError } from '../../errors.ts';
import { fakeContext } from '../../testing/fake-context.ts';
import { rejection } from '../../testing/files.ts';
import { runUpgrade } from '../run.ts';

const page = new InputError('prometheus.url', 'http://x answering <html>', 'the URL of Prometheus');

describe('a server that answers nonsense', () => {
  it('in the middle of a rollout is waited for, as one that does not answer', async () => {
    const { ctx, fake } = fakeContext();
    let asked = 0;
    fake.firing = async () => {
      if (fake.node('k8s-node2').soakingSince === undefined) return [];
      asked += 1;
      if (asked === 1) throw page;
      return [];
    };
    expect((await runUpgrade(ctx)).outcome).toBe('done');
    expect(asked).toBeGreaterThan(1);
  });

  it('for too long in the middle of a rollout is a closed gate, and not bad input', async () => {
    const { ctx, fake } = fakeContext();
    fake.firing = async () => {
      if (fake.node('k8s-node2').soakingSince !== undefined) throw page;
      return [];
    };
    const { outcome, message } = await runUpgrade(ctx);
    expect(outcome).toBe('blocked');
    expect(message).toContain('alerts: unknown, so closed: prometheus.url');
  });

  it('while a rollout is resumed is waited for', async () => {
    const { ctx, fake } = fakeContext({ inFlight: {} });
    let asked = 0;
    fake.firing = async () => {
      asked += 1;
      if (asked < 3) throw page;
      return [];
    };
    expect((await runUpgrade(ctx)).outcome).toBe('done');
  });

  it('before anything is changed is bad input', async () => {
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

it('what is found wrong once nodes were changed is a failure', async () => {
  const { ctx, fake } = fakeContext();
  fake.onDrain = async () => {
    throw new InputError('node k8s-node9', 'nothing', 'something');
  };
  expect(await runUpgrade(ctx)).toMatchObject({ outcome: 'failed' });
});
