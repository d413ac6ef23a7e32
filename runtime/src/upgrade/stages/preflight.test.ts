import { describe, expect, it } from 'vitest';
import { blockedPodsLabs, rule } from '../../testing/blocked-pods.ts';
import { preflight } from './preflight.ts';

const { context, seed, unchanged } = blockedPodsLabs();

describe('pods that may be deleted, at preflight', () => {
  it.each([[false], [true]])('reports them; resumed: %s', async (resumed) => {
    await seed();
    const { ctx, fake } = context([rule], resumed);
    await preflight.run(ctx).catch(() => {});
    await ctx.report.flush();
    const reported = fake.events.flatMap((event) => (event.type === 'notice' ? [event.text] : []));
    expect(reported.filter((text) => text.includes('will be deleted'))).toEqual([
      expect.stringMatching(
        /^drain: one pod will be deleted if the eviction stays refused:\n {2}- apps\/web on two: /,
      ),
    ]);
    unchanged();
  });
});
