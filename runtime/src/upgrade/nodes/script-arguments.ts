import type { Context } from '../context.ts';

/** `master` runs `kubeadm upgrade apply`, once per rollout; `worker` runs `kubeadm upgrade node`. */
export type NodeRole = 'master' | 'worker';

/** One of the two steps of update_k8s.sh. */
export type Step = 'kubeadm' | 'kubelet';

/** The arguments of update_k8s.sh that prepare a node of this role. */
export const prepareArguments = (ctx: Context, role: NodeRole): string[] => [
  '--prepare',
  ...commonArguments(ctx, role),
];

/**
 * The arguments of update_k8s.sh that upgrade a node of this role.
 *
 * @param step only this one. @default both
 */
export function upgradeArguments(ctx: Context, role: NodeRole, step?: Step): string[] {
  // The gate `kubeadm-plan` has asked, and `kubeadm upgrade apply` makes the same checks.
  const isPlanned = role === 'master' && step !== 'kubelet' && ctx.request.stages.includes('preflight');
  return [
    ...commonArguments(ctx, role),
    ...option('--steps', step === undefined ? [] : [step]),
    ...(isPlanned ? ['--planned'] : []),
  ];
}

function commonArguments({ request, settings }: Context, role: NodeRole): string[] {
  const { skipPhases, ignorePreflightErrors, patches } = settings.kubeadm;
  return [
    '--role',
    role,
    '--release',
    request.target,
    ...option('--skip-phases', skipPhases),
    ...option('--ignore-preflight-errors', ignorePreflightErrors),
    ...option('--patches', patches === undefined ? [] : [patches]),
  ];
}

const option = (flag: string, values: readonly string[]): string[] =>
  values.length > 0 ? [flag, values.join(',')] : [];
