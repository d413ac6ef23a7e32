import { describe, expect, it, test } from 'vitest';
import { UpgradeError } from '../errors.ts';
import { parseSettings, type SettingsInput } from './settings.ts';

const smallest: SettingsInput = {
  prometheus: { url: 'http://prometheus:9090' },
  pushgateway: { url: 'http://pushgateway:9091' },
};
const ed25519 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';

/** The message of the error. */
function refusal(document: unknown): string {
  try {
    parseSettings('settings.yaml', document);
  } catch (error) {
    expect(error).toBeInstanceOf(UpgradeError);
    expect((error as UpgradeError).code).toBe('badInput');
    return (error as UpgradeError).message;
  }
  throw new Error('these settings were accepted');
}

describe('settings', () => {
  it('need only the URLs of Prometheus and the Pushgateway', () => {
    const settings = parseSettings('settings.yaml', smallest);
    expect(settings).toMatchObject({
      namespace: 'k8s-upgrade',
      nodes: { controlPlane: [], workers: [] },
      ssh: { user: 'wizard', port: 22, hostKeys: { policy: 'pinned', known: {} }, connectTimeout: 15_000 },
      prometheus: { ruleGroups: ['Upgrade Gates'] },
      policy: { minimumAge: { patch: 3 * 86_400_000, minor: 30 * 86_400_000 }, minimumMinorPatch: 1 },
      gates: { alertWait: 30 * 60_000, quietPeriod: 86_400_000, minimumPodReadyRatio: 0.9 },
      timing: { soak: 10 * 60_000 },
      drain: { gracePeriod: 300_000 },
    });
  });

  it('keep the order of the nodes', () => {
    const nodes = { controlPlane: ['k8s-master'], workers: ['k8s-node4', 'k8s-node3'] };
    expect(parseSettings('settings.yaml', { ...smallest, nodes }).nodes).toEqual(nodes);
  });

  it('turn durations into milliseconds, and accept zero where waiting may be switched off', () => {
    const { timing, policy } = parseSettings('settings.yaml', {
      ...smallest,
      timing: { soak: '0s', script: '1.5h' },
      policy: { minimumAge: { patch: '0s' } },
    });
    expect([timing.soak, timing.script, policy.minimumAge.patch]).toEqual([0, 5_400_000, 0]);
  });
});

