import { dependable, type ITerraformDependable, TerraformResource } from 'cdktf';
import { Construct } from 'constructs';
import type { WatchedWorkload } from '../alerts/index.ts';
import { objectNames } from '../runtime/src/names.ts';
import { parseSettings, type Settings, type SettingsInput } from '../runtime/src/settings/settings.ts';
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
import type { Resources } from './program-pod.ts';
import { SettingsFile } from './settings-file.ts';
import { type RuleTarget, UpgradeGates } from './upgrade-gates.ts';
import { UpgradeNamespace } from './upgrade-namespace.ts';

export interface UpgradePipelineProps {
  /** Of both CronJobs, pinned by tag or digest. */
  readonly image: string;
  /**
   * Secrets with which the kubelet pulls that image, where its registry asks for a login. Something else has to make them in the
   * pipeline's namespace. @default - none
   */
  readonly imagePullSecrets?: readonly string[];
  /** What each program's pods ask for and may use. @default - as each CronJob has it */
  readonly resources?: { readonly detection?: Resources; readonly execution?: Resources };
  /**
   * A PriorityClass that exists already, for the executor.
   * @default - one of its own, `k8s-version-upgrade`, above ordinary workloads and below the system's
   */
  readonly priorityClassName?: string;
  /** What the runtime reads; checked by its own schema. Its `namespace` is where everything lives. */
  readonly settings: SettingsInput;
  /** When detection runs, five cron fields. @default '0 12 * * 0' */
  readonly schedule?: string;
  /** @default 'Etc/UTC' */
  readonly timeZone?: string;
  /** Whether detection runs by itself. @default true */
  readonly enabled?: boolean;
  /** Detect and report, dispatch nothing. @default - as `settings.dispatch.dryRun` has it */
  readonly detectionDryRun?: boolean;
  /** Service accounts that may submit a run besides `k8s-upgrade-submit`: the agent service's own. @default - none */
  readonly submitters?: readonly AccountReference[];
  /** Where the credentials come from; `false` when something else makes the Secret. @default - Vault */
  readonly credentials?: Omit<CredentialsProps, 'namespace' | 'usesSlack'> | false;
  /** `false` when the cluster's network enforces no policies, or matches nodes otherwise than by address. @default - what the settings name */
  readonly egress?: Omit<EgressProps, 'settings'> | false;
  /**
   * Whether the namespace takes the pipeline's own Jobs only. Needs Kubernetes 1.30.
   * @default true
   */
  readonly jobPolicy?: boolean;
  readonly alerts: PipelineAlertsProps;
}

export interface PipelineAlertsProps {
  /** URL of the runbook; every alert links to its own section. */
  readonly runbook: string;
  /** How Prometheus gets the rules. @default - a PrometheusRule */
  readonly target?: RuleTarget;
  /** Workloads of this cluster that must be up for an upgrade. @default - none */
  readonly workloads?: readonly WatchedWorkload[];
  /** Groups of rules that others deploy and that `settings.prometheus.ruleGroups` may name. @default - none */
  readonly otherGroups?: readonly string[];
}

/** Everything that the pipeline needs in one cluster. */
export class UpgradePipeline extends Construct {
  /** As the runtime will see them. */
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

  /** Terraform creates what does not depend on each other at once; an object needs its namespace first. */
  private createAfter({ resource: home }: UpgradeNamespace): void {
    const resources = this.node.findAll().filter((c) => TerraformResource.isTerraformResource(c));
    for (const resource of resources) {
      if (namespaceOf(resource) !== this.settings.namespace) continue;
      resource.dependsOn = [dependable(home), ...(resource.dependsOn ?? [])];
    }
  }
}

/** Of a Kubernetes object that lives in one. */
function namespaceOf(resource: TerraformResource): string | undefined {
  const { metadataInput, manifestInput } = resource as Partial<{
    metadataInput: { namespace?: string };
    manifestInput: { metadata?: { namespace?: string } };
  }>;
  return metadataInput?.namespace ?? manifestInput?.metadata?.namespace;
}

/** The longest that one phase may take by the settings, and a quarter of an hour for what connects them. */
function stalledAfterSeconds({ timing, drain, gates }: Settings): number {
  const longest = Math.max(
    timing.script,
    timing.soak,
    timing.nodeReady,
    timing.apiOutage,
    drain.timeout,
    gates.alertWait,
  );
  return Math.ceil(longest / 1000) + 900;
}

function withDryRun(settings: SettingsInput, dryRun: boolean | undefined): SettingsInput {
  if (dryRun === undefined) return settings;
  return { ...settings, dispatch: { ...settings.dispatch, dryRun } };
}

/** Settings that the runtime takes, as they were written. */
function readable(written: SettingsInput): SettingsInput {
  parseSettings('settings', written);
  for (const [role, names] of Object.entries(written.nodes ?? {})) {
    // Any order is a choice; an empty one is a variable that nobody filled in.
    if (names?.length === 0) {
      throw notAllowed(`settings.nodes.${role}`, names, 'at least one name, or no list for any order');
    }
  }
  return written;
}
