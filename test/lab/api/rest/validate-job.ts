import { type FieldError, invalidValue, required } from '../status.ts';
import type { Job, PodFailurePolicy } from '../types.ts';
import { podSpecErrors } from './validate-pod.ts';

type Rule = PodFailurePolicy['rules'][number];
const actions = ['Count', 'FailIndex', 'FailJob', 'Ignore'];

/** Errors in a Job's spec. `at` is the path of the spec, which may be in a CronJob. */
export function validateJob(spec: Job['spec'], at: string): FieldError[] {
  const podSpec = spec?.template?.spec;
  const policy = podSpec?.restartPolicy;
  const policyField = `${at}.template.spec.restartPolicy`;
  const errors = podSpecErrors(podSpec, `${at}.template.spec`);
  if (policy !== 'Never' && policy !== 'OnFailure') {
    errors.push(required(policyField, 'valid values: "OnFailure", "Never"'));
  }
  for (const field of [
    'backoffLimit',
    'parallelism',
    'activeDeadlineSeconds',
    'ttlSecondsAfterFinished',
  ] as const) {
    const value = spec?.[field];
    if (typeof value === 'number' && value < 0) {
      errors.push(invalidValue(`${at}.${field}`, value, 'must be greater than or equal to 0'));
    }
  }
  if (spec?.podFailurePolicy === undefined) return errors;
  if (policy !== 'Never') {
    errors.push(
      invalidValue(policyField, policy, 'only "Never" is supported when podFailurePolicy is specified'),
    );
  }
  const rules = spec.podFailurePolicy.rules ?? [];
  return [...errors, ...rules.flatMap((rule, i) => ruleErrors(rule, `${at}.podFailurePolicy.rules[${i}]`))];
}

function ruleErrors(rule: Rule, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!actions.includes(rule.action)) {
    errors.push({
      field: `${at}.action`,
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${JSON.stringify(rule.action)}: supported values: ${actions.map((a) => JSON.stringify(a)).join(', ')}`,
    });
  }
  if ((rule.onExitCodes === undefined) === ((rule.onPodConditions ?? []).length === 0)) {
    const why = rule.onExitCodes === undefined ? 'is required' : 'not both, is supported';
    errors.push(invalidValue(at, rule, `specifying one of: onExitCodes and onPodConditions ${why}`));
  }
  return [...errors, ...exitCodeErrors(rule.onExitCodes, `${at}.onExitCodes`)];
}

function exitCodeErrors(on: Rule['onExitCodes'], at: string): FieldError[] {
  if (on === undefined) return [];
  const values = on.values ?? [];
  if (values.length === 0) return [invalidValue(`${at}.values`, values, 'at least one value is required')];
  const errors: FieldError[] = [];
  if (on.operator !== 'In' && on.operator !== 'NotIn') errors.push(required(`${at}.operator`));
  if (on.operator === 'In' && values.includes(0)) {
    errors.push(invalidValue(`${at}.values[${values.indexOf(0)}]`, 0, 'must not be 0 for the In operator'));
  }
  if (values.some((v, i) => i > 0 && v <= (values[i - 1] ?? v))) {
    errors.push(invalidValue(`${at}.values`, values, 'must be ordered'));
  }
  return errors;
}
