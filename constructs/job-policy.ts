import { Manifest } from '@cdktf/provider-kubernetes/lib/manifest/index.js';
import { Construct } from 'constructs';
import { environment, mountPaths, objectNames } from '../runtime/src/names.ts';
import { checked, pinned } from './checked.ts';
import { labelsOf } from './labels.ts';

export interface JobPolicyProps {
  readonly namespace: string;
  /** The one that Jobs may run; as both CronJobs have it. */
  readonly image: string;
}

const name = 'k8s-upgrade-jobs';
const admission = 'admissionregistration.k8s.io/v1';

/**
 * Which Jobs the namespace takes: this pipeline's programs, as its CronJobs would start them.
 *
 * Who may create a Job may otherwise create any Job: with another program, as the executor, with the SSH key mounted.
 * RBAC cannot tell them apart; admission can, so that the agent service may submit a run and nothing else.
 * Needs Kubernetes 1.30.
 */
export class JobPolicy extends Construct {
  constructor(scope: Construct, id: string, props: JobPolicyProps) {
    super(scope, id);
    const image = checked(this, () => pinned('image', props.image), props.image);
    const labels = labelsOf('submitter');
    const policy = new Manifest(this, 'policy', {
      manifest: {
        apiVersion: admission,
        kind: 'ValidatingAdmissionPolicy',
        metadata: { name, labels },
        spec: {
          failurePolicy: 'Fail',
          matchConstraints: {
            resourceRules: [
              { apiGroups: ['batch'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['jobs'] },
            ],
          },
          variables: [
            { name: 'pod', expression: 'object.spec.template.spec' },
            { name: 'container', expression: 'variables.pod.containers[0]' },
          ],
          validations: validations(image),
        },
      },
    });
    new Manifest(this, 'binding', {
      dependsOn: [policy],
      manifest: {
        apiVersion: admission,
        kind: 'ValidatingAdmissionPolicyBinding',
        metadata: { name, labels },
        spec: {
          policyName: name,
          validationActions: ['Deny'],
          matchResources: {
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': props.namespace } },
          },
        },
      },
    });
  }
}

interface Validation {
  readonly expression: string;
  readonly message: string;
}

/** Everything through which a Job could run something else, or the same against another world. */
function validations(image: string): Validation[] {
  const text = JSON.stringify;
  const { detectorServiceAccount: detector, executorServiceAccount: executor } = objectNames;
  const variables = Object.values(environment);
  return [
    {
      expression: 'size(variables.pod.containers) == 1 && !has(variables.pod.initContainers)',
      message: 'a Job of this namespace has one container',
    },
    {
      expression: `variables.container.image == ${text(image)}`,
      message: `the image is ${image}`,
    },
    {
      expression: `!has(variables.container.command) && has(variables.container.args)
        && size(variables.container.args) >= 3 && variables.container.args[0] in ["run", "detect"]
        && variables.container.args[1] == "--settings" && variables.container.args[2] == ${text(mountPaths.settingsFile)}
        && variables.container.args.filter(a, a.startsWith("--settings") || a.startsWith("--kubeconfig")).size() == 1`,
      message: 'the program is run or detect with the settings of the cluster',
    },
    {
      expression: `variables.pod.serviceAccountName ==
        (variables.container.args[0] == "run" ? ${text(executor)} : ${text(detector)})`,
      message: `run is done by ${executor}, detect by ${detector}`,
    },
    {
      expression: `!has(variables.container.envFrom) && (!has(variables.container.env)
        || variables.container.env.all(e, e.name in ${text(variables)}))`,
      message: `the environment has only ${variables.join(', ')}`,
    },
    {
      expression: `!has(variables.container.lifecycle) && !has(variables.container.livenessProbe)
        && !has(variables.container.readinessProbe) && !has(variables.container.startupProbe)`,
      message: 'there are no hooks and no probes',
    },
    {
      expression: `has(variables.pod.volumes) && variables.pod.volumes.all(v,
        (has(v.configMap) && v.configMap.name == ${text(objectNames.settings)})
        || (has(v.secret) && v.secret.secretName == ${text(objectNames.credentials)}))
        && variables.container.volumeMounts.all(m, m.mountPath in ${text([mountPaths.settings, mountPaths.credentials])})`,
      message: 'the volumes are the settings and the credentials, where they belong',
    },
    {
      expression: '!has(variables.pod.hostAliases) && !has(variables.pod.dnsConfig)',
      message: 'names mean what they mean in the cluster',
    },
  ].map(({ expression, message }) => ({ expression: expression.replace(/\s+/g, ' '), message }));
}
