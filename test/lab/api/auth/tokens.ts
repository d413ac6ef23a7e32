import { randomBytes } from 'node:crypto';

export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

export type UserRef = 'admin' | { readonly namespace: string; readonly serviceAccount: string };

export const anonymous: User = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

export const admin: User = {
  name: 'kubernetes-admin',
  groups: ['system:masters', 'kubeadm:cluster-admins', 'system:authenticated'],
};

export function serviceAccountUser(namespace: string, name: string): User {
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  };
}

/** Bearer tokens: one lasting token per user for kubeconfigs, and tokens of their own for pods. */
export class Tokens {
  readonly #users = new Map<string, User>();
  readonly #lasting = new Map<string, string>();

  /** The same token for the same user at each call. */
  tokenOf(ref: UserRef): string {
    const user = ref === 'admin' ? admin : serviceAccountUser(ref.namespace, ref.serviceAccount);
    const known = this.#lasting.get(user.name);
    if (known !== undefined) return known;
    const token = this.issue(user);
    this.#lasting.set(user.name, token);
    return token;
  }

  issue(user: User): string {
    const token = randomBytes(24).toString('base64url');
    this.#users.set(token, user);
    return token;
  }

  revoke(token: string): void {
    this.#users.delete(token);
  }

  /**
   * No header: anonymous. A header that names no known token: undefined, which is 401.
   */
  userOf(authorization: string | undefined): User | undefined {
    if (authorization === undefined) return anonymous;
    const [, token] = /^Bearer (.+)$/i.exec(authorization) ?? [];
    return token === undefined ? undefined : this.#users.get(token.trim());
  }
}
