import { ClusterRoleBindingV1 } from '@cdktf/provider-kubernetes/lib/cluster-role-binding-v1/index.js';
import { ClusterRoleV1 } from '@cdktf/provider-kubernetes/lib/cluster-role-v1/index.js';
import { RoleBindingV1 } from '@cdktf/provider-kubernetes/lib/role-binding-v1/index.js';
import { RoleV1 } from '@cdktf/provider-kubernetes/lib/role-v1/index.js';
import { ServiceAccountV1 } from '@cdktf/provider-kubernetes/lib/service-account-v1/index.js';
import { Construct } from 'constructs';
import { type Component, labelsOf } from '../labels.ts';
import type { AccessRules, Rule } from './rules.ts';

/** A service account elsewhere that gets the same permissions. */
export interface AccountReference {
  readonly namespace: string;
  readonly name: string;
}

export interface ProgramAccessProps {
  /** Of the service account and the Role. */
  readonly namespace: string;
  /** Of the service account; the roles are called the same. */
  readonly name: string;
  readonly component: Component;
  readonly rules: AccessRules;
  /**
   * Service accounts of other namespaces that run the same program, such as the agent service's own.
   * @default - none
   */
  readonly alsoFor?: readonly AccountReference[];
}

const rbacGroup = 'rbac.authorization.k8s.io';

/** A program's service account and what it may do: a ClusterRole, and a Role in each namespace where it acts. */
export class ProgramAccess extends Construct {
  readonly serviceAccountName: string;

  constructor(scope: Construct, id: string, props: ProgramAccessProps) {
    super(scope, id);
    const { namespace, name, rules } = props;
    this.serviceAccountName = name;
    const labels = labelsOf(props.component);
    const subject = [{ namespace, name }, ...(props.alsoFor ?? [])].map((account) => ({
      kind: 'ServiceAccount',
      apiGroup: '',
      name: account.name,
      namespace: account.namespace,
    }));

    new ServiceAccountV1(this, 'account', { metadata: { name, namespace, labels } });

    new ClusterRoleV1(this, 'cluster-role', { metadata: { name, labels }, rule: rules.cluster });
    new ClusterRoleBindingV1(this, 'cluster-role-binding', {
      metadata: { name, labels },
      roleRef: { apiGroup: rbacGroup, kind: 'ClusterRole', name },
      subject,
    });

    const grantIn = (roleId: string, metadata: { name: string; namespace: string }, rule: Rule[]) => {
      new RoleV1(this, roleId, { metadata: { ...metadata, labels }, rule });
      new RoleBindingV1(this, `${roleId}-binding`, {
        metadata: { ...metadata, labels },
        roleRef: { apiGroup: rbacGroup, kind: 'Role', name: metadata.name },
        subject,
      });
    };
    grantIn('role', { name, namespace }, rules.namespace);
    if (rules.nodeEvents) {
      grantIn('node-events-role', { name: `${name}-node-events`, namespace: 'default' }, rules.nodeEvents);
    }
    for (const elsewhere of rules.blockedPods?.namespaces ?? []) {
      const metadata = { name: `${name}-blocked-pods`, namespace: elsewhere };
      grantIn(`blocked-pods-role-${elsewhere}`, metadata, rules.blockedPods?.rules ?? []);
    }
  }
}
