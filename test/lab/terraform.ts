import type { KubernetesObject } from '@kubernetes/client-node';

/**
 * Converts the kubernetes_* resources of a synthesized Terraform stack into the API objects that the provider
 * creates. So the lab's API server has the same roles, templates and settings as a real one.
 */

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
type Fields = { [key: string]: Json };

/** Terraform resource type → kind and API version. */
const kinds: Record<string, { readonly apiVersion: string; readonly kind: string }> = {
  kubernetes_namespace_v1: { apiVersion: 'v1', kind: 'Namespace' },
  kubernetes_service_account_v1: { apiVersion: 'v1', kind: 'ServiceAccount' },
  kubernetes_config_map_v1: { apiVersion: 'v1', kind: 'ConfigMap' },
  kubernetes_role_v1: { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role' },
  kubernetes_role_binding_v1: { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding' },
  kubernetes_cluster_role_v1: { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole' },
  kubernetes_cluster_role_binding_v1: {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
  },
  kubernetes_cron_job_v1: { apiVersion: 'batch/v1', kind: 'CronJob' },
  kubernetes_network_policy_v1: { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
  kubernetes_priority_class_v1: { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass' },
};

/** A block that HCL repeats, named in the singular → the API's list, named in the plural. */
const lists: Record<string, string> = {
  container: 'containers',
  init_container: 'initContainers',
  env: 'env',
  env_from: 'envFrom',
  port: 'ports',
  rule: 'rules',
  subject: 'subjects',
  toleration: 'tolerations',
  volume: 'volumes',
  volume_mount: 'volumeMounts',
  on_pod_condition: 'onPodConditions',
};

/** Fields whose name in the API is not plain camel case. */
const renamed: Record<string, string> = { timezone: 'timeZone', non_resource_urls: 'nonResourceURLs' };

/** Maps whose keys are data. */
const dataMaps = new Set([
  'annotations',
  'data',
  'labels',
  'limits',
  'match_labels',
  'node_selector',
  'parameters',
  'requests',
]);

/** Numbers that the provider has as text. */
const integers = new Set([
  'fs_group',
  'run_as_group',
  'run_as_user',
  'toleration_seconds',
  'ttl_seconds_after_finished',
]);
/** File modes that the provider has as octal text and the API as a number. */
const fileModes = new Set(['default_mode', 'mode']);

/** Arguments of a resource that are for Terraform itself. */
const metaArguments = new Set(['depends_on', 'lifecycle', 'provider', 'timeouts', 'count', 'for_each', '//']);

/**
 * The API objects of a stack; resources of other providers are left out.
 *
 * @param synthesized the JSON text of one stack, from `Testing.synth` or `cdktf.out/stacks/…/cdk.tf.json`.
 * @throws Error when the stack has a kubernetes_* resource that this converter does not know.
 */
export function kubernetesObjects(synthesized: string): KubernetesObject[] {
  const { resource = {} } = JSON.parse(synthesized) as { resource?: Record<string, Record<string, Fields>> };
  return Object.entries(resource)
    .filter(([type]) => type.startsWith('kubernetes_'))
    .flatMap(([type, byName]) => Object.values(byName).map((body) => toObject(type, body)));
}

function toObject(type: string, body: Fields): KubernetesObject {
  if (type === 'kubernetes_manifest') return body.manifest as KubernetesObject;
  const kind = kinds[type];
  if (kind === undefined) throw new Error(`test/lab/terraform.ts does not know ${type}`);
  const fields = Object.fromEntries(Object.entries(body).filter(([key]) => !metaArguments.has(key)));
  return { ...kind, ...(convertFields(fields) as object) };
}

function convertFields(fields: Fields): Json {
  // The provider treats an empty text or list as absent.
  const written = Object.entries(fields).filter(([, value]) => value !== '' && !isEmptyList(value));
  return Object.fromEntries(written.map(([key, value]) => convertField(key, value)));
}

function convertField(key: string, value: Json): [string, Json] {
  if (dataMaps.has(key)) return [camelCase(key), value];
  const plural = lists[key];
  // A container's `port` is a block; a network policy's is a number or a name.
  if (plural !== undefined && typeof value === 'object')
    return [plural, withDefaults(alwaysSent[key], convert(Array.isArray(value) ? value : [value]))];
  return [
    renamed[key] ?? camelCase(key),
    scalar(key, value) ?? withDefaults(alwaysSent[key], convert(value)),
  ];
}

function convert(value: Json): Json {
  if (Array.isArray(value)) return value.map(convert);
  return typeof value === 'object' && value !== null ? convertFields(value) : value;
}

function scalar(key: string, value: Json): number | undefined {
  if (typeof value !== 'string') return undefined;
  if (integers.has(key)) return Number(value);
  if (fileModes.has(key)) return Number.parseInt(value, 8);
  // A port of a NetworkPolicy is a number or a name.
  return key === 'port' && /^\d+$/.test(value) ? Number(value) : undefined;
}

/**
 * Block → fields that the provider always sends with it: defaults and zero values of its schema.
 *
 * @see expandCronJobSpecV1, expandPodSpec and expandContainerSecurityContext of
 * hashicorp/terraform-provider-kubernetes 2.38.0; test/conformance/terraform compares them with the objects
 * that it really creates.
 */
const alwaysSent: Record<string, Fields> = {
  job_template: { spec: { parallelism: 1, completions: 1, manualSelector: false } },
  template: {
    spec: { automountServiceAccountToken: true, enableServiceLinks: true, shareProcessNamespace: false },
  },
  container: {
    securityContext: {
      allowPrivilegeEscalation: true,
      privileged: false,
      readOnlyRootFilesystem: false,
      runAsNonRoot: false,
    },
  },
  config_map: { optional: false },
  secret: { optional: false },
};

/** Adds the defaults that `written` lacks, field by field; does not add blocks. */
function withDefaults(defaults: Json | undefined, written: Json): Json {
  if (Array.isArray(written)) return written.map((one) => withDefaults(defaults, one));
  if (!isFields(defaults) || !isFields(written)) return written;
  const merged = Object.entries(defaults)
    .filter(([key, value]) => key in written || !isFields(value))
    .map(([key, value]) => [key, key in written ? withDefaults(value, written[key] as Json) : value]);
  return { ...written, ...Object.fromEntries(merged) };
}

const isEmptyList = (value: Json): boolean => Array.isArray(value) && value.length === 0;

const isFields = (value: Json | undefined): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const camelCase = (key: string): string =>
  key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
