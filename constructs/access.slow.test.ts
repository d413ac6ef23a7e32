import { existsSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { objectNames } from '../runtime/src/names.ts';
import type { SettingsInput } from '../runtime/src/settings/settings.ts';
import type { KubeObject, Node, PolicyRule, RequestRecord } from '../test/lab/api/index.ts';
import { labNodes } from '../test/lab/cluster.ts';
import { bundle, Lab } from '../test/lab/lab.ts';
import { until } from '../test/lab/waits.ts';

/**
 * The synthesized roles are sufficient and grant nothing unused: the pipeline runs in the lab, which enforces
 * them and records the rule that allowed each request.
 */

const accounts: string[] = [
  objectNames.detectorServiceAccount,
  objectNames.executorServiceAccount,
  objectNames.submitterServiceAccount,
];

const agent = {
  namespace: objectNames.namespace,
  serviceAccount: objectNames.submitterServiceAccount,
};

/**
 * `k8s-version-check in k8s-upgrade: get leases k8s-version-upgrade`: one for each verb and object of a rule.
 */
type Grant = string;

/** What happened in one lab with one set of settings. */
interface Observed {
  readonly granted: ReadonlySet<Grant>;
  readonly used: ReadonlySet<Grant>;
  readonly refused: readonly RequestRecord[];
  /** Pods that were deleted; dry runs do not count. */
  readonly deleted: readonly RequestRecord[];
}

/** Three of the five nodes: enough for a second Job in the run. */
const nodes = labNodes.filter(({ name }) => ['k8s-master', 'k8s-node3', 'k8s-node4'].includes(name));

const directAndAccepting = (base: SettingsInput): SettingsInput => ({
  ...base,
  dispatch: { ...base.dispatch, mode: 'job' },
  ssh: { ...base.ssh, hostKeys: { policy: 'accept-new' } },
});

const label = { 'example.com/may-be-deleted': 'true' };
/** A rule that selects by labels alone can match a pod in any namespace. */
const deletingByLabel = (base: SettingsInput): SettingsInput => ({
  ...base,
  drain: {
    ...base.drain,
    timeout: '30s',
    blockedPods: [{ podSelector: { matchLabels: label }, wait: '1s', deleteAfter: '1s' }],
  },
});
/** One replica whose budget never allows an eviction (F17). */
const neverEvicted = [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'ledger', namespace: 'apps' },
    spec: {
      replicas: 1,
      selector: { matchLabels: label },
      template: {
        metadata: { labels: label },
        spec: { containers: [{ name: 'ledger', image: 'registry.invalid/ledger:1' }] },
      },
    },
  },
  {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'ledger-always', namespace: 'apps' },
    spec: { minAvailable: 1, selector: { matchLabels: label } },
  },
] as KubeObject[];

if (!existsSync(bundle))
  console.log(
    `constructs/access.slow.test.ts: ${bundle} is missing (npm run bundle), the use of permissions is not checked`,
  );

describe.skipIf(!existsSync(bundle))('in the lab', () => {
  const observed: Observed[] = [];

  beforeAll(async () => {
    const all = [observe(), observe(directAndAccepting), observe(deletingByLabel, neverEvicted)];
    observed.push(...(await Promise.all(all)));
  }, 180_000);

  it('refuses no request of any program (F30)', () => {
    expect(observed.flatMap((o) => o.refused)).toEqual([]);
  });

  it('grants no permission that is never used (F30)', () => {
    const unused = observed.map(({ granted, used }) => [...granted].filter((one) => !used.has(one)).sort());
    expect(unused).toEqual([[], [], []]);
    for (const { granted } of observed) expect(granted.size).toBeGreaterThan(30);
  });

  it('deletes a pod only when a rule names it, by a ClusterRole when the rule selects by labels alone (F17)', () => {
    const byLabel = `${objectNames.executorServiceAccount}: delete pods`;
    expect(observed.map(({ granted }) => granted.has(byLabel))).toEqual([false, false, true]);
    expect(observed.map(({ deleted }) => deleted.length > 0)).toEqual([false, false, true]);
    for (const { namespace, name, allowedBy } of observed.flatMap(({ deleted }) => deleted)) {
      expect([namespace, name.replace(/-.*/, '')]).toEqual(['apps', 'ledger']);
      expect(allowedBy).toMatchObject({ role: 'ClusterRole', name: objectNames.executorServiceAccount });
    }
  });
});

/**
 * Runs the pipeline from detection to the end of its run, with these settings and other objects in the
 * cluster.
 */
