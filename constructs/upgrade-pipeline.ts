import { dependable, type ITerraformDependable, TerraformResource } from 'cdktf';
import { Construct } from 'constructs';
import type { WatchedWorkload } from '../alerts/index.ts';
import { objectNames } from '../runtime/src/names.ts';
import {
  longestWait,
  parseSettings,
  type Settings,
  type SettingsInput,
} from '../runtime/src/settings/settings.ts';
import { type AccountReference, ProgramAccess } from './access/program-access.ts';
import {
  type AccessRules,
  type AccessScope,
  detectorRules,
  executorRules,
  submitterRules,
} from './access/rules.ts';
import { checked, notAllowed, placeholderSettings } from './checked.ts';
import { Credentials, type CredentialsProps } from './credentials.ts';
import { DetectionCronJob } from './detection-cron-job.ts';
import { Egress, type EgressProps } from './egress.ts';
import { ExecutionCronJob } from './execution-cron-job.ts';
import { JobPolicy } from './job-policy.ts';
import type { Component } from './labels.ts';
import { NodeCheckCronJob } from './node-check-cron-job.ts';
import type { Resources } from './program-pod.ts';
import { SettingsFile } from './settings-file.ts';
import { type RuleTarget, UpgradeGates } from './upgrade-gates.ts';
import { UpgradeNamespace } from './upgrade-namespace.ts';

/** The pipeline of one cluster. */
export interface UpgradePipelineProps {
  /** Image of the CronJobs, pinned by tag or digest. */
  readonly image: string;
  /**
   * Secrets with which the kubelet logs in to the image's registry. Something else must create them in the
   * pipeline's namespace.
   * @default - none
   */
  readonly imagePullSecrets?: readonly string[];
  /** Requests and memory limits of each program's pods. @default - those of each CronJob */
  readonly resources?: {
    /** @default - 50m CPU, 96Mi memory, at most 256Mi */
    readonly detection?: Resources;
    /** @default - 50m CPU, 256Mi memory, at most 256Mi */
    readonly execution?: Resources;
  };
  /**
   * Name of an existing PriorityClass, for the executor.
   * @default - a new one, `k8s-version-upgrade`, above ordinary workloads and below the system's
   */
  readonly priorityClassName?: string;
  /**
   * The settings that the runtime reads, checked by its own schema. All objects are created in their
   * `namespace`.
   */
  readonly settings: SettingsInput;
  /** When detection runs: five cron fields. @default '0 12 * * 0' */
  readonly schedule?: string;
  /** Time zone of the schedule, by its name in the time zone database. @default 'Etc/UTC' */
  readonly timeZone?: string;
  /** Whether detection runs on its schedule. @default true */
  readonly enabled?: boolean;
  /** Whether detection only reports and dispatches nothing. @default - `settings.dispatch.dryRun` */
  readonly detectionDryRun?: boolean;
  /**
   * Service accounts besides `k8s-upgrade-submit` that may submit a run, such as the agent service's.
   * @default - none
   */
  readonly submitters?: readonly AccountReference[];
  /** Where the credentials come from; `false` when something else creates the Secret. @default - Vault */
  readonly credentials?: Omit<CredentialsProps, 'namespace' | 'usesSlack'> | false;
  /**
   * Network policies; `false` when the cluster's network enforces none, or does not match nodes by address.
   * @default - egress to what the settings name
   */
  readonly egress?: Omit<EgressProps, 'settings'> | false;
  /**
   * Whether the namespace admits the pipeline's own Jobs only. Needs Kubernetes 1.30.
   * @default true
   */
  readonly jobPolicy?: boolean;
  /**
   * Whether a run tries a pod on each node: before it is drained, and before others are let back. `false`
   * where such a pod cannot work, as in a cluster without DNS.
   * @default true
   */
  readonly nodeCheck?: boolean;
  /** The alerts that gate a rollout, and those about the pipeline itself. */
  readonly alerts: PipelineAlertsProps;
}

/** What the alerts of one cluster depend on. */
export interface PipelineAlertsProps {
  /** URL of the runbook; every alert links to its own section. */
  readonly runbook: string;
  /** How the rules get into Prometheus. @default - a PrometheusRule */
  readonly target?: RuleTarget;
  /** Workloads of this cluster that must be up for an upgrade. @default - none */
  readonly workloads?: readonly WatchedWorkload[];
  /** Other deployed groups of rules that `settings.prometheus.ruleGroups` may name. @default - none */
  readonly otherGroups?: readonly string[];
}

/**
 * Everything that the pipeline needs in one cluster. A wrong prop fails synthesis, with the construct's path.
 */
export class UpgradePipeline extends Construct {
  /** The settings with the runtime's defaults filled in. */
  readonly settings: Settings;

