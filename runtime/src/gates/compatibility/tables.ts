/**
 * What a minor takes away, and what it needs. A row is here only when its source says so in public; a name that is in no row
 * is not judged. Add rows as releases come out: no other file knows a version.
 */

/** `1.35`. */
export type Minor = `${number}.${number}`;

interface Sourced {
  /** Where this is written: a pull request of the project named, or an address. */
  readonly source: string;
}

/** A name that the kubelet refuses to start with, from a minor on. */
export interface RemovedName extends Sourced {
  readonly name: string;
  /** The first minor without it. */
  readonly removedIn: Minor;
}

export interface RemovedFlag extends RemovedName {
  /** `kubeadm upgrade` to that minor takes the flag out of this file itself. */
  readonly cleanedFrom?: string;
}

export const removedKubeletFlags: readonly RemovedFlag[] = [
  {
    name: '--container-runtime',
    removedIn: '1.27',
    source: 'https://kubernetes.io/blog/2023/03/17/upcoming-changes-in-kubernetes-v1-27/',
  },
  { name: '--register-schedulable', removedIn: '1.34', source: 'kubernetes/kubernetes #122384' },
  { name: '--cloud-config', removedIn: '1.34', source: 'kubernetes/kubernetes #130161' },
  {
    name: '--pod-infra-container-image',
    removedIn: '1.35',
    // kubernetes/kubernetes #133778 has kubeadm clean its own file, and only that one.
    cleanedFrom: '/var/lib/kubelet/kubeadm-flags.env',
    source: 'kubernetes/kubernetes #133779',
  },
];

/** Where a gate that is in no row is looked up. */
export const featureGatePage =
  'https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/';

/**
 * Read in the sources of each minor's first release: pkg/features of kubernetes/kubernetes, apiserver, apiextensions-apiserver and
 * controller-manager, features of client-go, metrics, logs and zpages of component-base. What the minor before has there and this
 * one has not is gone. The website's list (`removed: true` in a gate's page) says so later, and not of all.
 */
const inSources = (removedIn: Minor) =>
  `not in the sources of v${removedIn}.0 any more: kubernetes/kubernetes pkg/features and its staging modules`;

const goneIn = (removedIn: Minor, names: string, source = inSources(removedIn)): RemovedName[] =>
  names
    .trim()
    .split(/\s+/)
    .map((name) => ({ name, removedIn, source }));

/** Of the kubelet and the control plane: a component that is given an unknown gate does not start. Up to 1.37. */
export const removedFeatureGates: readonly RemovedName[] = [
  ...goneIn(
    '1.32',
    `
      CloudDualStackNodeIPs DRAControlPlaneController HPAContainerMetrics KMSv2 KMSv2KDF
      LegacyServiceAccountTokenCleanUp MinDomainsInPodTopologySpread NewVolumeManagerReconstruction
      NodeOutOfServiceVolumeDetach PodHostIPs ServerSideApply ServerSideFieldValidation
      StableLoadBalancerNodeSet ValidatingAdmissionPolicy ZeroLimitedNominalConcurrencyShares
    `,
  ),
  ...goneIn(
    '1.33',
    `
      APIListChunking AdmissionWebhookMatchConditions AggregatedDiscoveryEndpoint AppArmor AppArmorFields
      CPUManager DisableCloudProviders DisableKubeletCloudCredentialProviders EfficientWatchResumption
      JobPodFailurePolicy KubeProxyDrainingTerminatingNodes PDBUnhealthyPodEvictionPolicy
      PersistentVolumeLastPhaseTransitionTime RemainingItemCount VolumeCapacityPriority WatchBookmark
    `,
  ),
  ...goneIn(
    '1.34',
    `
      DevicePluginCDIDevices ElasticIndexedJob LegacySidecarContainers PodDisruptionConditions
      StatefulSetStartOrdinal
    `,
  ),
  ...goneIn(
    '1.35',
    `
      AllowServiceLBStatusOnNonLB CronJobsScheduledAnnotation LoadBalancerIPMode PodIndexLabel
      ProbeHostPodSecurityStandards StatefulSetAutoDeletePVC StrictCostEnforcementForVAP
      StrictCostEnforcementForWebhooks
    `,
  ),
  ...goneIn('1.35', 'ComponentSLIs', 'kubernetes/kubernetes #133742'),
  ...goneIn('1.35', 'SizeMemoryBackedVolumes', 'kubernetes/kubernetes #133720'),
  ...goneIn('1.35', 'UserNamespacesPodSecurityStandards', 'kubernetes/kubernetes #132157'),
  ...goneIn(
    '1.36',
    `
      CSIMigrationPortworx InPlacePodVerticalScalingAllocatedStatus InTreePluginPortworxUnregister
      MemoryManager ServiceTrafficDistribution StructuredAuthorizationConfiguration TopologyAwareHints
    `,
  ),
  ...goneIn('1.36', 'HonorPVReclaimPolicy', 'kubernetes/kubernetes #135335'),
  ...goneIn('1.36', 'WatchFromStorageWithoutResourceVersion', 'kubernetes/kubernetes #136066'),
  ...goneIn(
    '1.37',
    `
      APIServerTracing AnonymousAuthConfigurableEndpoints AnyVolumeDataSource AuthorizeNodeWithSelectors
      AuthorizeWithSelectors BtreeWatchCache ConsistentListFromCache GangScheduling JobBackoffLimitPerIndex
      JobPodReplacementPolicy JobSuccessPolicy LogarithmicScaleDown OrderedNamespaceDeletion
      PodLifecycleSleepAction PodLifecycleSleepActionAllowZero PreventStaticPodAPIReferences
      RelaxedDNSSearchValidation ResilientWatchCacheInitialization RetryGenerateName SchedulerQueueingHints
      SidecarContainers StreamingCollectionEncodingToJSON StreamingCollectionEncodingToProtobuf
      StructuredAuthenticationConfiguration WorkloadAwarePreemption
    `,
  ),
];

/** The oldest containerd that a minor's kubelet works with. */
export interface RuntimeFloor extends Sourced {
  readonly from: Minor;
  readonly minimum: string;
  readonly why: string;
}

export const containerdFloors: readonly RuntimeFloor[] = [
  {
    from: '1.26',
    minimum: '1.6.0',
    why: 'the kubelet speaks CRI v1 only',
    source: 'https://kubernetes.io/blog/2022/11/18/upcoming-changes-in-kubernetes-1-26/',
  },
  {
    from: '1.38',
    minimum: '2.0.0',
    why: 'the kubelet asks the runtime for its cgroup driver and no longer falls back',
    // Announced for 1.36, put off to 1.37 (#136846) and to 1.38 (#139121).
    source: 'kubernetes/kubernetes #139121, kubernetes/enhancements #6087',
  },
];

/** From this minor on the kubelet does not start on cgroup v1, unless its configuration says `failCgroupV1: false`. */
export const cgroupV1Refused = {
  from: '1.35',
  source: 'kubernetes/kubernetes #134298; kubeadm refuses too, #134744',
} as const satisfies Sourced & { from: Minor };

/** kubeadm brings another minor of etcd. */
export interface EtcdEdge extends Sourced {
  readonly from: Minor;
  readonly brings: `${number}.${number}`;
  /** What it may come from, at least. */
  readonly minimum: string;
}

export const etcdEdges: readonly EtcdEdge[] = [
  {
    from: '1.34',
    brings: '3.6',
    minimum: '3.5.26',
    source: 'https://etcd.io/docs/latest/upgrades/upgrade_3_6; etcd-io/etcd #19557, #20793',
  },
];
