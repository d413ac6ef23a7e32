import type { ClusterNode, NodeFacts } from '../../cluster/nodes.ts';
import { hashesIn } from '../../cluster/static-pods.ts';
import { UpgradeError } from '../../errors.ts';
import { type Wait, within } from '../../wait.ts';
import type { Context } from '../context.ts';

/**
 * Waits until a node is up after its script, which has restarted the kubelet: Ready at the target by a report
 * of that kubelet and, on a control-plane node, with static pods that have survived the restart (F69). What
 * the kubelet before it reported does not count. In a dry-run nothing was restarted.
 *
 * @throws TimeoutError when it takes longer than `timing.nodeReady`, plus `timing.staticPods` for static
 *   pods; ConnectionError or UpgradeError when the node does not tell when its kubelet started.
 */
export async function becomeReady(ctx: Context, node: ClusterNode): Promise<void> {
  if (ctx.request.dryRun) return;
  const { name, controlPlane } = node;
  const { target } = ctx.request;
  const { nodeReady, staticPods } = ctx.settings.timing;
  const waitForNode = within(nodeReady, ctx.signal);
  const untilUp = within(nodeReady + staticPods, ctx.signal);
  const kubeletStart = await startOfKubelet(ctx, node);
  const isUp = (now: NodeFacts) => now.ready && now.release === target && now.reportedAt >= kubeletStart;
  await ctx.cluster.waitForNode(name, `waiting for ${name} to be Ready at ${target}`, isUp, waitForNode);
  if (controlPlane) await waitForStaticPods(ctx, node, kubeletStart, untilUp);
}

/**
 * Waits until the static pods of a control-plane node are Ready after kubeadm has replaced them. Returns at
 * once for a worker, and in a dry-run. The kubelet probes a new container only after ten seconds, so the node
 * is asked in the meantime.
 *
 * @throws TimeoutError after `timing.nodeReady` plus `timing.staticPods`; otherwise as `becomeReady`.
 */
export async function awaitStaticPods(ctx: Context, node: ClusterNode): Promise<void> {
  if (!node.controlPlane || ctx.request.dryRun) return;
  const { nodeReady, staticPods } = ctx.settings.timing;
  const wait = within(nodeReady + staticPods, ctx.signal);
  const answers = (probe: string) => answersProbe(ctx, node, probe);
  await waitForStaticPods(ctx, node, await startOfKubelet(ctx, node), wait, answers);
}

function waitForStaticPods(
  ctx: Context,
  node: ClusterNode,
  kubeletStart: number,
  wait: Wait,
  answers?: (probe: string) => Promise<boolean>,
): Promise<void> {
  const { staticPods: settle } = ctx.settings.timing;
  const listed = () => listedStaticPods(ctx, node);
  const of = { node: node.name, kubeletStart, settle, listed, ...(answers && { answers }) };
  return ctx.cluster.waitForStaticPods(of, wait);
}

/**
 * Asks the node's kubelet for its static pods, through the API server as the administrator of the node: the
 * pipeline itself may not (`nodes/proxy` is as much as root on every node).
 */
async function listedStaticPods(ctx: Context, node: ClusterNode): Promise<ReadonlySet<string>> {
  const path = `/api/v1/nodes/${node.name}/proxy/pods`;
  return hashesIn((await getRaw(ctx, node, ['--kubeconfig=/etc/kubernetes/admin.conf'], path)) ?? '');
}

/**
 * Flags with which kubectl sends nobody's credentials, whose recipient a pod's manifest names. Without a user
 * name it asks for one. Components ignore it, and answer probes to everybody.
 */
const anonymous = ['--kubeconfig=/dev/null', '--username=probe', '--password=probe'];

/**
 * Asks what runs on the node as its kubelet does: from there, as nobody, whatever the certificate.
 *
 * @param probe a URL.
 */
async function answersProbe(ctx: Context, node: ClusterNode, probe: string): Promise<boolean> {
  const { origin, pathname, search } = new URL(probe);
  const flags = [...anonymous, `--server=${origin}`, '--insecure-skip-tls-verify'];
  return (await getRaw(ctx, node, flags, pathname + search)) !== undefined;
}

/**
 * The answer to a GET that kubectl makes on the node; undefined when there is none, for any reason. Whoever
 * asks this way can do without, and has other ways to wait.
 */
async function getRaw(
  { shell, signal }: Context,
  node: ClusterNode,
  flags: readonly string[],
  path: string,
): Promise<string | undefined> {
  try {
    const words = ['kubectl', ...flags, '--request-timeout=5s', 'get', '--raw', path];
    const { code, output } = await shell.read(node, words);
    return code === 0 ? output : undefined;
  } catch (error) {
    if (signal.aborted || !(error instanceof UpgradeError)) throw error;
    return undefined;
  }
}

/**
 * The second in which the node's kubelet started, epoch milliseconds. By the node's clock, as are the times
 * in what that kubelet reports, so that this machine's clock does not matter.
 */
async function startOfKubelet(
  { shell }: Context,
  node: Pick<ClusterNode, 'name' | 'address'>,
): Promise<number> {
  const { code, output } = await shell.read(node, [
    ...['env', 'TZ=UTC', 'systemctl', 'show', 'kubelet'],
    '--property=ExecMainStartTimestamp',
  ]);
  const [, day, time] = /^ExecMainStartTimestamp=\w+ ([\d-]+) ([\d:]+) UTC$/m.exec(output) ?? [];
  const start = code === 0 ? Date.parse(`${day}T${time}Z`) : Number.NaN;
  if (!Number.isNaN(start)) return start;
  throw new UpgradeError(
    'failed',
    `systemctl show kubelet on ${node.name} does not tell when the kubelet started: ${output.trim() || 'no output'}`,
  );
}
