import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { annotationKeys, objectNames } from '../../runtime/src/names.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import type { Job, KubeObject, Node } from '../lab/api/types.ts';
import type { Lab, LabOptions } from '../lab/lab.ts';
import type { LabNode } from '../lab/nodes/node.ts';
import { grantsOf, ofPipeline } from './audit.ts';
import { type RealApi, startRealLab } from './real-api.ts';

const target = '1.34.4';
const namespace = `/api/v1/namespaces/${objectNames.namespace}`;
const jobs = `/apis/batch/v1/namespaces/${objectNames.namespace}/jobs`;

const directAndAccepting = (base: SettingsInput): SettingsInput => ({
  ...base,
  dispatch: { ...base.dispatch, mode: 'job' },
  ssh: { ...base.ssh, hostKeys: { policy: 'accept-new' } },
});

const courses: [what: string, kind: string, options: LabOptions][] = [
  ['a patch, through the agent service', 'patch', { release: '1.34.2', published: ['1.34.2', target] }],
  [
    'a minor, as Jobs of the detector',
    'minor',
    { release: '1.33.9', published: ['1.33.9', target], settings: directAndAccepting },
  ],
];

describe.each(courses)('on a real control plane, %s', (_what, kind, options) => {
  let lab: Lab<LabNode, RealApi>;
  let rest: RealApi['rest'];
  beforeAll(async () => {
    lab = await startRealLab(options);
    rest = lab.api.rest;
  });
  afterAll(() => lab?.stop());

  it('accepts what is deployed, and admits its pods as restricted', async () => {
    const { metadata } = await rest.get(namespace);
    expect(metadata.labels['pod-security.kubernetes.io/enforce']).toBe('restricted');
    const { detectionCronJob, executionCronJob, nodeCheckCronJob } = objectNames;
    for (const name of [detectionCronJob, executionCronJob, nodeCheckCronJob]) {
      const cronJob = await rest.get(`/apis/batch/v1/namespaces/${objectNames.namespace}/cronjobs/${name}`);
      const { metadata: template, spec } = cronJob.spec.jobTemplate.spec.template;
      const pod = { metadata: { ...template, name: 'admitted' }, spec };
      const accepted = await rest.send('POST', `${namespace}/pods?dryRun=All`, pod);
      expect(accepted.code, JSON.stringify(accepted.body)).toBe(201);
      const privileged = structuredClone(pod);
      privileged.spec.containers[0].securityContext = { privileged: true };
      const refused = await rest.send('POST', `${namespace}/pods?dryRun=All`, privileged);
      expect([refused.code, refused.body.message]).toEqual([
        403,
        expect.stringContaining('violates PodSecurity'),
      ]);
    }
  });

  it('passes preflight when it is run manually', { timeout: 120_000 }, async () => {
    const inputs = { target_version: target, kind, stages: 'preflight' };
    const { exitCode, output } = await lab.submit(JSON.stringify(inputs));
    expect(exitCode, output).toBe(0);
    // Deletes the host keys, so that the following programs see the nodes for the first time.
    await rest.send('DELETE', `${namespace}/configmaps/${objectNames.knownHosts}`);
  });

  it('upgrades from detection to completion', { timeout: 600_000 }, async () => {
    expect(await lab.detect(), await lab.story()).toBe(0);
    const jobs = await lab.runEnd(3);
    expect(jobs.map(endOf), await lab.story()).toEqual(['Complete', 'Complete', 'Complete']);
    const { items } = await rest.get('/api/v1/nodes');
    expect((items as Node[]).map(stateOf)).toEqual(items.map(() => [`v${target}`, undefined]));
    expect((await rest.get('/version')).gitVersion).toBe(`v${target}`);
    const annotations = Object.keys((await rest.get(namespace)).metadata.annotations ?? {});
    const keys = annotationKeys('viktorbarzin.me');
    expect(annotations).not.toContain(keys.inFlight);
    const user = { namespace: objectNames.namespace, serviceAccount: objectNames.submitterServiceAccount };
    const status = await lab.cli(['status'], { user });
    expect(status.exitCode, status.stderr).toBe(0);
  });

  it('allows every request, and every permission was used', async () => {
    const events = ofPipeline(await lab.api.cluster.auditEvents());
    expect(events.length).toBeGreaterThan(100);
    const refused = events.filter(
      (event) => event.responseStatus?.code === 403 && !lab.api.cluster.wasStarting(event),
    );
    expect(refused.map(({ verb, requestURI, user }) => `${user.username} ${verb} ${requestURI}`)).toEqual([]);
    const grants = await grantsOf(rest);
    expect(grants.length).toBeGreaterThan(30);
    const unused = grants.filter(({ uses }) => !events.some(uses));
    expect(unused.map(({ text }) => text)).toEqual([]);
  });

  it('admits a Job as it was submitted, and no Job that differs', async () => {
    const { items } = await rest.get(`${jobs}?labelSelector=k8s-upgrade%2Frun`);
    const [job] = items as Job[];
    const create = async (change: (pod: Container) => void) => {
      const pod = structuredClone(job?.spec?.template.spec) as unknown as PodSpec;
      change(pod.containers[0] as Container);
      const template = { spec: pod };
      const body: KubeObject = { metadata: { generateName: 'job-' }, spec: { template } };
      return rest.send('POST', `${jobs}?dryRun=All`, body);
    };
    const same = await create(() => undefined);
    expect(same.code, JSON.stringify(same.body)).toBe(201);
    const checks = await rest.get(`${jobs}?labelSelector=app%3D${objectNames.nodeCheckCronJob}`);
    const [check] = checks.items as Job[];
    const checkOf = (pod: object) => {
      const spec = { ...(check?.spec?.template.spec as unknown as PodSpec), ...pod };
      const body: KubeObject = { metadata: { generateName: 'job-' }, spec: { template: { spec } } };
      return rest.send('POST', `${jobs}?dryRun=All`, body);
    };
    expect((await checkOf({})).code).toBe(201);
    const withToken = await checkOf({ automountServiceAccountToken: true });
    expect([withToken.code, withToken.body.message]).toEqual([422, expect.stringContaining('no token')]);
    const changes: [string, (container: Container) => void][] = [
      ['the image must be', (c) => Object.assign(c, { image: 'registry.invalid/shell:1' })],
      ['the program must be', (c) => Object.assign(c, { command: ['bash'] })],
      ['the program must be', (c) => c.args.push('--settings=/dev/stdin')],
      [
        'the only environment variables allowed are',
        (c) => c.env.push({ name: 'NODE_OPTIONS', value: '--inspect' }),
      ],
    ];
    for (const [message, change] of changes) {
      const { code, body } = await create(change);
      expect([code, body.message]).toEqual([422, expect.stringContaining(message)]);
    }
  });
});

interface Container {
  readonly args: string[];
  readonly env: { name: string; value: string }[];
}

interface PodSpec {
  readonly containers: Container[];
}

const endOf = ({ status }: Job) => status?.conditions?.at(-1)?.type;
const stateOf = ({ status, spec }: Node) => [status?.nodeInfo?.kubeletVersion, spec?.unschedulable];
