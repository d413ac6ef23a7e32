import { describe, expect, it } from 'vitest';
import type { StaticPodsWait } from '../../cluster/static-pods.ts';
import { ConnectionError } from '../../ssh/session.ts';
import { type FakeOptions, fakeContext, master } from '../../testing/fake-context.ts';
import { effectsOn, kubeadmStep, kubeletStep, run, target, worker } from '../../testing/run.ts';
import { TimeoutError } from '../../wait.ts';

const start = Date.parse('2026-03-01T10:00:30Z');
const text = 'ExecMainStartTimestamp=Sun 2026-03-01 10:00:30 UTC';

/** A run that finds `k8s-node1` cordoned at the target, and whose kubelets start at 10:00:30. */
function resumed(output = text, options: FakeOptions = {}) {
  const inProgress = {
    release: target,
    changedAt: Date.now() - 1_000,
    cordonedByUs: true,
    unschedulable: true,
  };
  const made = fakeContext({
    inFlight: {},
    nodes: [master({ release: target }), worker('k8s-node1', inProgress)],
    server: '1.34.5',
    ...options,
  });
  const { read } = made.ctx.shell;
  made.ctx.shell.read = async (node, words) => (words[0] === 'env' ? { code: 0, output } : read(node, words));
  return made;
}

describe('a node after its script (F69)', () => {
  it.each([
    ['before its kubelet was restarted', start - 1_000, 'failed'],
    ['since its kubelet was restarted', start, 'done'],
  ])('that reported Ready %s, at the same release', async (_when, reportedAt, outcome) => {
    const { ctx, fake } = resumed();
    fake.change('k8s-node1', { reportedAt });
    expect(await run({ ctx })).toMatchObject({ outcome });
    expect(fake.node('k8s-node1').unschedulable).toBe(outcome === 'failed');
  });

  it.each(['ExecMainStartTimestamp=', 'Unit kubelet.service not found.', ''])(
    'that does not tell when its kubelet started (“%s”) stays cordoned',
    async (output) => {
      const { ctx, fake } = resumed(output);
      expect(await run({ ctx })).toMatchObject({
        outcome: 'failed',
        message: `systemctl show kubelet on k8s-node1 does not tell when the kubelet started: ${output || 'no output'}`,
        hint: expect.stringMatching(/^k8s-node1 stays cordoned at 1\.34\.5\. See journalctl -u kubelet/),
      });
      expect(fake.node('k8s-node1').unschedulable).toBe(true);
    },
  );

  it('is not asked in a dry-run, which restarts no kubelet', async () => {
    const { ctx } = resumed('');
    expect(await run({ ctx: { ...ctx, request: { ...ctx.request, dryRun: true } } })).toMatchObject({
      outcome: 'done',
    });
  });

  it('is drained and uncordoned only after its static pods are certain; a worker has none', async () => {
    const { ctx, fake } = fakeContext();
    fake.onStaticPods = async (node) => void fake.effects.push(`${node} static pods`);
    expect(await run({ ctx })).toMatchObject({ outcome: 'done' });
    expect(effectsOn(fake, 'k8s-master').slice(3)).toEqual([
      kubeadmStep('k8s-master', 'master'),
      'k8s-master static pods',
      'k8s-master cordon cordoned',
      'k8s-master drain',
      'k8s-master annotate unfinished-',
      kubeletStep('k8s-master', 'master'),
      'k8s-master static pods',
      'k8s-master uncordon cordoned- soaking-',
      'k8s-master annotate touched- daemon-sets-',
    ]);
    expect(fake.effects.filter((effect) => effect.endsWith('static pods'))).toHaveLength(2);
  });

  it.each([
    ['its list', 0, '{"items":[{"metadata":{"annotations":{"kubernetes.io/config.hash":"a"}}}]}', ['a']],
    ['an error', 1, 'Error from server (ServiceUnavailable)', []],
  ])('whose kubelet, asked for its pods, answers with %s', async (_what, code, output, hashes) => {
    const { ctx } = fakeContext();
    const seen: { words: string; hashes: string[] }[] = [];
    let words = '';
    const { read } = ctx.shell;
    ctx.shell.read = async (node, asked, input) => {
      if (asked[0] !== 'kubectl') return read(node, asked, input);
      words = asked.join(' ');
      return { code, output };
    };
    const cluster = {
      ...ctx.cluster,
      waitForStaticPods: async ({ listed }: { listed: () => Promise<ReadonlySet<string>> }) =>
        void seen.push({ hashes: [...(await listed())], words }),
    };
    expect(await run({ ctx: { ...ctx, cluster } })).toMatchObject({ outcome: 'done' });
    expect(seen).toHaveLength(2);
    expect(seen[0]).toEqual({
      words:
        'kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=5s get --raw /api/v1/nodes/k8s-master/proxy/pods',
      hashes,
    });
  });

  it.each([
    ['200', 0, true],
    ['an error', 1, false],
  ])('whose component answers its probe with %s, asked after kubeadm only', async (_what, code, expected) => {
    const { ctx } = fakeContext();
    const asked: string[] = [];
    const { read } = ctx.shell;
    ctx.shell.read = async (node, words, input) => {
      if (words[0] !== 'kubectl') return read(node, words, input);
      asked.push(`${node.name}: ${words.join(' ')}`);
      return { code, output: '' };
    };
    const seen: (boolean | undefined)[] = [];
    const waitForStaticPods = async ({ answers }: StaticPodsWait) =>
      void seen.push(await answers?.('https://127.0.0.1:10259/livez?verbose'));
    const cluster = { ...ctx.cluster, waitForStaticPods };
    expect(await run({ ctx: { ...ctx, cluster } })).toMatchObject({ outcome: 'done' });
    expect(seen).toEqual([expected, undefined]);
    expect(asked).toEqual([
      'k8s-master: kubectl --kubeconfig=/dev/null --username=probe --password=probe --server=https://127.0.0.1:10259 --insecure-skip-tls-verify --request-timeout=5s get --raw /livez?verbose',
    ]);
  });

  it('that cannot be reached while it is asked is waited for as if it had not been', async () => {
    const { ctx } = fakeContext();
    const { read } = ctx.shell;
    ctx.shell.read = async (node, words, input) => {
      if (words[0] === 'kubectl') throw new ConnectionError({ ...node, user: 'u', port: 22 }, 'no answer');
      return read(node, words, input);
    };
    const seen: unknown[] = [];
    const waitForStaticPods = async ({ listed, answers }: StaticPodsWait) =>
      void seen.push(await listed(), await answers?.('https://127.0.0.1:10259/livez'));
    const cluster = { ...ctx.cluster, waitForStaticPods };
    expect(await run({ ctx: { ...ctx, cluster } })).toMatchObject({ outcome: 'done' });
    expect(seen).toEqual([new Set(), false, new Set(), undefined]);
  });

  it('whose static pods do not come back stays cordoned, and no other node follows', async () => {
    const { ctx, fake } = fakeContext();
    fake.onStaticPods = async (node) => {
      if (fake.node(node).release !== target) return;
      throw new TimeoutError('waiting for the static pods', 50, ['etcd-k8s-master is not Ready']);
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      message: expect.stringContaining('still pending: etcd-k8s-master is not Ready'),
      hint: expect.stringMatching(/^k8s-master stays cordoned at 1\.34\.5\. See journalctl -u kubelet/),
    });
    expect(fake.node('k8s-master').unschedulable).toBe(true);
    expect(effectsOn(fake, 'k8s-node2')).toEqual([]);
  });

  it('whose static pods do not come back after kubeadm is not drained', async () => {
    const { ctx, fake } = fakeContext();
    fake.onStaticPods = async () => {
      throw new TimeoutError('waiting for the static pods', 50, ['etcd-k8s-master is not Ready']);
    };
    expect(await run({ ctx })).toMatchObject({
      outcome: 'failed',
      hint: expect.stringMatching(
        /^k8s-master serves on, its kubelet at 1\.34\.2\. See journalctl -u kubelet/,
      ),
    });
    expect(effectsOn(fake, 'k8s-master').at(-1)).toBe(kubeadmStep('k8s-master', 'master'));
  });
});
