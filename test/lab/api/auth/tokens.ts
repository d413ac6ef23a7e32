import { randomBytes } from 'node:crypto';

/** An authenticated user. */
export interface User {
  /** Such as `system:serviceaccount:k8s-upgrade:k8s-version-upgrade`. */
  readonly name: string;
  /** Such as `system:masters`. */
  readonly groups: readonly string[];
}

/** The administrator or a service account. */
export type UserRef = 'admin' | { readonly namespace: string; readonly serviceAccount: string };

/** The user of a request without a token. */
export const anonymous: User = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

/** The administrator, a superuser. */
export const admin: User = {
  name: 'kubernetes-admin',
  groups: ['system:masters', 'kubeadm:cluster-admins', 'system:authenticated'],
};

/** The user that a service account authenticates as. */
export function serviceAccountUser(namespace: string, name: string): User {
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  };
}

/** Bearer tokens: one permanent token per user for kubeconfigs, and a separate one for each pod. */
export class Tokens {
  readonly #users = new Map<string, User>();
  readonly #permanent = new Map<string, string>();

  /** The user's permanent token; every call returns the same. */
  tokenOf(ref: UserRef): string {
    const user = ref === 'admin' ? admin : serviceAccountUser(ref.namespace, ref.serviceAccount);
    const known = this.#permanent.get(user.name);
    if (known !== undefined) return known;
    const token = this.issue(user);
    this.#permanent.set(user.name, token);
    return token;
  }

  /** Creates a new token. */
  issue(user: User): string {
    const token = randomBytes(24).toString('base64url');
    this.#users.set(token, user);
    return token;
  }

  /** Makes a token invalid. Does nothing if it is unknown. */
  revoke(token: string): void {
    this.#users.delete(token);
  }

  /** The user of an Authorization header: anonymous without one, undefined (401) for an unknown token. */
  userOf(authorization: string | undefined): User | undefined {
    if (authorization === undefined) return anonymous;
    const [, token] = /^Bearer (.+)$/i.exec(authorization) ?? [];
    return token === undefined ? undefined : this.#users.get(token.trim());
  }
}
