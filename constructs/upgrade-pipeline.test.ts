import { describe, expect, it } from 'vitest';
import { pipeline, settings } from '../test/constructs/synthesis.ts';

interface Metadata {
  readonly name: string;
  readonly namespace?: string;
}

interface Resource {
  readonly address: string;
  readonly type: string;
  readonly metadata: Metadata;
  readonly dependsOn: readonly string[];
}

type Bodies = Record<string, Record<string, Record<string, unknown>>>;

function resourcesOf(text: string): Resource[] {
  const { resource } = JSON.parse(text) as { resource: Bodies };
  return Object.entries(resource).flatMap(([type, byName]) =>
    Object.entries(byName).map(([name, body]) => {
      const { kind, metadata } = (body.manifest ?? {}) as { kind?: string; metadata?: Metadata };
      return {
        address: `${type}.${name}`,
        type: kind ?? type.replace(/^kubernetes_|_v1$/g, ''),
        metadata: (body.metadata ?? metadata ?? { name: '' }) as Metadata,
        dependsOn: (body.depends_on ?? []) as string[],
      };
    }),
  );
}

// With permissions in another namespace, so that every kind of resource is synthesized.
const resources = resourcesOf(
  pipeline({ settings: { ...settings, drain: { blockedPods: [{ namespaces: ['dbaas'] }] } } }).text,
);
const byAddress = new Map(resources.map((resource) => [resource.address, resource]));

/** Everything that Terraform creates before a resource, as `type name in namespace`. */
function earlier({ dependsOn }: Resource): string[] {
  return dependsOn.flatMap((address) => {
    const resource = byAddress.get(address);
    if (resource === undefined) throw new Error(`no resource has the address ${address}`);
    return [described(resource), ...earlier(resource)];
  });
}

const described = ({ type, metadata: { name, namespace } }: Resource): string =>
  `${type} ${name}${namespace === undefined ? '' : ` in ${namespace}`}`;

const ofType = (type: string): Resource[] => {
  const found = resources.filter((resource) => resource.type === type);
  expect(found, type).not.toEqual([]);
  return found;
};

describe('Terraform creates', () => {
  it('the namespace before the objects in it, and nothing else after it', () => {
    const first = 'namespace k8s-upgrade';
    const direct = resources.filter((r) => r.dependsOn.some((a) => a.startsWith('kubernetes_namespace_v1')));
    const inside = resources.filter((r) => r.metadata.namespace === 'k8s-upgrade');
    expect(direct.map(described)).toEqual(inside.map(described));
    for (const type of ['cluster_role', 'priority_class', 'ValidatingAdmissionPolicy'])
      for (const resource of ofType(type)) expect(earlier(resource), type).not.toContain(first);
  });

  it.each(['role', 'cluster_role'])('a %s and its account before its binding', (type) => {
    for (const binding of ofType(`${type}_binding`)) {
      const { name, namespace } = binding.metadata;
      const account = name.replace(/-(kube-system|node-events|blocked-pods)$/, '');
      expect(earlier(binding)).toContain(
        `${type} ${name}${namespace === undefined ? '' : ` in ${namespace}`}`,
      );
      expect(earlier(binding)).toContain(`service_account ${account} in k8s-upgrade`);
    }
  });

  it('everything that a pod needs before the CronJob that starts it', () => {
    // The pod of a node check has neither an account nor settings nor credentials.
    for (const cronJob of ofType('cron_job').filter((r) => r.metadata.name !== 'k8s-node-check')) {
      const { name } = cronJob.metadata;
      expect(earlier(cronJob)).toEqual(
        expect.arrayContaining([
          `service_account ${name} in k8s-upgrade`,
          `role_binding ${name} in k8s-upgrade`,
          `cluster_role_binding ${name}`,
          'config_map k8s-upgrade-settings in k8s-upgrade',
          'ExternalSecret k8s-upgrade-creds in k8s-upgrade',
        ]),
      );
    }
    const [execution] = ofType('cron_job').filter((r) => r.metadata.name === 'k8s-version-upgrade');
    expect(execution && earlier(execution)).toEqual(
      expect.arrayContaining([
        'priority_class k8s-version-upgrade',
        'role_binding k8s-version-upgrade-blocked-pods in dbaas',
      ]),
    );
  });

  it('an admission policy before its binding', () => {
    for (const binding of ofType('ValidatingAdmissionPolicyBinding'))
      expect(earlier(binding)).toContain('ValidatingAdmissionPolicy k8s-upgrade-jobs');
  });
});
