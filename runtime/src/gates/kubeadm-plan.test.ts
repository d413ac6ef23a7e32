import { describe, expect, it } from 'vitest';
import type { ClusterNode } from '../cluster/nodes.ts';
import { parseRelease } from '../release.ts';
import { remaining } from '../rollout/remaining.ts';
import { clusterNode, testSettings } from '../testing/cluster.ts';
import type { GateContext } from './gate.ts';
import { kubeadmPlan } from './kubeadm-plan.ts';

describe('the gate kubeadm-plan', () => {
  const target = parseRelease('test', '1.34.5');
  const master = clusterNode('k8s-master', { controlPlane: true });
  const offer = { code: 0, output: 'You can now apply the upgrade:\n\n\tkubeadm upgrade apply v1.34.5\n' };

  type Answer = { code: number; output: string };

  /** Checks the gate; `commands` are the commands that ran on a node. */
  async function check(
    nodes: ClusterNode[],
    answers: { plan?: Answer | Answer[] } = {},
    more: Partial<GateContext> = {},
  ) {
    const commands: string[] = [];
    const plans = [answers.plan ?? []].flat();
    const read = async ({ name }: { name: string }, words: readonly string[]) => {
      commands.push(`${name}: ${words.join(' ')}`);
      return plans.shift() ?? { code: 1, output: 'not expected' };
    };
    const server = more.server ?? nodes.find((node) => node.controlPlane)?.release ?? target;
    const cluster = {
      nodes: async () => nodes,
      serverRelease: async () => server,
      apiServers: async () => [],
    };
    const findings = await kubeadmPlan.check({
      nodes,
      cluster,
      remaining: () => remaining(cluster, target),
      target,
      shell: { read },
      settings: testSettings(),
      ...more,
    } as unknown as GateContext);
    return { ...findings, commands };
  }

  it('is open when kubeadm offers the target', async () => {
    const { reasons, commands } = await check([clusterNode('k8s-node1'), master], { plan: offer });
    expect(reasons).toEqual([]);
    expect(commands).toEqual(['k8s-master: kubeadm upgrade plan v1.34.5']);
  });

  it('runs no plan on a control plane that is at the target already (F9)', async () => {
    const { reasons, commands } = await check([{ ...master, release: target }]);
    expect([reasons, commands]).toEqual([[], []]);
  });

  it('runs the plan when only the kubelet is at the target', async () => {
    const nodes = [{ ...master, release: target }];
    const server = parseRelease('test', '1.34.2');
    expect((await check(nodes, { plan: offer }, { server })).commands).toHaveLength(1);
  });

  it('runs no plan on a control plane in progress: kubeadm may still be running there', async () => {
    const startedAt = Date.now() - 60_000;
    const inFlight = { startedAt } as NonNullable<GateContext['inFlight']>;
    const inProgress = { ...master, changedAt: startedAt + 1, unfinished: true };
    expect((await check([inProgress], {}, { inFlight })).commands).toEqual([]);
    expect((await check([inProgress], {}, { inFlight })).reasons).toEqual([]);
    const others = [
      { ...inProgress, changedAt: startedAt - 1 },
      // Only the stage containerd has changed it.
      { ...inProgress, unfinished: false },
    ];
    for (const node of others)
      expect((await check([node], { plan: offer }, { inFlight })).commands).toHaveLength(1);
  });

  it('runs no plan when the API server is at the target and only its kubelet is behind', async () => {
    const { reasons, commands } = await check([master], {}, { server: target });
    expect([reasons, commands]).toEqual([[], []]);
  });

  it.each([
    ['another version', { code: 0, output: 'kubeadm upgrade apply v1.34.50' }, 'does not offer it'],
    [
      'an error',
      { code: 1, output: 'a\nb\n[FATAL] etcd is unhealthy' },
      '(exit 1) does not offer it: a / b / [FATAL]',
    ],
    ['no output', { code: 0, output: '' }, 'does not offer it: no output'],
  ])('is closed by a plan with %s', async (_what, plan, reason) => {
    const { reasons } = await check([master], { plan });
    expect(reasons).toEqual([expect.stringContaining(reason)]);
    expect(reasons[0]).toContain('kubeadm upgrade plan v1.34.5 on k8s-master');
  });

  const createJob =
    '[ERROR CreateJob]: Job "upgrade-health-check-x7k2p" in the namespace "kube-system" did not complete in 15s';
  const refused = (error: string) => ({
    code: 1,
    output: `[preflight] Some fatal errors occurred:\n\t${error}\n[preflight] If you know what you are doing, …\nTo see the stack trace …`,
  });

  it("runs the plan once more when kubeadm's health check timed out", async () => {
    const late = refused(createJob);
    const { reasons, commands } = await check([master], { plan: [late, offer] });
    expect(reasons).toEqual([]);
    expect(commands.filter((command) => command.includes(' plan '))).toHaveLength(2);
    const twice = await check([master], { plan: [late, late, offer] });
    expect(twice.reasons).toEqual([expect.stringContaining(`does not offer it: ${createJob}`)]);
  });

  it('F21: passes the errors to ignore to kubeadm, and names the settings that keep a CoreDNS that it refuses', async () => {
    const ignorePreflightErrors = ['CoreDNSMigration', 'CreateJob'];
    const settings = testSettings({ kubeadm: { ignorePreflightErrors } });
    const { commands } = await check([master], { plan: offer }, { settings });
    expect(commands[0]).toBe(
      'k8s-master: kubeadm upgrade plan v1.34.5 --ignore-preflight-errors=CoreDNSMigration,CreateJob',
    );
    const { reasons } = await check([master], {
      plan: refused("[ERROR CoreDNSMigration]: CoreDNS will not be upgraded: start version '1.14.0'"),
    });
    expect(reasons).toEqual([
      expect.stringMatching(/: \[ERROR CoreDNSMigration\]: .* set kubeadm\.skipPhases to \[addon\/coredns\]/),
    ]);
  });

  it('is closed without a control-plane node', async () => {
    expect((await check([clusterNode('k8s-node1')])).reasons).toHaveLength(1);
  });
});