async function observe(
  settings?: (base: SettingsInput) => SettingsInput,
  seeded: KubeObject[] = [],
): Promise<Observed> {
  const lab = await Lab.start({ nodes, ...(settings && { settings }) });
  try {
    lab.api.apply(seeded);
    await lab.api.settled();
    await preflightAsTheAgentDoes(lab);
    slowToBeReady(lab, 'k8s-node4');
    expect(await lab.detect(), 'exit code of the detection').toBe(0);
    await Promise.all(lab.agentService.jobs.map((job) => lab.agentJobEnd(job.id)));
    await runEnded(lab);
    await statusAsTheAgentDoes(lab);
    const ours = lab.api.requests.all.filter(({ user }) => accounts.includes(user.split(':').at(-1) ?? ''));
    expect(ours.length).toBeGreaterThan(100);
    return {
      granted: new Set(accounts.flatMap((account) => grantsOf(lab, account))),
      used: new Set(ours.flatMap((request) => usedBy(lab, request))),
      refused: ours.filter(({ status }) => status === 403),
      deleted: ours.filter(
        (r) => r.verb === 'delete' && r.resource === 'pods' && !r.dryRun && r.status < 300,
      ),
    };
  } finally {
    await lab.stop();
  }
}

/** The command with which the agent's prompt has it explain a run that stopped. */
async function statusAsTheAgentDoes(lab: Lab): Promise<void> {
  expect((await lab.cli(['status'], { user: agent })).exitCode).toBe(0);
}

/**
 * A manual run. Removes the host keys that it remembers, so that every program logs in for the first time.
 */
async function preflightAsTheAgentDoes(lab: Lab): Promise<void> {
  const inputs = { target_version: '1.34.5', kind: 'patch', stages: 'preflight' };
  const { exitCode, output } = await lab.submit(JSON.stringify(inputs));
  expect(exitCode, output).toBe(0);
  const known = lab.api.store.get('configmaps', objectNames.namespace, objectNames.knownHosts);
  if (known) lab.api.store.remove('configmaps', objectNames.namespace, objectNames.knownHosts);
}

/** The node's kubelet is away after it has reported the new version, until a program watches nodes. */
function slowToBeReady(lab: Lab, name: string): void {
  const watches = () => lab.api.requests.matching({ resource: 'nodes', verb: 'watch' }).length;
  const unsubscribe = lab.api.store.subscribe(({ resource, object }) => {
    if (resource !== 'nodes' || object.metadata.name !== name) return;
    if ((object as Node).status?.nodeInfo?.kubeletVersion !== 'v1.34.5') return;
    unsubscribe();
    lab.api.kubelets.setDown(name);
    const before = watches();
    void until(`a program watches for ${name}`, () => watches() > before).finally(() =>
      lab.api.kubelets.setUp(name),
    );
  });
}

async function runEnded(lab: Lab): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const { stdout } = await lab.cli(['status', '--json']);
    const { inFlight, jobs } = JSON.parse(stdout) as { inFlight: unknown; jobs: { state: string }[] };
    if (inFlight === null && jobs.length > 0 && jobs.every((job) => job.state === 'complete')) return;
    if (Date.now() > deadline) throw new Error(`the run did not end: ${stdout}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const grant = (where: string, role: string, rule: PolicyRule, verb: string, name: string): Grant =>
  `${role}${where && ` in ${where}`}: ${verb} ${rule.resources?.join()}${name && ` ${name}`}`;

function grantsOf(lab: Lab, account: string): Grant[] {
  const roles = [...lab.api.store.list('clusterroles'), ...lab.api.store.list('roles')];
  return roles
    .filter(({ metadata }) => metadata.name.startsWith(account))
    .flatMap(({ metadata, rules = [] }) =>
      rules.flatMap((rule) =>
        rule.verbs.flatMap((verb) =>
          (rule.resourceNames ?? ['']).map((name) =>
            grant(metadata.namespace ?? '', metadata.name, rule, verb, name),
          ),
        ),
      ),
    );
}

function usedBy(lab: Lab, { allowedBy: by, verb, name }: RequestRecord): Grant[] {
  if (by === undefined) return [];
  const role =
    by.role === 'Role'
      ? lab.api.store.get('roles', by.namespace, by.name)
      : lab.api.store.get('clusterroles', undefined, by.name);
  const rule = role?.rules?.[by.rule];
  return rule === undefined ? [] : [grant(by.namespace, by.name, rule, verb, rule.resourceNames ? name : '')];
}
