import { objectNames } from '../../runtime/src/names.ts';
import { type BlockedPodRule, namespacesOf } from '../../runtime/src/settings/blocked-pods.ts';
import type { Settings } from '../../runtime/src/settings/settings.ts';

/** One rule of a Role or ClusterRole. */
export interface Rule {
  /** API groups; `''` is the core group. */
  readonly apiGroups: string[];
  /** Resources in the plural, with a subresource after a slash: `pods/eviction`. */
  readonly resources: string[];
  /** Verbs such as `get` and `patch`. */
  readonly verbs: string[];
  /**
   * Names of the only objects that the rule covers. RBAC cannot restrict `create` and `list` by name, as the
   * request does not carry one.
   * @default - every object
   */
  readonly resourceNames?: string[];
}

/** What one program may do, by scope. */
export interface AccessRules {
  /** Through a ClusterRole: cluster-scoped resources, and pods of every namespace. */
  readonly cluster: Rule[];
  /** Through a Role in the pipeline's namespace. */
  readonly namespace: Rule[];
  /** Through a Role in `default`, where the Events of Nodes live. @default - none */
  readonly nodeEvents?: Rule[];
  /** Through a Role in `kube-system`. @default - none */
  readonly kubeSystem?: Rule[];
  /** Through a Role in each of these namespaces, which must exist. @default - none */
  readonly blockedPods?: { readonly namespaces: readonly string[]; readonly rules: Rule[] };
}

/** The settings that the rules depend on. */
export interface AccessScope {
  /** The pipeline's namespace. */
  readonly namespace: string;
  /** `ssh.hostKeys.policy`: `accept-new` needs a ConfigMap for the remembered keys. */
  readonly hostKeys: Settings['ssh']['hostKeys']['policy'];
  /** `dispatch.mode`: with `job` the detector creates the Job itself. */
  readonly dispatch: Settings['dispatch']['mode'];
  /** `drain.blockedPods`: the executor may delete pods only where this names some. @default - none */
  readonly blockedPods?: readonly BlockedPodRule[];
}

const core = [''];

/** The kill switch, and under `accept-new` the remembered host keys. */
function configMapRules(scope: AccessScope): Rule[] {
  // The kill-switch gate of `run` and the dispatch of `detect` read the kill switch. Under `accept-new` every
  // SSH login of both reads the host key that the node must present.
  const readable = (...names: string[]): Rule => ({
    apiGroups: core,
    resources: ['configmaps'],
    verbs: ['get'],
    resourceNames: names,
  });
  if (scope.hostKeys === 'pinned') return [readable(objectNames.killSwitch)];
  return [
    readable(objectNames.killSwitch, objectNames.knownHosts),
    // SSH of `run` and `detect`, first login to the first node: creates the ConfigMap with its key.
    { apiGroups: core, resources: ['configmaps'], verbs: ['create'] },
    // SSH of `run` and `detect`, first login to every other node: adds its key.
    { apiGroups: core, resources: ['configmaps'], verbs: ['patch'], resourceNames: [objectNames.knownHosts] },
  ];
}

/**
 * Who holds the Lease. `run` reads it before it acquires it, `detect` before it dispatches, `submit` before
 * it creates a Job, `status` to show it.
 */
const leaseRead: Rule = {
  apiGroups: ['coordination.k8s.io'],
  resources: ['leases'],
  verbs: ['get'],
  resourceNames: [objectNames.lease],
};

/**
 * The template of every Job: `run` reads it for the next Job of the run, `submit`, and `detect` with
 * `dispatch.mode: job`, for the first.
 */
const executionTemplateRead: Rule = {
  apiGroups: ['batch'],
  resources: ['cronjobs'],
  verbs: ['get'],
  resourceNames: [objectNames.executionCronJob],
};

/** The annotations of a rollout, on the pipeline's namespace and no other. */
const ownNamespace = (scope: AccessScope, verbs: string[]): Rule => ({
  apiGroups: core,
  resources: ['namespaces'],
  verbs,
  resourceNames: [scope.namespace],
});

// Preflight checks it with dryRun=All. A drain deletes a pod that `drain.blockedPods` names when its eviction
// stays refused (F17).
const podDeletion: Rule = { apiGroups: core, resources: ['pods'], verbs: ['delete'] };

/** Deletion in the namespaces that the rules name; in every namespace when a rule selects by labels alone. */
function blockedPodRules({ blockedPods = [] }: AccessScope): {
  cluster: Rule[];
  own: Pick<AccessRules, 'blockedPods'>;
} {
  const namespaces = namespacesOf(blockedPods);
  if (namespaces === 'all') return { cluster: [podDeletion], own: {} };
  if (namespaces.length === 0) return { cluster: [], own: {} };
  return { cluster: [], own: { blockedPods: { namespaces, rules: [podDeletion] } } };
}

