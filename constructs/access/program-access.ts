import { ClusterRoleBindingV1 } from '@cdktf/provider-kubernetes/lib/cluster-role-binding-v1/index.js';
import { ClusterRoleV1 } from '@cdktf/provider-kubernetes/lib/cluster-role-v1/index.js';
import { RoleBindingV1 } from '@cdktf/provider-kubernetes/lib/role-binding-v1/index.js';
import { RoleV1 } from '@cdktf/provider-kubernetes/lib/role-v1/index.js';
import { ServiceAccountV1 } from '@cdktf/provider-kubernetes/lib/service-account-v1/index.js';
import type { ITerraformDependable } from 'cdktf';
import { Construct } from 'constructs';
import { type Component, labelsOf } from '../labels.ts';
import type { AccessRules, Rule } from './rules.ts';

/** A service account that something else created and that gets the same permissions. */
export interface AccountReference {
  /** Namespace of the service account. */
  readonly namespace: string;
  /** Name of the service account. */
  readonly name: string;
}

/** What `ProgramAccess` needs to know about a program. */
export interface ProgramAccessProps {
  /** Namespace of the service account and of its Role. */
  readonly namespace: string;
  /** Name of the service account, its Role and its ClusterRole. */
  readonly name: string;
  /** Value of the label `app.kubernetes.io/component` on all of these objects. */
  readonly component: Component;
  /** What the program may do. */
  readonly rules: AccessRules;
  /**
   * Service accounts in other namespaces that run the same program, such as the agent service's.
   * @default - none
   */
  readonly alsoFor?: readonly AccountReference[];
}

const rbacGroup = 'rbac.authorization.k8s.io';

/**
 * A program's service account and its permissions: a ClusterRole, and a Role in each namespace where it acts.
 */
export class ProgramAccess extends Construct {
  /** Name of the service account, for the pod of the program. */
  readonly serviceAccountName: string;
  /** A pod of the program must depend on these: without them its requests are refused. */
  readonly bindings: readonly ITerraformDependable[];

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

    const account = new ServiceAccountV1(this, 'account', { metadata: { name, namespace, labels } });

    const clusterRole = new ClusterRoleV1(this, 'cluster-role', {
      metadata: { name, labels },
      rule: rules.cluster,
    });
    // An account that is not a cluster administrator can only bind a role that exists.
    const clusterRoleBinding = new ClusterRoleBindingV1(this, 'cluster-role-binding', {
      dependsOn: [clusterRole, account],
      metadata: { name, labels },
      roleRef: { apiGroup: rbacGroup, kind: 'ClusterRole', name },
      subject,
    });

    const grantIn = (roleId: string, metadata: { name: string; namespace: string }, rule: Rule[]) => {
      const role = new RoleV1(this, roleId, { metadata: { ...metadata, labels }, rule });
      return new RoleBindingV1(this, `${roleId}-binding`, {
        dependsOn: [role, account],
        metadata: { ...metadata, labels },
        roleRef: { apiGroup: rbacGroup, kind: 'Role', name: metadata.name },
        subject,
      });
    };
    const { namespace: own, kubeSystem, nodeEvents, blockedPods } = rules;
    this.bindings = [
      clusterRoleBinding,
      grantIn('role', { name, namespace }, own),
      ...(kubeSystem === undefined
        ? []
        : [
            grantIn(
              'kube-system-role',
              { name: `${name}-kube-system`, namespace: 'kube-system' },
              kubeSystem,
            ),
          ]),
      ...(nodeEvents === undefined
        ? []
        : [grantIn('node-events-role', { name: `${name}-node-events`, namespace: 'default' }, nodeEvents)]),
      ...(blockedPods?.namespaces ?? []).map((elsewhere) => {
        const metadata = { name: `${name}-blocked-pods`, namespace: elsewhere };
        return grantIn(`blocked-pods-role-${elsewhere}`, metadata, blockedPods?.rules ?? []);
      }),
    ];
  }
}
