import { Manifest } from '@cdktf/provider-kubernetes/lib/manifest/index.js';
import { Construct } from 'constructs';
import { environment, mountPaths, objectNames } from '../runtime/src/names.ts';
import { checked, pinned } from './checked.ts';
import { labelsOf } from './labels.ts';

/** Which Jobs the policy admits. */
export interface JobPolicyProps {
  /** The pipeline's namespace. */
  readonly namespace: string;
  /** The only image that Jobs may run: that of the CronJobs. */
  readonly image: string;
}

const name = 'k8s-upgrade-jobs';
const admission = 'admissionregistration.k8s.io/v1';

/**
 * Admits only this pipeline's own Jobs in its namespace: its programs, as its CronJobs would start them.
 *
 * Otherwise an account that may create Jobs could run any program as the executor, with the SSH key mounted.
 * RBAC cannot tell Jobs apart; admission can, so that the agent service can submit a run and nothing else.
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

/**
 * Rejects every field through which a Job could run another program, or the same one against other targets.
 */
function validations(image: string): Validation[] {
  const text = JSON.stringify;
  const { detectorServiceAccount: detector, executorServiceAccount: executor } = objectNames;
  const variables = Object.values(environment);
  const { settings, credentials, scratch, clusterCa } = mountPaths;
  return [
    {
      expression: 'size(variables.pod.containers) == 1 && !has(variables.pod.initContainers)',
      message: 'a Job in this namespace has exactly one container',
    },
    {
      expression: `variables.container.image == ${text(image)}`,
      message: `the image must be ${image}`,
    },
    {
      expression: `!has(variables.container.command) && has(variables.container.args)
        && size(variables.container.args) >= 3 && (variables.container.args[0] == "check-node"
        || variables.container.args[0] in ["run", "detect"]
        && variables.container.args[1] == "--settings" && variables.container.args[2] == ${text(mountPaths.settingsFile)}
        && variables.container.args.filter(a, a.startsWith("--settings") || a.startsWith("--kubeconfig")).size() == 1)`,
      message: "the program must be check-node, or run or detect with this cluster's settings",
    },
    {
      expression: `variables.container.args[0] == "check-node"
        ? (!has(variables.pod.serviceAccountName) || variables.pod.serviceAccountName == "default")
        && has(variables.pod.automountServiceAccountToken) && !variables.pod.automountServiceAccountToken
        : variables.pod.serviceAccountName ==
        (variables.container.args[0] == "run" ? ${text(executor)} : ${text(detector)})`,
      message: `run must use the service account ${executor}, detect ${detector}, and check-node no token`,
    },
    {
      expression: `!has(variables.container.envFrom) && (!has(variables.container.env)
        || variables.container.env.all(e, e.name in ${text(variables)}))`,
      message: `the only environment variables allowed are ${variables.join(', ')}`,
    },
    {
      expression: `!has(variables.container.lifecycle) && !has(variables.container.livenessProbe)
        && !has(variables.container.readinessProbe) && !has(variables.container.startupProbe)`,
      message: 'lifecycle hooks and probes are not allowed',
    },
    {
      expression: `has(variables.pod.volumes) && (variables.container.args[0] == "check-node"
        ? variables.pod.volumes.all(v, has(v.emptyDir) || (has(v.configMap) && v.configMap.name == "kube-root-ca.crt"))
        && variables.container.volumeMounts.all(m, m.mountPath in ${text([scratch, clusterCa])})
        : variables.pod.volumes.all(v,
        (has(v.configMap) && v.configMap.name == ${text(objectNames.settings)})
        || (has(v.secret) && v.secret.secretName == ${text(objectNames.credentials)}))
        && variables.container.volumeMounts.all(m, m.mountPath in ${text([settings, credentials])}))`,
      message:
        'the only volumes allowed are the settings and the credentials, for check-node the CA certificate and an emptyDir, at their usual paths',
    },
    {
      expression: '!has(variables.pod.hostAliases) && !has(variables.pod.dnsConfig)',
      message: "hostAliases and dnsConfig are not allowed: names must resolve to the cluster's own services",
    },
  ].map(({ expression, message }) => ({ expression: expression.replace(/\s+/g, ' '), message }));
}