  constructor(scope: Construct, id: string, props: UpgradePipelineProps) {
    super(scope, id);
    const written = checked(
      this,
      () => readable(withDryRun(props.settings, props.detectionDryRun)),
      placeholderSettings,
    );
    this.settings = parseSettings('settings', written);
    const { namespace, dispatch } = this.settings;
    const usesAgentService = dispatch.mode === 'agent-service';
    const usesSlack = this.settings.slack.enabled;

    const home = new UpgradeNamespace(this, 'namespace', { name: namespace });
    const { configMap } = new SettingsFile(this, 'settings', { namespace, settings: written });
    const { detector, executor } = this.access(props.submitters);
    const before: ITerraformDependable[] = [configMap];
    if (props.credentials !== false) {
      const agentTokenPath = usesAgentService ? props.credentials?.agentTokenPath : false;
      const credentials = { ...props.credentials, agentTokenPath, usesSlack, namespace };
      before.push(new Credentials(this, 'credentials', credentials).externalSecret);
    }
    const { image, imagePullSecrets, schedule, timeZone, enabled } = props;
    const detection = new DetectionCronJob(this, 'detection', {
      ...{ namespace, image, imagePullSecrets, schedule, timeZone, enabled, usesAgentService, usesSlack },
      resources: props.resources?.detection,
      dependsOn: [...before, ...detector.bindings],
    });
    new ExecutionCronJob(this, 'execution', {
      ...{ namespace, image, imagePullSecrets, usesSlack },
      resources: props.resources?.execution,
      priorityClassName: props.priorityClassName,
      dependsOn: [...before, ...executor.bindings],
    });
    if (props.nodeCheck ?? true)
      new NodeCheckCronJob(this, 'node-check', { namespace, image, imagePullSecrets });
    if (props.jobPolicy ?? true) new JobPolicy(this, 'job-policy', { namespace, image });
    if (props.egress !== false) new Egress(this, 'egress', { ...props.egress, settings: written });
    this.alerts(props.alerts, enabled ?? true, detection.longestGapSeconds);
    this.createAfter(home);
  }

  private access(submitters: readonly AccountReference[] | undefined) {
    const { namespace, ssh, dispatch, drain } = this.settings;
    const scope: AccessScope = {
      namespace,
      hostKeys: ssh.hostKeys.policy,
      dispatch: dispatch.mode,
      blockedPods: drain.blockedPods,
    };
    const grant = (
      component: Component,
      name: string,
      rules: AccessRules,
      alsoFor?: readonly AccountReference[],
    ) => new ProgramAccess(this, component, { namespace, name, component, rules, alsoFor });
    const detector = grant('detector', objectNames.detectorServiceAccount, detectorRules(scope));
    const executor = grant('executor', objectNames.executorServiceAccount, executorRules(scope));
    grant('submitter', objectNames.submitterServiceAccount, submitterRules(scope), submitters);
    return { detector, executor };
  }

  private alerts(props: PipelineAlertsProps, detection: boolean, detectionGapSeconds: number): void {
    const { settings } = this;
    new UpgradeGates(this, 'alerts', {
      namespace: settings.namespace,
      runbook: props.runbook,
      target: props.target ?? { kind: 'prometheus-rule' },
      workloads: props.workloads ?? [],
      otherGroups: props.otherGroups,
      gatedBy: settings.prometheus.ruleGroups,
      minimumPodReadyRatio: settings.gates.minimumPodReadyRatio,
      stalledAfterSeconds: stalledAfterSeconds(settings),
      detection,
      detectionGapSeconds,
    });
  }

  /**
   * Makes every object in the namespace depend on it: Terraform creates independent resources in parallel.
   */
  private createAfter({ resource: home }: UpgradeNamespace): void {
    const resources = this.node.findAll().filter((c) => TerraformResource.isTerraformResource(c));
    for (const resource of resources) {
      if (namespaceOf(resource) !== this.settings.namespace) continue;
      resource.dependsOn = [dependable(home), ...(resource.dependsOn ?? [])];
    }
  }
}

/** Namespace of a Kubernetes object; undefined when it is cluster-scoped. */
function namespaceOf(resource: TerraformResource): string | undefined {
  const { metadataInput, manifestInput } = resource as Partial<{
    metadataInput: { namespace?: string };
    manifestInput: { metadata?: { namespace?: string } };
  }>;
  return metadataInput?.namespace ?? manifestInput?.metadata?.namespace;
}

/** The longest time that one phase may take by the settings, plus 15 minutes between phases. In seconds. */
function stalledAfterSeconds(settings: Settings): number {
  const { timing, drain } = settings;
  const gates = longestWait(settings);
  const tried = timing.unschedulable + timing.nodeReady;
  const longest = Math.max(
    // Before its preparation a pod is tried on a node.
    tried + timing.script,
    Math.max(timing.soak, timing.controlPlaneSoak) + gates,
    // After kubeadm's step a node's static pods are waited for, and then the gates; after the kubelet's a pod
    // is tried there.
    timing.nodeReady + timing.staticPods + Math.max(drain.before === 'kubelet' ? gates : 0, tried),
    timing.apiOutage,
    drain.timeout,
    gates,
  );
  return Math.ceil(longest / 1000) + 900;
}

function withDryRun(settings: SettingsInput, dryRun: boolean | undefined): SettingsInput {
  if (dryRun === undefined) return settings;
  return { ...settings, dispatch: { ...settings.dispatch, dryRun } };
}

/** The settings as written. Throws when the runtime would refuse them or a list of nodes is empty. */
function readable(written: SettingsInput): SettingsInput {
  parseSettings('settings', written);
  for (const [role, names] of Object.entries(written.nodes ?? {})) {
    // An empty list is most likely a variable that was never filled in; no list means any order.
    if (names?.length === 0) {
      throw notAllowed(`settings.nodes.${role}`, names, 'at least one name, or no list for any order');
    }
  }
  return written;
}
