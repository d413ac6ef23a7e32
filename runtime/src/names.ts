/**
 * The vocabulary: every name that the runtime, the constructs, the alerts and the runbook share.
 *
 * Each name is defined only here, so that a rule on a metric that no program pushes does not compile.
 */

/** Objects in the pipeline's namespace. */
export const objectNames = {
  /** Namespace that holds everything below; the default of the setting `namespace`. */
  namespace: 'k8s-upgrade',
  /** CronJob of the weekly detection. */
  detectionCronJob: 'k8s-version-check',
  /** Suspended CronJob: the template of a run's Jobs. */
  executionCronJob: 'k8s-version-upgrade',
  /** Suspended CronJob: the template of the Job that tries whether pods work on a node (F34). */
  nodeCheckCronJob: 'k8s-node-check',
  /** ServiceAccount of `k8s-upgrade detect`. */
  detectorServiceAccount: 'k8s-version-check',
  /** ServiceAccount of `k8s-upgrade run`. */
  executorServiceAccount: 'k8s-version-upgrade',
  /** ServiceAccount for the agent service: may submit a run and read its state, nothing else. */
  submitterServiceAccount: 'k8s-upgrade-submit',
  /** Lease that lets one executor write at a time. */
  lease: 'k8s-version-upgrade',
  /** ConfigMap. While it exists, nothing new starts; its key `reason` says why. */
  killSwitch: 'k8s-upgrade-killswitch',
  /** ConfigMap with the host keys that `accept-new` remembers: node name → key line. */
  knownHosts: 'k8s-upgrade-known-hosts',
  /** ConfigMap with `settings.yaml`. */
  settings: 'k8s-upgrade-settings',
  /** Secret with `ssh_key`, `ssh_key_pub`, `slack_webhook` and `api_bearer_token`. */
  credentials: 'k8s-upgrade-creds',
} as const;

/**
 * Keys of the Secret {@link objectNames.credentials}; the first three are the Vault keys of the same name.
 */
export const credentialKeys = {
  sshKey: 'ssh_key',
  sshKeyPub: 'ssh_key_pub',
  slackWebhook: 'slack_webhook',
  agentToken: 'api_bearer_token',
} as const;

/** Where the CronJobs mount the ConfigMap {@link objectNames.settings} and the Secret. */
export const mountPaths = {
  /** Directory of the settings. */
  settings: '/etc/k8s-upgrade/settings',
  /** The settings file in it. */
  settingsFile: '/etc/k8s-upgrade/settings/settings.yaml',
  /** Directory with one file for each key of {@link credentialKeys}. */
  credentials: '/etc/k8s-upgrade/credentials',
  /** Directory with the CA certificate of the API server, `ca.crt`; only for `check-node`. */
  clusterCa: '/etc/k8s-upgrade/cluster-ca',
  /** An ephemeral volume; only for `check-node`. */
  scratch: '/var/lib/k8s-upgrade',
} as const;

/** Environment variables of the pods. */
export const environment = {
  /** The pod's node, from the downward API. Jobs of a run only. */
  nodeName: 'NODE_NAME',
  /** The pod's name, from the downward API. Jobs of a run only. */
  podName: 'POD_NAME',
  /** `true` makes a detection a dry-run, for trying it manually. */
  dryRun: 'DRY_RUN',
} as const;

/** Labels on the Jobs of a run. */
export const jobLabels = {
  /** Same value on every Job of one run. */
  run: 'k8s-upgrade/run',
  /** Number of the Job in its run: 1, 2, …. */
  number: 'k8s-upgrade/leg',
} as const;

/**
 * Annotation keys under the configured prefix (`viktorbarzin.me` by default).
 *
 * @param prefix DNS name before the slash.
 */
