import { ruleGroups } from '../runtime/src/names.ts';
import { gateAlerts } from './gates.ts';
import type { AlertOptions } from './options.ts';
import { pipelineAlerts } from './pipeline.ts';
import { type AlertGroup, toRule } from './rule.ts';

export type { AlertOptions, WatchedWorkload } from './options.ts';
export type { AlertGroup, AlertRule, Severity } from './rule.ts';

/** Both rule groups: the one that gates a rollout, and the one that watches the pipeline. */
export function alertGroups(options: AlertOptions): AlertGroup[] {
  return [
    { name: ruleGroups.gates, rules: gateAlerts(options).map((d) => toRule(d, options.runbook)) },
    { name: ruleGroups.pipeline, rules: pipelineAlerts(options).map((d) => toRule(d, options.runbook)) },
  ];
}
