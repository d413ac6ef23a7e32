import { objectNames } from '../../runtime/src/names.ts';
import { type BlockedPodRule, namespacesOf } from '../../runtime/src/settings/blocked-pods.ts';
import type { Settings } from '../../runtime/src/settings/settings.ts';

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
  // `run`, kill-switch gate; `detect`, dispatch: is it on? Every SSH login of both under `accept-new`: the key that the node has to have.
  const readable = (...names: string[]): Rule => ({
    apiGroups: core,
    resources: ['configmaps'],
    verbs: ['get'],
    resourceNames: names,
  });
  if (scope.hostKeys === 'pinned') return [readable(objectNames.killSwitch)];
  return [
    readable(objectNames.killSwitch, objectNames.knownHosts),
    // SSH of `run` and `detect`, first login to the first node: remember its key in the cluster.
    { apiGroups: core, resources: ['configmaps'], verbs: ['create'] },
    // SSH of `run` and `detect`, first login to every other node: add its key to those.
    { apiGroups: core, resources: ['configmaps'], verbs: ['patch'], resourceNames: [objectNames.knownHosts] },
  ];
}

/** Who holds the lease: `run` before it takes it, `detect` before it dispatches, `submit` before it creates a Job, `status`. */
const leaseRead: Rule = {
  apiGroups: ['coordination.k8s.io'],
  resources: ['leases'],
  verbs: ['get'],
  resourceNames: [objectNames.lease],
};

/** What a Job is made of: `run` for its next one, `submit` and `detect` with `dispatch.mode: job` for the first. */
const executionTemplateRead: Rule = {
  apiGroups: ['batch'],
  resources: ['cronjobs'],
  verbs: ['get'],
  resourceNames: [objectNames.executionCronJob],
};

/** The annotations of a rollout: of this one namespace. */
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
      // Which API servers are behind, of several. Preflight: control-plane pods, drainability. Drain: which pods are on the node, and until when. Post-flight: ready ratio.
      { apiGroups: core, resources: ['pods'], verbs: ['list', 'watch'] },
      // Drain; preflight with dryRun=All.
      { apiGroups: core, resources: ['pods/eviction'], verbs: ['create'] },
      // Drain: does the DaemonSet that owns a pod still exist? (F30)
      { apiGroups: ['apps'], resources: ['daemonsets'], verbs: ['get'] },
      // Preflight and drain: the budget behind a refusal (F17).
      { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: ['list'] },
      // All stages: the in-flight annotations.
      ownNamespace(scope, ['get', 'patch']),
      ...blocked.cluster,
    ],
    namespace: [
      // Before the first stage and all through: one executor at a time takes it, renews it and gives it back.
      { ...leaseRead, verbs: ['get', 'update'] },
      // Before the first stage of the first run in a cluster: there is no Lease yet.
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
      // Kill-switch gate; SSH host keys.
      ...configMapRules(scope),
      // Workers, its own node is next: the next Job is made from the template.
      executionTemplateRead,
      // The same: creates that Job. Before the first stage: has this Job handed over already, before it was killed?
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
    // Dispatch with `dispatch.mode: job`: the template of the Job.
    executionTemplateRead,
    // The same: creates the Job.
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
      // Dispatch: is a Job still running?
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['list'] },
      // Dispatch: has a node taken it, and if none has, why (F4)?
      { apiGroups: core, resources: ['pods'], verbs: ['list'] },
      ...(scope.dispatch === 'job' ? dispatchesJobs : []),
    ],
  };
}

/** `k8s-upgrade submit` by the agent service: submit a run and read how it goes, no more. */
export function submitterRules(scope: AccessScope): AccessRules {
  return {
    cluster: [
      // `submit`, check of the inputs: the running version; placement of the first Job. `status`: the nodes.
      { apiGroups: core, resources: ['nodes'], verbs: ['list'] },
      // `status`: the in-flight annotations.
      ownNamespace(scope, ['get']),
    ],
    namespace: [
      // `submit`: is an executor alive? `status`: which.
      leaseRead,
      // `submit`, `status`: kill switch. Both: the settings, which the agent's pod has no mount for.
      {
        apiGroups: core,
        resources: ['configmaps'],
        verbs: ['get'],
        resourceNames: [objectNames.killSwitch, objectNames.settings],
      },
      // `submit`: the template of the Job.
      executionTemplateRead,
      // `submit`: is a Job at work already (list)? Creates the first one; has it ended (get), and is there another after it (list)? `status`: the Jobs.
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'get', 'list'] },
      // `submit` follows the Job: waits for its pods (list, watch), and sees how one has ended whose log is over (get).
      { apiGroups: core, resources: ['pods'], verbs: ['get', 'list', 'watch'] },
      // `submit` follows the Job: its log (F30).
      { apiGroups: core, resources: ['pods/log'], verbs: ['get'] },
    ],
  };
}
