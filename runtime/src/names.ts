/**
 * The vocabulary: every name that the runtime, the constructs, the alerts and the runbook share.
 *
 * A metric that an alert reads, an annotation that the runbook shows and an object that the runtime
 * creates are written here once, so that a rule on a metric nobody pushes does not compile.
 */

/** Objects in the pipeline's namespace. */
export const objectNames = {
  /** Namespace that holds everything below; a setting, this is its default. */
  namespace: 'k8s-upgrade',
  /** Weekly detection. */
  detectionCronJob: 'k8s-version-check',
  /** Suspended; the template from which the Jobs of a run are created. */
  executionCronJob: 'k8s-version-upgrade',
  detectorServiceAccount: 'k8s-version-check',
  executorServiceAccount: 'k8s-version-upgrade',
  /** For the agent service: may submit a run and read, no more. */
  submitterServiceAccount: 'k8s-upgrade-submit',
  /** One executor at a time. */
  lease: 'k8s-version-upgrade',
  /** While it exists, nothing new starts; its `reason` says why. */
  killSwitch: 'k8s-upgrade-killswitch',
  /** Host keys that `accept-new` has remembered: node name → key line. */
  knownHosts: 'k8s-upgrade-known-hosts',
  /** ConfigMap with `settings.yaml`. */
  settings: 'k8s-upgrade-settings',
  /** Secret with `ssh_key`, `ssh_key_pub`, `slack_webhook` and `api_bearer_token`. */
  credentials: 'k8s-upgrade-creds',
} as const;

/** Keys of the Secret {@link objectNames.credentials}; the first three are the Vault keys of the same name. */
export const credentialKeys = {
  sshKey: 'ssh_key',
  sshKeyPub: 'ssh_key_pub',
  slackWebhook: 'slack_webhook',
  agentToken: 'api_bearer_token',
} as const;

/** Where the CronJobs mount what the runtime reads. */
export const mountPaths = {
  settings: '/etc/k8s-upgrade/settings',
  settingsFile: '/etc/k8s-upgrade/settings/settings.yaml',
  credentials: '/etc/k8s-upgrade/credentials',
} as const;

/** Environment of the pods. */
export const environment = {
  /** Of a Job, from the downward API. */
  nodeName: 'NODE_NAME',
  podName: 'POD_NAME',
  /** Of a detection that is tried by hand: `true`. */
  dryRun: 'DRY_RUN',
} as const;

/** Labels on the Jobs of a run. */
export const jobLabels = {
  /** Same value on every Job of one run. */
  run: 'k8s-upgrade/run',
  /** 1, 2, …: which Job of its run. */
  number: 'k8s-upgrade/leg',
} as const;

/**
 * Annotation keys under the configured prefix (`viktorbarzin.me` by default).
 *
 * @param prefix DNS name before the slash.
 */
export function annotationKeys(prefix: string) {
  return {
    /** Namespace: when the rollout started, RFC 3339. Present = a rollout is unfinished. */
    inFlight: `${prefix}/k8s-upgrade-in-flight`,
    /** Namespace: the version it goes to, `X.Y.Z`. */
    target: `${prefix}/k8s-upgrade-target`,
    /** Namespace: `patch` or `minor`. */
    kind: `${prefix}/k8s-upgrade-kind`,
    /** Namespace: path of the verified etcd snapshot, on the first control-plane node. */
    snapshotPath: `${prefix}/k8s-upgrade-snapshot-path`,
    /** Namespace: what detection last dispatched, `X.Y.Z RFC3339 PROCESS`. */
    dispatched: `${prefix}/k8s-upgrade-dispatched`,
    /** Node: set with our own cordon; its value is the run that cordoned. Only such a cordon is ever lifted. */
    cordoned: `${prefix}/k8s-upgrade-cordoned`,
    /** Node: when this rollout began to change the node, RFC 3339. */
    changed: `${prefix}/k8s-upgrade-touched`,
    /** Node: begun and not finished, where no cordon of ours says so: a person's is on it, or it is not drained (containerd). */
    unfinished: `${prefix}/k8s-upgrade-unfinished`,
    /** Node: when its soak began, RFC 3339; gone once the soak was seen through. */
    soaking: `${prefix}/k8s-upgrade-soaking`,
  } as const;
}

/** Pushgateway groups (`job` label). */
export const metricJobs = { execution: 'k8s-version-upgrade', detection: 'k8s-version-check' } as const;

export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  /** Which program pushes it. */
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
    help: '1 from the end of preflight until post-flight passed.',
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
    help: 'When the run last began or ended a stage or a phase of a node.',
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

/** Rule groups of the PrometheusRule. The first gates a rollout; the second watches the pipeline itself and never gates it. */
export const ruleGroups = { gates: 'Upgrade Gates', pipeline: 'Upgrade Pipeline' } as const;

/** Alerts that the runtime treats specially; `alerts/` defines them. */
export const alertNames = {
  versionSkew: 'K8sVersionSkew',
  recentNodeReboot: 'RecentNodeReboot',
  snapshotMissing: 'EtcdPreUpgradeSnapshotMissing',
} as const;
