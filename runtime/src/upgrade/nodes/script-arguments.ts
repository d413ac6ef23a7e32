import type { Context } from '../context.ts';

/** `master` runs `kubeadm upgrade apply`, once per rollout; `worker` runs `kubeadm upgrade node`. */
export type NodeRole = 'master' | 'worker';

/** The arguments of update_k8s.sh for a node in this role. */
export function scriptArguments({ request, settings }: Context, role: NodeRole): string[] {
  const { skipPhases, ignorePreflightErrors } = settings.kubeadm;
  return [
    '--role',
    role,
    '--release',
    request.target,
    ...option('--skip-phases', skipPhases),
    ...option('--ignore-preflight-errors', ignorePreflightErrors),
  ];
}

const option = (flag: string, values: readonly string[]): string[] =>
  values.length > 0 ? [flag, values.join(',')] : [];