describe('the error for a wrong setting names it, what was given and what is allowed:', () => {
  const cases: [why: string, change: object, message: string][] = [
    ['unknown key', { tmeout: '1s' }, 'unknown "tmeout"'],
    ['unknown nested keys', { drain: { timeut: '1s', pace: 1 } }, 'drain: unknown "timeut", "pace"'],
    [
      'unknown key, with the allowed ones',
      { slack: { url: 'x' } },
      'slack: unknown "url", expected webhookFile, enabled, timeout',
    ],
    [
      'unknown key in a list',
      { policy: { deny: [{ version: '1.35.0', reason: 'x', why: 'y' }] } },
      'expected version, reason',
    ],
    [
      'no unit',
      { timing: { soak: '10' } },
      'timing.soak: given "10", expected a number with a unit of ms, s',
    ],
    [
      'number for a duration',
      { timing: { soak: 10 } },
      'timing.soak: given 10, expected a number with a unit of ms, s',
    ],
    [
      'a password in a URL, which is not shown',
      { prometheus: { url: 'http://me:hunter2@prometheus:9090/path' } },
      'prometheus.url: given "http://…@prometheus:9090/path", expected a URL without user and password',
    ],
    [
      'zero time-out',
      { drain: { timeout: '0s' } },
      'drain.timeout: given "0s", expected a duration above zero',
    ],
    [
      'time-out longer than any timer',
      { timing: { script: '25d' } },
      'timing.script: given "25d", expected a duration above',
    ],
    [
      'node twice',
      { nodes: { workers: ['a', 'b', 'a'] } },
      'nodes.workers: given ["a","b","a"], expected every',
    ],
    [
      'node in both',
      { nodes: { controlPlane: ['a', 'm'], workers: ['b', 'm'] } },
      'nodes.workers: given ["b","m"], expected m in controlPlane or in workers, not in both',
    ],
    [
      'address for a node (F25)',
      { nodes: { workers: ['10.0.0.1'] } },
      'nodes.workers.0: given "10.0.0.1", exp',
    ],
    [
      'a rule that names nothing',
      { drain: { blockedPods: [{ wait: '1m' }] } },
      'drain.blockedPods.0: given {"wait":"1m"}, expected at least one of namespaces, disruptionBudgets and podSelector',
    ],
    [
      'a selector of every pod',
      { drain: { blockedPods: [{ podSelector: {} }] } },
      'drain.blockedPods.0.podSelector: given {}, expected matchLabels or matchExpressions',
    ],
    [
      'values with Exists',
      {
        drain: {
          blockedPods: [
            { podSelector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] } },
          ],
        },
      },
      'drain.blockedPods.0.podSelector.matchExpressions.0: given {"key":"a","operator":"Exists","values":["b"]}, expected values with In',
    ],
    [
      'no values with In',
      { drain: { blockedPods: [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }] } },
      'expected values with In and NotIn, and none with Exists',
    ],
    [
      'a budget without its namespace',
      { drain: { blockedPods: [{ disruptionBudgets: ['web'] }] } },
      'drain.blockedPods.0.disruptionBudgets.0: given "web", expected a PodDisruptionBudget as namespace/name',
    ],
    [
      'a namespace by pattern',
      { drain: { blockedPods: [{ namespaces: ['*'] }] } },
      'drain.blockedPods.0.namespaces.0: given "*", expected the name of a namespace',
    ],
    [
      'unknown key of a rule',
      { drain: { blockedPods: [{ namespace: 'apps' }] } },
      'drain.blockedPods.0: unknown "namespace", expected namespaces, disruptionBudgets, podSelector, wait, deleteAfter',
    ],
    [
      'a rule that the time-out of the drain precludes (F17)',
      {
        drain: {
          timeout: '10m',
          blockedPods: [
            { namespaces: ['a'], wait: '1m' },
            { namespaces: ['apps'], wait: '5m', deleteAfter: '5m' },
          ],
        },
      },
      'drain.blockedPods.1: given {"namespaces":["apps"],"wait":"5m","deleteAfter":"5m"}, expected wait plus deleteAfter to be shorter than drain.timeout',
    ],
    [
      'no URL',
      { prometheus: { url: 'prometheus:9090' } },
      'prometheus.url: given "prometheus:9090", expected an',
    ],
    [
      'other scheme',
      { pushgateway: { url: 'file:///x' } },
      'pushgateway.url: given "file:///x", expected an http',
    ],
    ['missing URL', { prometheus: {} }, 'prometheus.url: given nothing, '],
    [
      'no rule group',
      { prometheus: { url: 'http://p', ruleGroups: [] } },
      'prometheus.ruleGroups: given [], ',
    ],
    [
      'relative path',
      { ssh: { privateKeyFile: 'key' } },
      'ssh.privateKeyFile: given "key", expected an absolute',
    ],
    [
      'path with ..',
      { snapshot: { directory: '/mnt/../etc' } },
      'snapshot.directory: given "/mnt/../etc", expec',
    ],
    [
      'shell in a path',
      { snapshot: { directory: '/mnt/$(id)' } },
      'snapshot.directory: given "/mnt/$(id)", exp',
    ],
    [
      'shell in a phase',
      { kubeadm: { skipPhases: ['a;b'] } },
      'kubeadm.skipPhases.0: given "a;b", expected le',
    ],
    [
      'shell in a directory',
      { kubeadm: { patches: '/etc/$(id)' } },
      'kubeadm.patches: given "/etc/$(id)", expected an absolute path',
    ],
    [
      'a change without a component',
      { gates: { acceptChanges: ['maxPods: 250'] } },
      'gates.acceptChanges.0: given "maxPods: 250", expected a component and a field, such as "kubelet maxPods"',
    ],
    ['port', { ssh: { port: 70_000 } }, 'ssh.port: given 70000, '],
    ['login name', { ssh: { user: 'Root User' } }, 'ssh.user: given "Root User", expected a login name'],
    ['ratio', { gates: { minimumPodReadyRatio: 90 } }, 'gates.minimumPodReadyRatio: given 90, '],
    ['mode', { dispatch: { mode: 'cron' } }, 'dispatch.mode: given "cron", '],
    ['allowed modes', { dispatch: { mode: 'cron' } }, '"agent-service"|"job"'],
    [
      'host key',
      { ssh: { hostKeys: { known: { a: 'AAAA' } } } },
      'ssh.hostKeys.known.a: given "AAAA", expected',
    ],
    ['key of an address', { ssh: { hostKeys: { known: { '10.0.0.1': ed25519 } } } }, 'ssh.hostKeys.known'],
    [
      'denied pre-release',
      { policy: { deny: [{ version: 'v1.35.0', reason: 'x' }] } },
      'policy.deny.0.version: ',
    ],
    [
      'denied without reason',
      { policy: { deny: [{ version: '1.35.0' }] } },
      'policy.deny.0.reason: given nothing',
    ],
  ];
  test.each(cases)('%s', (_why, change, message) => {
    const error = refusal({ ...smallest, ...change });
    expect(error).toContain(message);
    expect(error).toMatch(/^settings\.yaml: /);
  });

  test.each([
    ['empty file', null, 'prometheus: given nothing, '],
    ['list', [], '(the document): given [], '],
    ['text', 'namespace', '(the document): given "namespace", '],
  ])('%s instead of a document', (_why, document, message) => {
    expect(refusal(document)).toContain(message);
  });

  it('every wrong setting in one error', () => {
    const error = refusal({ ...smallest, ssh: { port: 0 }, timing: { soak: 'x' }, extra: 1 });
    for (const field of ['ssh.port', 'timing.soak', 'extra']) expect(error).toContain(field);
  });
});
