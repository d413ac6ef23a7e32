import type { V1Job, V1PodSpec } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { leastProps, pipeline } from '../test/constructs/synthesis.ts';
import { type PolicyChecks, refusals } from '../test/lab/api/rest/admission-policies.ts';
import { kubernetesObjects } from '../test/lab/terraform.ts';

const stack = pipeline();
const policy = stack.manifest<{ readonly spec: PolicyChecks }>('ValidatingAdmissionPolicy');

/** A Job as `submit`, the CronJob controller and `kubectl create job --from` create it. */
function jobOf(cronJob: string, ...args: string[]): { job: V1Job; pod: V1PodSpec } {
  const found = kubernetesObjects(stack.text).find(
    (o) => o.kind === 'CronJob' && o.metadata?.name === cronJob,
  );
  const job = structuredClone((found as { spec?: { jobTemplate: V1Job } }).spec?.jobTemplate) as V1Job;
  const pod = job.spec?.template.spec;
  if (pod === undefined) throw new Error(`${cronJob} has no pod template`);
  pod.containers[0]?.args?.push(...args);
  return { job, pod };
}

type Tamper = (pod: V1PodSpec) => void;
const container = (pod: V1PodSpec) => {
  const [only] = pod.containers;
  if (only === undefined) throw new Error('no container');
  return only;
};

const tampered: [string, Tamper, string][] = [
  [
    'another image',
    (pod) => Object.assign(container(pod), { image: 'registry.example/shell:1' }),
    'the image must be',
  ],
  [
    'a second container',
    (pod) => pod.containers.push({ name: 'more', image: leastProps.image }),
    'one container',
  ],
  ['an init container', (pod) => Object.assign(pod, { initContainers: [container(pod)] }), 'one container'],
  ['a command', (pod) => Object.assign(container(pod), { command: ['bash', '-c'] }), 'the program must be'],
  [
    'another program',
    (pod) => Object.assign(container(pod), { args: ['clear', '--settings', 'x'] }),
    'the program must be',
  ],
  ['other settings', (pod) => container(pod).args?.push('--settings=/dev/stdin'), 'the program must be'],
  ['another cluster', (pod) => container(pod).args?.push('--kubeconfig', '/tmp/x'), 'the program must be'],
  [
    'another account',
    (pod) => Object.assign(pod, { serviceAccountName: 'k8s-version-check' }),
    'run must use the service account',
  ],
  [
    'options of Node.js',
    (pod) => container(pod).env?.push({ name: 'NODE_OPTIONS', value: '--import=data:text/javascript,0' }),
    'the only environment variables',
  ],
  [
    'an environment from a ConfigMap or Secret',
    (pod) => Object.assign(container(pod), { envFrom: [{}] }),
    'the only environment variables',
  ],
  ['a hook', (pod) => Object.assign(container(pod), { lifecycle: { preStop: {} } }), 'lifecycle hooks'],
  ['a probe', (pod) => Object.assign(container(pod), { livenessProbe: { exec: {} } }), 'lifecycle hooks'],
  [
    'another volume',
    (pod) => pod.volumes?.push({ name: 'more', configMap: { name: 'k8s-upgrade-known-hosts' } }),
    'the only volumes',
  ],
  [
    'a mount over the program',
    (pod) => container(pod).volumeMounts?.push({ name: 'settings', mountPath: '/opt/k8s-upgrade' }),
    'the only volumes',
  ],
  ['host aliases', (pod) => Object.assign(pod, { hostAliases: [{ ip: '10.0.0.1' }] }), 'hostAliases'],
];

describe('the policy', () => {
  it('is bound to the namespace, and denies', () => {
    expect(stack.manifest<{ spec: unknown }>('ValidatingAdmissionPolicyBinding').spec).toEqual({
      policyName: 'k8s-upgrade-jobs',
      validationActions: ['Deny'],
      matchResources: {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'k8s-upgrade' } },
      },
    });
  });

  it('can be left out', () => {
    expect(pipeline({ jobPolicy: false }).text).not.toContain('ValidatingAdmissionPolicy');
  });
});

describe('the policy, evaluated', () => {
  it.each([
    ['a Job', jobOf('k8s-version-upgrade', '--inputs', '{"target_version":"1.34.5","kind":"patch"}')],
    ['a later Job', jobOf('k8s-version-upgrade', '--inputs', '{}', '--run-id', 'r', '--leg', '2')],
    ['a detection', jobOf('k8s-version-check')],
    ['a detection without dispatch', jobOf('k8s-version-check', '--dry-run')],
    ['a node check', jobOf('k8s-node-check')],
  ])('admits %s', (_, { job }) => {
    expect(refusals(policy.spec, job)).toEqual([]);
  });

  it.each<[string, Tamper, string]>([
    [
      'a service account',
      (pod) => Object.assign(pod, { serviceAccountName: 'k8s-version-upgrade' }),
      'no token',
    ],
    ['a token', (pod) => Object.assign(pod, { automountServiceAccountToken: true }), 'no token'],
    ['the token that is the default', (pod) => void delete pod.automountServiceAccountToken, 'no token'],
    [
      'the credentials',
      (pod) => pod.volumes?.push({ name: 'more', secret: { secretName: 'k8s-upgrade-creds' } }),
      'the only volumes',
    ],
    [
      'a host path',
      (pod) => pod.volumes?.push({ name: 'more', hostPath: { path: '/' } }),
      'the only volumes',
    ],
    ['a command', (pod) => Object.assign(container(pod), { command: ['sh'] }), 'the program must be'],
  ])('refuses a node check with %s', (_, tamper, message) => {
    const { job, pod } = jobOf('k8s-node-check');
    tamper(pod);
    expect(refusals(policy.spec, job).join()).toContain(message);
  });

  it.each(tampered)('refuses %s', (_, tamper, message) => {
    const { job, pod } = jobOf('k8s-version-upgrade', '--inputs', '{}');
    tamper(pod);
    expect(refusals(policy.spec, job).join()).toContain(message);
  });
});
