export {
  type AlertGroup,
  type AlertOptions,
  type AlertRule,
  alertGroups,
  type WatchedWorkload,
} from '../alerts/index.ts';
export { parseSettings, type Settings, type SettingsInput } from '../runtime/src/settings/settings.ts';
export { type AccountReference, ProgramAccess, type ProgramAccessProps } from './access/program-access.ts';
export {
  type AccessRules,
  type AccessScope,
  detectorRules,
  executorRules,
  type Rule,
  submitterRules,
} from './access/rules.ts';
export { Credentials, type CredentialsProps } from './credentials.ts';
export { DetectionCronJob, type DetectionCronJobProps } from './detection-cron-job.ts';
export { Egress, type EgressProps } from './egress.ts';
export { ExecutionCronJob, type ExecutionCronJobProps } from './execution-cron-job.ts';
export { JobPolicy, type JobPolicyProps } from './job-policy.ts';
export { NodeCheckCronJob, type NodeCheckCronJobProps } from './node-check-cron-job.ts';
export type { Resources } from './program-pod.ts';
export { SettingsFile, type SettingsFileProps } from './settings-file.ts';
export { type StateBackendOptions, stateBackend } from './state-backend.ts';
export {
  type PrometheusRelease,
  type RuleTarget,
  UpgradeGates,
  type UpgradeGatesProps,
} from './upgrade-gates.ts';
export { UpgradeNamespace, type UpgradeNamespaceProps } from './upgrade-namespace.ts';
export { type PipelineAlertsProps, UpgradePipeline, type UpgradePipelineProps } from './upgrade-pipeline.ts';
