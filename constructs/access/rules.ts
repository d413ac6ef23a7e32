import { type BlockedPodRule, namespacesOf } from '../../runtime/src/cluster/blocked-pods.ts';
import { objectNames } from '../../runtime/src/names.ts';
import type { Settings } from '../../runtime/src/settings.ts';

/** One rule of a Role or ClusterRole. */
export interface Rule {
  readonly apiGroups: string[];
  readonly resources: string[];
  readonly verbs: string[];
  /** Only these objects. `create` and `list` cannot be restricted so: the API server knows no name then. */
  readonly resourceNames?: string[];
}

/** What one program may do, by where it may do it. */
export interface AccessRules {
  /** Through a ClusterRole: cluster-scoped resources, and pods of every namespace. */
  readonly cluster: Rule[];
  /** Through a Role in the pipeline's namespace. */
  readonly namespace: Rule[];
  /** Through a Role in `default`, where the Events of Nodes live. */
  readonly nodeEvents?: Rule[];
  /** Through a Role in each of these namespaces, which exist already. */
  readonly blockedPods?: { readonly namespaces: readonly string[]; readonly rules: Rule[] };
}

/** What the rules depend on. */
export interface AccessScope {
  readonly namespace: string;
  readonly hostKeys: Settings['ssh']['hostKeys']['policy'];
  readonly dispatch: Settings['dispatch']['mode'];
  /** `drain.blockedPods`. @default - none */
  readonly blockedPods?: readonly BlockedPodRule[];
}

const core = [''];

/** The killswitch, and under `accept-new` the remembered host keys. */
function configMapRules(scope: AccessScope): Rule[] {
  const readable = (...names: string[]): Rule => ({
    apiGroups: core,
    resources: ['configmaps'],
    verbs: ['get'],
    resourceNames: names,
  });
  if (scope.hostKeys === 'pinned') return [readable(objectNames.killSwitch)];
  return [
    readable(objectNames.killSwitch, objectNames.knownHosts),
    // SSH, first connection to a node: remember its key in the cluster.
    { apiGroups: core, resources: ['configmaps'], verbs: ['create'] },
    { apiGroups: core, resources: ['configmaps'], verbs: ['patch'], resourceNames: [objectNames.knownHosts] },
  ];
}

const leaseRead: Rule = {
  apiGroups: ['coordination.k8s.io'],
  resources: ['leases'],
  verbs: ['get'],
  resourceNames: [objectNames.lease],
};

const executionTemplateRead: Rule = {
  apiGroups: ['batch'],
  resources: ['cronjobs'],
  verbs: ['get'],
  resourceNames: [objectNames.executionCronJob],
};

const ownNamespace = (scope: AccessScope, verbs: string[]): Rule => ({
  apiGroups: core,
  resources: ['namespaces'],
  verbs,
  resourceNames: [scope.namespace],
});

// Preflight with dryRun=All; drain: a pod that `drain.blockedPods` names and whose eviction stays refused (F17).
const podDeletion: Rule = { apiGroups: core, resources: ['pods'], verbs: ['delete'] };

/** Only where the settings name pods. A rule that goes by labels alone can name one in any namespace. */
function blockedPodRules({ blockedPods = [] }: AccessScope): {
  cluster: Rule[];
  own: Pick<AccessRules, 'blockedPods'>;
} {
  const namespaces = namespacesOf(blockedPods);
  if (namespaces === 'all') return { cluster: [podDeletion], own: {} };
  if (namespaces.length === 0) return { cluster: [], own: {} };
  return { cluster: [], own: { blockedPods: { namespaces, rules: [podDeletion] } } };
}

/** `k8s-upgrade run`: what its stages and gates use, and nothing more. */
export function executorRules(scope: AccessScope): AccessRules {
  const blocked = blockedPodRules(scope);
  return {
    ...blocked.own,
    cluster: [
      // All stages: which nodes there are and at which version. Master, workers: cordon, uncordon, and our own marks.
      { apiGroups: core, resources: ['nodes'], verbs: ['list', 'watch', 'patch'] },
      // Preflight: control-plane pods, drainability. Drain: which pods are on the node, and until when. Post-flight: ready ratio.
      { apiGroups: core, resources: ['pods'], verbs: ['list', 'watch'] },
      // Drain; preflight with dryRun=All.
      { apiGroups: core, resources: ['pods/eviction'], verbs: ['create'] },
      // Drain: does the DaemonSet that owns a pod still exist? (F30)
      { apiGroups: ['apps'], resources: ['daemonsets'], verbs: ['get'] },
      // Preflight and drain: the budget behind a refusal (F17).
      { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: ['list'] },
      // All stages: the in-flight annotations. Of this one namespace.
      ownNamespace(scope, ['get', 'patch']),
      ...blocked.cluster,
    ],
    namespace: [
      // Before the first stage and all through: one executor at a time.
      { ...leaseRead, verbs: ['get', 'update'] },
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
      // Kill-switch gate; SSH host keys.
      ...configMapRules(scope),
      // Placement: the next leg is made from the template, unless it is there already.
      executionTemplateRead,
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'list'] },
    ],
    nodeEvents: [
      // Master, workers: what happened to a node shows in `kubectl describe node`.
      { apiGroups: core, resources: ['events'], verbs: ['create'] },
    ],
  };
}

/** `k8s-upgrade detect`. Its Secret is mounted by the kubelet; the program never reads it through the API. */
export function detectorRules(scope: AccessScope): AccessRules {
  const dispatchesJobs: Rule[] = [
    // Dispatch by Job: the template and the leg.
    executionTemplateRead,
    { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create'] },
  ];
  return {
    cluster: [
      // Observe: the kubelets' versions, the control plane's address.
      { apiGroups: core, resources: ['nodes'], verbs: ['list'] },
      // Dispatch: is a run in flight? Heal a leaked latch; remember what was dispatched.
      ownNamespace(scope, ['get', 'patch']),
    ],
    namespace: [
      // Dispatch: is an executor alive?
      leaseRead,
      // Dispatch: kill switch. Candidates: SSH host keys.
      ...configMapRules(scope),
      // Dispatch: is a leg still running? Has a node taken it, and if none has, why (F4)?
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['list'] },
      { apiGroups: core, resources: ['pods'], verbs: ['list'] },
      ...(scope.dispatch === 'job' ? dispatchesJobs : []),
    ],
  };
}

/** `k8s-upgrade submit` by the agent service: submit a run and read how it goes, no more. */
export function submitterRules(scope: AccessScope): AccessRules {
  return {
    cluster: [
      // Check the inputs: the running version. Placement of the first leg.
      { apiGroups: core, resources: ['nodes'], verbs: ['list'] },
      // `k8s-upgrade status`: the in-flight annotations.
      ownNamespace(scope, ['get']),
    ],
    namespace: [
      // Is an executor alive?
      leaseRead,
      // Kill switch. The settings, which the agent's pod has no mount for.
      {
        apiGroups: core,
        resources: ['configmaps'],
        verbs: ['get'],
        resourceNames: [objectNames.killSwitch, objectNames.settings],
      },
      // The template, the leg, and its progress.
      executionTemplateRead,
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'get', 'list'] },
      { apiGroups: core, resources: ['pods'], verbs: ['get', 'list', 'watch'] },
      // Follow the log (F30).
      { apiGroups: core, resources: ['pods/log'], verbs: ['get'] },
    ],
  };
}
