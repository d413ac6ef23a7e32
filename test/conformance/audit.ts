import { objectNames } from '../../runtime/src/names.ts';
import type { Rest } from '../lab/api/contract/rest.ts';
import type { PolicyRule, Role } from '../lab/api/types.ts';
import type { AuditEvent } from './real-cluster.ts';

/** What the audit log says of the pipeline's own accounts. */

const accounts: string[] = [
  objectNames.detectorServiceAccount,
  objectNames.executorServiceAccount,
  objectNames.submitterServiceAccount,
].map((name) => `system:serviceaccount:${objectNames.namespace}:${name}`);

export const ofPipeline = (events: readonly AuditEvent[]): AuditEvent[] =>
  events.filter(({ user }) => accounts.includes(user.username));

/** One verb on one kind of object, or on one object, that one rule of one role grants. */
interface Grant {
  /** `ClusterRole k8s-version-check: list nodes`. */
  readonly text: string;
  readonly uses: (event: AuditEvent) => boolean;
}

/** Every grant of the deployed roles, those of {@link accounts} and no others. */
export async function grantsOf(rest: Rest): Promise<Grant[]> {
  const base = '/apis/rbac.authorization.k8s.io/v1';
  const [clusterRoles, roles] = await Promise.all([
    rest.get(`${base}/clusterroles`),
    rest.get(`${base}/roles`),
  ]);
  const ours = [
    ...(clusterRoles.items as Role[]).map((role) => ({ role, kind: 'ClusterRole' })),
    ...(roles.items as Role[]).map((role) => ({ role, kind: 'Role' })),
  ].filter(
    ({ role }) =>
      role.metadata.name.startsWith('k8s-upgrade') || role.metadata.name.startsWith('k8s-version'),
  );
  return ours.flatMap(({ role, kind }) =>
    (role.rules ?? []).flatMap((rule) => grantsOfRule(`${kind} ${role.metadata.name}`, role, rule)),
  );
}

function grantsOfRule(where: string, { metadata }: Role, rule: PolicyRule): Grant[] {
  const names: (string | undefined)[] = rule.resourceNames ?? [undefined];
  return (rule.resources ?? []).flatMap((resource) =>
    rule.verbs.flatMap((verb) =>
      names.map((name): Grant => {
        const place = metadata.namespace === undefined ? '' : ` in ${metadata.namespace}`;
        return {
          text: `${where}${place}: ${verb} ${resource}${name === undefined ? '' : ` ${name}`}`,
          uses: (event) =>
            matches(event, { verb, resource, name, namespace: metadata.namespace, role: metadata.name }),
        };
      }),
    ),
  );
}

interface Wanted {
  readonly verb: string;
  readonly resource: string;
  readonly name: string | undefined;
  readonly namespace: string | undefined;
  readonly role: string;
}

function matches({ verb, objectRef, annotations }: AuditEvent, wanted: Wanted): boolean {
  const { resource = '', subresource, namespace, name } = objectRef ?? {};
  const full = subresource === undefined ? resource : `${resource}/${subresource}`;
  return (
    verb === wanted.verb &&
    full === wanted.resource &&
    (wanted.name === undefined || wanted.name === name) &&
    (wanted.namespace === undefined || wanted.namespace === namespace) &&
    annotations?.['authorization.k8s.io/decision'] === 'allow' &&
    annotations['authorization.k8s.io/reason']?.includes(`Role "${wanted.role}"`) === true
  );
}
