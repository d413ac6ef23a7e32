import type { Store } from '../store.ts';
import type { PolicyRule, RoleBinding, RoleRef, Subject } from '../types.ts';
import type { User } from './tokens.ts';

/** The request that the authorizer decides on, as in a SubjectAccessReview. */
export interface Attributes {
  /** Who sends the request. */
  readonly user: User;
  /** RBAC verb; for a non-resource path the HTTP method in lower case. */
  readonly verb: string;
  /** Undefined for a non-resource path. */
  readonly resource?: {
    readonly group: string;
    readonly name: string;
    readonly subresource: string;
    readonly namespace: string | undefined;
    readonly objectName: string;
  };
  /** Path of the URL. */
  readonly path: string;
}

/** The rule that allowed a request. Tests use it to prove that a rule is needed. */
export interface AllowedBy {
  /** Kind of the role; `superuser` for members of `system:masters`. */
  readonly role: 'superuser' | 'ClusterRole' | 'Role';
  /** Namespace of a Role; empty otherwise. */
  readonly namespace: string;
  /** Name of the role. */
  readonly name: string;
  /** Position in the role's `rules`; -1 for a superuser. */
  readonly rule: number;
}

interface Grant {
  /** The reason in the answer to a SubjectAccessReview. */
  readonly reason: string;
  readonly by: AllowedBy;
  readonly rule: PolicyRule;
}

/** Authorizes requests like kube-apiserver's RBAC, from the stored roles and bindings. */
export class Rbac {
  /** False while a starting server has not read the roles: only superusers are allowed then. */
  synced = true;
  readonly #store: Store;
  constructor(store: Store) {
    this.#store = store;
  }

  /** The rule that allows the request; undefined when none does. */
  allowedBy(a: Attributes): AllowedBy | undefined {
    if (a.user.groups.includes('system:masters')) {
      return { role: 'superuser', namespace: '', name: 'system:masters', rule: -1 };
    }
    return this.#grants(a.user, a.resource?.namespace).find((g) => covers(g.rule, a))?.by;
  }

  /** Why the request is allowed, in RBAC's wording; undefined when it is not. */
  reasonOf(a: Attributes): string | undefined {
    if (a.user.groups.includes('system:masters')) return '';
    return this.#grants(a.user, a.resource?.namespace).find((g) => covers(g.rule, a))?.reason;
  }

  /** All rules that apply to the user in a namespace, for SelfSubjectRulesReview. */
  rulesOf(user: User, namespace: string): PolicyRule[] {
    if (user.groups.includes('system:masters')) {
      return [
        { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
        { nonResourceURLs: ['*'], verbs: ['*'] },
      ];
    }
    return this.#grants(user, namespace).map((g) => g.rule);
  }

  #grants(user: User, namespace: string | undefined): Grant[] {
    if (!this.synced) return [];
    const cluster = this.#bound(this.#store.list('clusterrolebindings'), user);
    if (namespace === undefined || namespace === '') return cluster;
    return [...cluster, ...this.#bound(this.#store.list('rolebindings', namespace), user)];
  }

  #bound(bindings: readonly RoleBinding[], user: User): Grant[] {
    return bindings.flatMap((b) => {
      const { namespace } = b.metadata;
      const subject = (b.subjects ?? []).find((s) => isSubject(s, user, namespace));
      return subject === undefined ? [] : this.#rules(b.roleRef, namespace, reasonOf(b, subject));
    });
  }

  #rules(ref: RoleRef, namespace: string | undefined, reason: string): Grant[] {
    const inNamespace = ref.kind === 'Role';
    const role = inNamespace
      ? this.#store.get('roles', namespace, ref.name)
      : this.#store.get('clusterroles', undefined, ref.name);
    return (role?.rules ?? []).map((rule, index) => ({
      rule,
      reason,
      by: {
        role: inNamespace ? 'Role' : 'ClusterRole',
        namespace: inNamespace ? (namespace ?? '') : '',
        name: ref.name,
        rule: index,
      },
    }));
  }
}

function reasonOf({ kind, metadata, roleRef }: RoleBinding, subject: Subject): string {
  const { namespace, name } = metadata;
  const binding = `${kind} ${JSON.stringify(namespace === undefined ? name : `${name}/${namespace}`)}`;
  const who =
    subject.kind === 'ServiceAccount' ? `${subject.name}/${subject.namespace ?? namespace}` : subject.name;
  return `RBAC: allowed by ${binding} of ${roleRef.kind} "${roleRef.name}" to ${subject.kind} "${who}"`;
}

function isSubject(s: Subject, user: User, bindingNamespace: string | undefined): boolean {
  switch (s.kind) {
    case 'User':
      return s.name === user.name;
    case 'Group':
      return user.groups.includes(s.name);
    case 'ServiceAccount':
      return user.name === `system:serviceaccount:${s.namespace ?? bindingNamespace}:${s.name}`;
    default:
      return false;
  }
}

const has = (list: readonly string[] | undefined, wanted: string): boolean =>
  list !== undefined && (list.includes('*') || list.includes(wanted));

function covers(rule: PolicyRule, a: Attributes): boolean {
  if (!has(rule.verbs, a.verb)) return false;
  const r = a.resource;
  if (r === undefined) {
    return (rule.nonResourceURLs ?? []).some((u) =>
      u.endsWith('*') ? a.path.startsWith(u.slice(0, -1)) : u === a.path,
    );
  }
  const names = rule.resourceNames ?? [];
  return (
    has(rule.apiGroups, r.group) &&
    coversResource(rule.resources, r.name, r.subresource) &&
    (names.length === 0 || names.includes(r.objectName))
  );
}

function coversResource(list: readonly string[] | undefined, name: string, subresource: string): boolean {
  if (subresource === '') return has(list, name);
  return has(list, `${name}/${subresource}`) || (list ?? []).includes(`*/${subresource}`);
}

/** The part of the message after `… is forbidden: `. */
export function denial(a: Attributes): string {
  const user = `User ${JSON.stringify(a.user.name)} cannot ${a.verb}`;
  const r = a.resource;
  if (r === undefined) return `${user} path ${JSON.stringify(a.path)}`;
  const what = r.subresource === '' ? r.name : `${r.name}/${r.subresource}`;
  const scope =
    r.namespace === undefined || r.namespace === ''
      ? 'at the cluster scope'
      : `in the namespace ${JSON.stringify(r.namespace)}`;
  return `${user} resource ${JSON.stringify(what)} in API group ${JSON.stringify(r.group)} ${scope}`;
}
