import type { ClusterNode } from '../../cluster/nodes.ts';
import { isInProgress } from '../../rollout/node-annotations.ts';
import type { Context } from '../context.ts';

/**
 * Whether the node is drained before kubeadm, and not only before its kubelet: because `drain.before` says
 * so, or because a process has started to change its kubelet already.
 */
export const drainsFirst = ({ settings }: Pick<Context, 'settings'>, node: ClusterNode): boolean =>
  settings.drain.before === 'kubeadm' || (isInProgress(node) && !node.kubeadmOnly);