export function annotationKeys(prefix: string) {
  return {
    /** Namespace: when the rollout started, RFC 3339. Present while a rollout is unfinished. */
    inFlight: `${prefix}/k8s-upgrade-in-flight`,
    /** Namespace: target of the rollout, `X.Y.Z`. */
    target: `${prefix}/k8s-upgrade-target`,
    /** Namespace: `patch` or `minor`. */
    kind: `${prefix}/k8s-upgrade-kind`,
    /** Namespace: path of the verified etcd snapshot, on the first control-plane node. */
    snapshotPath: `${prefix}/k8s-upgrade-snapshot-path`,
    /** Namespace: workloads that had a pod that was not Ready when the rollout started. */
    unready: `${prefix}/k8s-upgrade-unready`,
    /** Namespace: kube-proxy and CoreDNS when the rollout started, `kube-proxy=DIGEST coredns=absent`. */
    addOns: `${prefix}/k8s-upgrade-add-ons`,
    /** Namespace: the last dispatch of detection, `X.Y.Z RFC3339 PROCESS`. */
    dispatched: `${prefix}/k8s-upgrade-dispatched`,
    /**
     * Node: a rollout cordoned it; the value is the `inFlight` of that rollout. Only while this one is in
     * flight does a rollout uncordon the node.
     */
    cordoned: `${prefix}/k8s-upgrade-cordoned`,
    /** Node: when a rollout started to change it, RFC 3339. Its name stays `k8s-upgrade-touched`. */
    changed: `${prefix}/k8s-upgrade-touched`,
    /** Node: DaemonSets with a Ready pod there when `changed` was set: `NAMESPACE/NAME NAMESPACE/NAME …`. */
    daemonSets: `${prefix}/k8s-upgrade-daemon-sets`,
    /**
     * Node: in progress without `cordoned`, as a person cordoned it or it is not drained (containerd); since
     * when, RFC 3339. `kubeadm`: at most kubeadm's step was started, so the node may serve on.
     */
    unfinished: `${prefix}/k8s-upgrade-unfinished`,
    /** Node: when its soak started, RFC 3339. Removed when the soak is over. */
    soaking: `${prefix}/k8s-upgrade-soaking`,
  } as const;
}

/** Pushgateway groups (label `job`), one for each program. */
export const metricJobs = { execution: 'k8s-version-upgrade', detection: 'k8s-version-check' } as const;

/** A gauge that a program pushes. */
export interface Metric {
  /** Name in Prometheus. */
  readonly name: string;
  /** Its `# HELP` text. */
  readonly help: string;
  /** Names of its labels. */
  readonly labels: readonly string[];
  /** Pushgateway group of the program that pushes it. */
  readonly job: (typeof metricJobs)[keyof typeof metricJobs];
}

/** Every metric that is pushed. All are gauges; timestamps are Unix seconds. */
export const metrics = {
  available: {
    name: 'k8s_upgrade_available',
    help: '1 when a newer release was detected; kind is patch or minor.',
    labels: ['kind', 'running', 'target'],
    job: metricJobs.detection,
  },
  detectionLastRun: {
    name: 'k8s_version_check_last_run_timestamp',
    help: 'When detection last came to a decision.',
    labels: [],
    job: metricJobs.detection,
  },
  detectionOutcome: {
    name: 'k8s_version_check_outcome',
    help: '1 for the outcome of the last detection (done, held, blocked, failed), 0 for the others.',
    labels: ['outcome'],
    job: metricJobs.detection,
  },
  inFlight: {
    name: 'k8s_upgrade_in_flight',
    help: '1 from the end of preflight until post-flight passes.',
    labels: [],
    job: metricJobs.execution,
  },
  snapshotTaken: {
    name: 'k8s_upgrade_snapshot_taken',
    help: '1 when the rollout in flight has a verified etcd snapshot.',
    labels: [],
    job: metricJobs.execution,
  },
  startedAt: {
    name: 'k8s_upgrade_started_timestamp',
    help: 'When the rollout in flight started; 0 when none is.',
    labels: [],
    job: metricJobs.execution,
  },
  lastProgress: {
    name: 'k8s_upgrade_last_progress_timestamp',
    help: 'When the run last started or ended a stage or a phase of a node.',
    labels: [],
    job: metricJobs.execution,
  },
  heartbeat: {
    name: 'k8s_upgrade_heartbeat_timestamp',
    help: 'When an executor was last alive.',
    labels: [],
    job: metricJobs.execution,
  },
  lastRun: {
    name: 'k8s_upgrade_last_run_timestamp',
    help: 'When an executor last ended with an outcome.',
    labels: [],
    job: metricJobs.execution,
  },
  outcome: {
    name: 'k8s_upgrade_last_run_outcome',
    help: '1 for the outcome of the last run (done, held, blocked, failed), 0 for the others.',
    labels: ['outcome'],
    job: metricJobs.execution,
  },
} as const satisfies Record<string, Metric>;

/** Rule groups of the PrometheusRule: `gates` gates a rollout, `pipeline` only watches the pipeline. */
export const ruleGroups = { gates: 'Upgrade Gates', pipeline: 'Upgrade Pipeline' } as const;

/** Alerts that the `alerts` gate treats specially; `alerts/` defines them. */
export const alertNames = {
  versionSkew: 'K8sVersionSkew',
  recentNodeReboot: 'RecentNodeReboot',
  snapshotMissing: 'EtcdPreUpgradeSnapshotMissing',
} as const;
