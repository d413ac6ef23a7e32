export { type AccountReference, ProgramAccess, type ProgramAccessProps } from './access/program-access.ts';
export {
  type AccessRules,
  type AccessScope,
  detectorRules,
  executorRules,
  type Rule,
  submitterRules,
} from './access/rules.ts';
export { DetectionCronJob, type DetectionCronJobProps } from './detection-cron-job.ts';
export { ExecutionCronJob, type ExecutionCronJobProps } from './execution-cron-job.ts';
export { SettingsFile, type SettingsFileProps } from './settings-file.ts';
export { UpgradeNamespace, type UpgradeNamespaceProps } from './upgrade-namespace.ts';
export { UpgradePipeline, type UpgradePipelineProps } from './upgrade-pipeline.ts';
