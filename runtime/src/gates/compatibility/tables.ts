/**
 * What each minor removes and what it requires. Every row has a public source; a name without a row is not
 * checked. Add rows as releases come out: no other file knows a version.
 */

/** A minor, such as `1.35`. */
export type Minor = `${number}.${number}`;

interface Sourced {
  /** A pull request (`owner/name #number`) or a URL. */
  readonly source: string;
}

/** A flag or a feature gate with which a component no longer starts, from a minor on. */
export interface RemovedName extends Sourced {
  /** `--cloud-config`, `ComponentSLIs`. */
  readonly name: string;
  /** The first minor without it. */
  readonly removedIn: Minor;
}

/** A flag of the kubelet that a minor removes. */
export interface RemovedFlag extends RemovedName {
  /** `kubeadm upgrade` to that minor removes the flag from this file itself. @default none */
  readonly cleanedFrom?: string;
}

/** Kubelet flags, oldest removal first. */
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
    // kubernetes/kubernetes #133778: kubeadm cleans its own file and no other.
    cleanedFrom: '/var/lib/kubelet/kubeadm-flags.env',
    source: 'kubernetes/kubernetes #133779',
  },
];

/** The list in which to look up a feature gate that has no row. */
export const featureGatePage =
  'https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/';

/**
 * From the sources of each minor's first release: pkg/features of kubernetes/kubernetes, apiserver,
 * apiextensions-apiserver and controller-manager; features of client-go; metrics, logs and zpages of
 * component-base. A gate that the minor before defines there and this one does not is removed. The website
 * marks it later (`removed: true` on the gate's page), and not every one.
 */
const inSources = (removedIn: Minor) =>
  `no longer in the sources of v${removedIn}.0: kubernetes/kubernetes pkg/features and its staging modules`;

const goneIn = (removedIn: Minor, names: string, source = inSources(removedIn)): RemovedName[] =>
  names
    .trim()
    .split(/\s+/)
    .map((name) => ({ name, removedIn, source }));

/** Feature gates, up to 1.37. No kubelet or control-plane component starts with an unknown gate. */
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
  /** The first minor that needs it. */
  readonly from: Minor;
  /** `1.6.0`. */
  readonly minimum: string;
  /** For the message of the gate. */
  readonly why: string;
}

/** Every floor that still applies, oldest first. */
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
    // Announced for 1.36, postponed to 1.37 (#136846) and then to 1.38 (#139121).
    source: 'kubernetes/kubernetes #139121, kubernetes/enhancements #6087',
  },
];

/** From this minor on the kubelet starts on cgroup v1 only when configured with `failCgroupV1: false`. */
export const cgroupV1Refused = {
  from: '1.35',
  source: 'kubernetes/kubernetes #134298; kubeadm refuses too, #134744',
} as const satisfies Sourced & { from: Minor };

/** A minor whose kubeadm upgrades etcd to another minor. */
export interface EtcdEdge extends Sourced {
  /** The first minor whose kubeadm does so. */
  readonly from: Minor;
  /** The minor of etcd that it installs. */
  readonly brings: `${number}.${number}`;
  /** The oldest etcd release that upgrades to it safely. */
  readonly minimum: string;
}

/** Every such minor, oldest first. */
export const etcdEdges: readonly EtcdEdge[] = [
  {
    from: '1.34',
    brings: '3.6',
    minimum: '3.5.26',
    source: 'https://etcd.io/docs/latest/upgrades/upgrade_3_6; etcd-io/etcd #19557, #20793',
  },
];