/** Permissions of `k8s-upgrade run`: what its stages and gates use, and nothing more. */
export function executorRules(scope: AccessScope): AccessRules {
  const blocked = blockedPodRules(scope);
  return {
    ...blocked.own,
    cluster: [
      // All stages: lists the nodes and their versions. Master and workers: cordon, uncordon, annotate.
      { apiGroups: core, resources: ['nodes'], verbs: ['list', 'watch', 'patch'] },
      // With several control-plane nodes: which API servers are behind. Preflight: the control-plane pods,
      // and whether nodes can be drained. Drain: the pods of the node, until they are gone. Post-flight: the
      // ratio of ready pods.
      { apiGroups: core, resources: ['pods'], verbs: ['list', 'watch'] },
      // Drain; preflight with dryRun=All.
      { apiGroups: core, resources: ['pods/eviction'], verbs: ['create'] },
      // Drain: checks whether the DaemonSet that owns a pod still exists (F30). Post-flight: kube-proxy's.
      { apiGroups: ['apps'], resources: ['daemonsets'], verbs: ['get'] },
      // Preflight and drain: name the budget that caused a refusal (F17).
      { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: ['list'] },
      // All stages: the in-flight annotations.
      ownNamespace(scope, ['get', 'patch']),
      ...blocked.cluster,
    ],
    namespace: [
      // Before the first stage and during the whole run: one executor at a time holds it.
      { ...leaseRead, verbs: ['get', 'update'] },
      // Before the first stage of the first run in a cluster, which has no Lease yet.
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
      // Kill-switch gate; SSH host keys.
      ...configMapRules(scope),
      // Workers, when the executor's own node is next: reads the template of the next Job. Master, workers:
      // that of the node check.
      {
        ...executionTemplateRead,
        resourceNames: [objectNames.executionCronJob, objectNames.nodeCheckCronJob],
      },
      // Creates these Jobs. Before the first stage: had this Job already handed over when it was killed
      // (list)?
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'list'] },
    ],
    kubeSystem: [
      // Preflight: what kubeadm deploys, and would replace (F33).
      {
        apiGroups: core,
        resources: ['configmaps'],
        verbs: ['get'],
        resourceNames: ['kubeadm-config', 'kube-proxy', 'coredns'],
      },
      // Preflight: CoreDNS, and whether there is another DNS beside it (F33). Post-flight: CoreDNS' image.
      { apiGroups: ['apps'], resources: ['deployments'], verbs: ['get', 'list'] },
    ],
    nodeEvents: [
      // Master, workers: Events, so that `kubectl describe node` shows what happened to a node.
      { apiGroups: core, resources: ['events'], verbs: ['create'] },
    ],
  };
}

/** Permissions of `k8s-upgrade detect`. It has no access to its Secret in the API: the kubelet mounts it. */
export function detectorRules(scope: AccessScope): AccessRules {
  const dispatchesJobs: Rule[] = [
    // Dispatch with `dispatch.mode: job`: reads the template of the Job.
    executionTemplateRead,
    // Dispatch with `dispatch.mode: job`: creates the Job.
    { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create'] },
  ];
  return {
    cluster: [
      // Observe: the kubelets' versions, the control plane's address.
      { apiGroups: core, resources: ['nodes'], verbs: ['list'] },
      // Dispatch: is a rollout in flight? Clears stale in-flight annotations; records what was dispatched.
      ownNamespace(scope, ['get', 'patch']),
    ],
    namespace: [
      // Dispatch: is an executor alive?
      leaseRead,
      // Dispatch: kill switch. Candidates: SSH host keys.
      ...configMapRules(scope),
      // Dispatch: is a Job still running?
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['list'] },
      // Dispatch: is the Job's pod scheduled, and if not, why (F4)?
      { apiGroups: core, resources: ['pods'], verbs: ['list'] },
      ...(scope.dispatch === 'job' ? dispatchesJobs : []),
    ],
  };
}

/** Permissions of `k8s-upgrade submit` in the agent service: submit a run and follow it, nothing more. */
export function submitterRules(scope: AccessScope): AccessRules {
  return {
    cluster: [
      // `submit` checks its inputs against the running version and places the first Job. `status`: the nodes.
      { apiGroups: core, resources: ['nodes'], verbs: ['list'] },
      // `status`: the in-flight annotations.
      ownNamespace(scope, ['get']),
    ],
    namespace: [
      // `submit`: is an executor alive? `status`: which one?
      leaseRead,
      // `submit`, `status`: the kill switch, and the settings, which the agent's pod does not mount.
      {
        apiGroups: core,
        resources: ['configmaps'],
        verbs: ['get'],
        resourceNames: [objectNames.killSwitch, objectNames.settings],
      },
      // `submit`: the template of the Job.
      executionTemplateRead,
      // `submit`: is a Job running already (list)? Creates the first Job; has it ended (get), and is there a
      // next one (list)? `status`: the Jobs.
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'get', 'list'] },
      // `submit` follows the Job: waits for its pods (list, watch), and reads how a pod ended once its log
      // ends (get).
      { apiGroups: core, resources: ['pods'], verbs: ['get', 'list', 'watch'] },
      // `submit` follows the Job: prints its log (F30).
      { apiGroups: core, resources: ['pods/log'], verbs: ['get'] },
    ],
  };
}
