import { controlPlaneFirst } from '../gates/gates.ts';
import type { Context } from './context.ts';
import { waitForGates } from './wait-for-gates.ts';

/**
 * Refuses stages that cannot go first, before any of them changes a node.
 *
 * @throws BlockedError
 */
export async function checkOrder(ctx: Context): Promise<void> {
  const { stages } = ctx.request;
  if (!stages.includes('workers') || stages.includes('master')) return;
  await waitForGates(ctx, [controlPlaneFirst], 'before the first stage');
}
