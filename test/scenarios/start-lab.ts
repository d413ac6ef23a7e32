import { describe, it } from 'vitest';
import { parseDuration } from '../../runtime/src/duration.ts';
import { type AnyLab, Lab, type LabOptions } from '../lab/lab.ts';

/**
 * Where scenarios are played: in a lab with the embedded API server, or with `LAB_API=real` in one with a
 * real control plane, as `LAB_API=real npx vitest run test/scenarios/skew.slow.test.ts`. A real one is built
 * by `test/conformance/build.sh`.
 */
const choice = process.env.LAB_API ?? 'embedded';
if (choice !== 'embedded' && choice !== 'real')
  throw new Error(`LAB_API: "${choice}" is not allowed; expected embedded or real`);

export async function startLab(options: LabOptions = {}): Promise<AnyLab> {
  if (choice === 'embedded') return Lab.start(options);
  // Loaded when it is needed: whoever plays in the embedded lab needs nothing of it.
  const { startRealLab } = await import('../conformance/real-api.ts');
  return startRealLab(options);
}

/**
 * For scenarios that need what only the embedded API server has, such as its faults: the type of `startLab`'s
 * lab has that, too. With `LAB_API=real` they are skipped, by name.
 */
export const embedded = {
  /** For a test that has no meaning on a real one, and is not even skipped there. */
  isChosen: choice === 'embedded',
  startLab: (options: LabOptions = {}): Promise<Lab> => Lab.start(options),
  it: it.skipIf(choice === 'real'),
  describe: describe.skipIf(choice === 'real'),
} as const;

/** Leaves the cluster as `kubeadm upgrade apply` on its only control-plane node does. */
export async function applied({ api }: Pick<AnyLab, 'api'>, node: string, release: string): Promise<void> {
  const hooks = api.hooks(node);
  hooks.onControlPlaneUpgraded?.(release);
  hooks.onAddOnUpgraded?.('kube-proxy', `registry.k8s.io/kube-proxy:v${release}`);
  await api.settled();
}

/** The longer duration: what a scenario needs, or what its API server does. */
export const atLeast = (needed: string, given = ''): string =>
  (parseDuration(given) ?? 0) < (parseDuration(needed) ?? 0) ? needed : given;
