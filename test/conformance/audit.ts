import { objectNames } from '../../runtime/src/names.ts';
import type { Rest } from '../lab/api/contract/rest.ts';
import type { PolicyRule, Role } from '../lab/api/types.ts';
import type { AuditEvent } from './real-cluster.ts';

/** The service accounts of the pipeline. */
const accounts: string[] = [
  objectNames.detectorServiceAccount,
  objectNames.executorServiceAccount,
  objectNames.submitterServiceAccount,
].map((name) => `system:serviceaccount:${objectNames.namespace}:${name}`);

/** The events of the pipeline's accounts. */
export const ofPipeline = (events: readonly AuditEvent[]): AuditEvent[] =>
  events.filter(({ user }) => accounts.includes(user.username));

/** A permission from one rule of a role: one verb on a resource, or on one object of it. */
interface Grant {
  /** `ClusterRole k8s-version-check: list nodes`. */
  readonly text: string;
  /** Whether the request was allowed by this permission. */
  readonly uses: (event: AuditEvent) => boolean;
}

/** Every permission of the pipeline's deployed roles. */
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
