import { Construct } from 'constructs';
import { objectNames } from '../runtime/src/names.ts';
import { parseSettings, type Settings, type SettingsInput } from '../runtime/src/settings.ts';
import { type AccountReference, ProgramAccess } from './access/program-access.ts';
import { type AccessScope, detectorRules, executorRules, submitterRules } from './access/rules.ts';
import { checked } from './checked.ts';
import { DetectionCronJob } from './detection-cron-job.ts';
import { ExecutionCronJob } from './execution-cron-job.ts';
import { SettingsFile } from './settings-file.ts';
import { UpgradeNamespace } from './upgrade-namespace.ts';

export interface UpgradePipelineProps {
  /** Of both CronJobs, pinned by tag or digest. */
  readonly image: string;
  /** What the runtime reads; checked by its own schema. Its `namespace` is where everything lives. */
  readonly settings: SettingsInput;
  /** @default '0 12 * * 0' */
  readonly schedule?: string;
  /** @default 'Etc/UTC' */
  readonly timeZone?: string;
  /** Whether detection runs by itself. @default true */
  readonly enabled?: boolean;
  /** Detect and report, dispatch nothing. @default - as `settings.dispatch.dryRun` has it */
  readonly detectionDryRun?: boolean;
  /** Service accounts that may submit a run besides `k8s-upgrade-submit`: the agent service's own. @default - none */
  readonly submitters?: readonly AccountReference[];
}

/** Stands in for settings that are wrong, so that the rest of the tree can be built and checked. */
const placeholder = { prometheus: { url: 'http://invalid' }, pushgateway: { url: 'http://invalid' } };

/** Everything that the pipeline needs in one cluster. */
export class UpgradePipeline extends Construct {
  /** As the runtime will see them. */
  readonly settings: Settings;

  constructor(scope: Construct, id: string, props: UpgradePipelineProps) {
    super(scope, id);
    const written = withDryRun(props.settings, props.detectionDryRun);
    this.settings = checked(
      this,
      () => parseSettings('settings', written),
      parseSettings('settings', placeholder),
    );
    const { namespace } = this.settings;

    new UpgradeNamespace(this, 'namespace', { name: namespace });
    new SettingsFile(this, 'settings', { namespace, settings: written });
    this.addAccess(namespace, props.submitters);
    new DetectionCronJob(this, 'detection', {
      namespace,
      image: props.image,
      schedule: props.schedule,
      timeZone: props.timeZone,
      enabled: props.enabled,
      usesAgentService: this.settings.dispatch.mode === 'agent-service',
    });
    new ExecutionCronJob(this, 'execution', { namespace, image: props.image });
  }

  private addAccess(namespace: string, submitters: readonly AccountReference[] | undefined): void {
    const scope: AccessScope = {
      namespace,
      hostKeys: this.settings.ssh.hostKeys.policy,
      dispatch: this.settings.dispatch.mode,
    };
    new ProgramAccess(this, 'detector', {
      namespace,
      name: objectNames.detectorServiceAccount,
      component: 'detector',
      rules: detectorRules(scope),
    });
    new ProgramAccess(this, 'executor', {
      namespace,
      name: objectNames.executorServiceAccount,
      component: 'executor',
      rules: executorRules(scope),
    });
    new ProgramAccess(this, 'submitter', {
      namespace,
      name: objectNames.submitterServiceAccount,
      component: 'submitter',
      rules: submitterRules(scope),
      alsoFor: submitters,
    });
  }
}

function withDryRun(settings: SettingsInput, dryRun: boolean | undefined): SettingsInput {
  if (dryRun === undefined) return settings;
  return { ...settings, dispatch: { ...settings.dispatch, dryRun } };
}
