import type { Attributes, Rbac } from '../auth/rbac.ts';
import type { User } from '../auth/tokens.ts';
import { apiVersionOf } from '../resources.ts';
import type { KubeObject, PolicyRule } from '../types.ts';

interface AccessSpec {
  resourceAttributes?: {
    namespace?: string;
    verb?: string;
    group?: string;
    resource?: string;
    subresource?: string;
    name?: string;
  };
  nonResourceAttributes?: { path?: string; verb?: string };
}

/** The answer to an access, rules or self subject review; undefined for any other resource. */
export function review(rbac: Rbac, user: User, resource: string, body: KubeObject): KubeObject | undefined {
  const answer = (group: string, kind: string, status: unknown): KubeObject => ({
    ...body,
    apiVersion: apiVersionOf({ group, version: 'v1' }),
    kind,
    metadata: { ...body.metadata },
    status,
  });
  switch (resource) {
    case 'selfsubjectaccessreviews':
      return answer(
        'authorization.k8s.io',
        'SelfSubjectAccessReview',
        access(rbac, user, body.spec as AccessSpec),
      );
    case 'subjectaccessreviews': {
      const spec = body.spec as (AccessSpec & { user?: string; groups?: string[] }) | undefined;
      const other: User = { name: spec?.user ?? '', groups: spec?.groups ?? [] };
      return answer('authorization.k8s.io', 'SubjectAccessReview', access(rbac, other, spec));
    }
    case 'selfsubjectrulesreviews': {
      const namespace = (body.spec as { namespace?: string } | undefined)?.namespace ?? '';
      return answer(
        'authorization.k8s.io',
        'SelfSubjectRulesReview',
        ruleLists(rbac.rulesOf(user, namespace)),
      );
    }
    case 'selfsubjectreviews':
      return answer('authentication.k8s.io', 'SelfSubjectReview', {
        userInfo: { username: user.name, groups: user.groups },
      });
    default:
      return undefined;
  }
}

function access(rbac: Rbac, user: User, spec: AccessSpec | undefined) {
  const r = spec?.resourceAttributes;
  const path = spec?.nonResourceAttributes?.path ?? '';
  const attributes: Attributes = {
    user,
    verb: r?.verb ?? spec?.nonResourceAttributes?.verb ?? '',
    path,
    ...(r === undefined
      ? {}
      : {
          resource: {
            group: r.group ?? '',
            name: r.resource ?? '',
            subresource: r.subresource ?? '',
            namespace: r.namespace,
            objectName: r.name ?? '',
          },
        }),
  };
  const reason = rbac.reasonOf(attributes);
  if (reason === undefined) return { allowed: false };
  return { allowed: true, ...(reason === '' ? {} : { reason }) };
}

function ruleLists(rules: readonly PolicyRule[]) {
  const forPaths = rules.filter((r) => r.nonResourceURLs !== undefined);
  return {
    resourceRules: rules
      .filter((r) => r.resources !== undefined)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        apiGroups,
        resources,
        resourceNames,
      })),
    nonResourceRules: forPaths.map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: false,
  };
}
