import type { Pod, PodFailurePolicy } from '../types.ts';

interface Verdict {
  readonly action: 'Count' | 'FailJob' | 'Ignore';
  readonly message: string;
}

type Rule = PodFailurePolicy['rules'][number];

/** How a failed pod affects its Job: the action of the first matching rule, otherwise `Count`. */
export function failurePolicyVerdict(policy: PodFailurePolicy | undefined, pod: Pod): Verdict {
  for (const [index, rule] of (policy?.rules ?? []).entries()) {
    const why = exitCodeMatch(rule, pod) ?? conditionMatch(rule, pod);
    if (why === undefined) continue;
    const action = rule.action === 'FailJob' || rule.action === 'Ignore' ? rule.action : 'Count';
    return { action, message: `${why} matching ${rule.action} rule at index ${index}` };
  }
  return { action: 'Count', message: '' };
}

const place = ({ metadata }: Pod): string => `${metadata.namespace}/${metadata.name}`;

function exitCodeMatch({ onExitCodes: on }: Rule, pod: Pod): string | undefined {
  if (on === undefined) return undefined;
  for (const { name, state } of pod.status?.containerStatuses ?? []) {
    const code = state?.terminated?.exitCode ?? 0;
    if (code === 0 || (on.containerName !== undefined && on.containerName !== name)) continue;
    if (on.values.includes(code) === (on.operator === 'In')) {
      return `Container ${name} for pod ${place(pod)} failed with exit code ${code}`;
    }
  }
  return undefined;
}

function conditionMatch({ onPodConditions = [] }: Rule, pod: Pod): string | undefined {
  const found = onPodConditions.find((wanted) =>
    pod.status?.conditions?.some((c) => c.type === wanted.type && c.status === (wanted.status ?? 'True')),
  );
  return found === undefined ? undefined : `Pod ${place(pod)} has condition ${found.type}`;
}
