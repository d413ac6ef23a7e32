import type { Resource } from '../resources.ts';
import { matchesSelector } from '../selectors.ts';
import { deniedByPolicy } from '../status.ts';
import type { Store } from '../store.ts';
import type { KubeObject, LabelSelector, Stored } from '../types.ts';

type Run = (expression: string, bindings: Readonly<Record<string, unknown>>) => unknown;

/** By name: where it could not be installed, policies refuse nothing. */
const evaluator = '@bufbuild/cel';
const run = await import(evaluator).then((module: { run: Run }) => module.run).catch(() => undefined);

interface PolicySpec {
  readonly matchConstraints: {
    readonly resourceRules: readonly {
      readonly apiGroups: readonly string[];
      readonly operations: readonly string[];
      readonly resources: readonly string[];
    }[];
  };
  readonly variables?: readonly { readonly name: string; readonly expression: string }[];
  readonly validations: readonly { readonly expression: string; readonly message?: string }[];
}

interface BindingSpec {
  readonly policyName: string;
  readonly validationActions: readonly string[];
  readonly matchResources?: { readonly namespaceSelector?: LabelSelector };
}

/** ValidatingAdmissionPolicies, for objects that are created. @throws StatusError 422 */
export function checkPolicies(store: Store, r: Resource, object: Stored): void {
  if (run === undefined) return;
  for (const binding of store.list('validatingadmissionpolicybindings')) {
    const { policyName, validationActions, matchResources } = binding.spec as BindingSpec;
    const policy = store.get('validatingadmissionpolicies', undefined, policyName)?.spec as
      | PolicySpec
      | undefined;
    if (policy === undefined || !validationActions.includes('Deny')) continue;
    if (!isAbout(policy, r) || !isIn(store, object, matchResources?.namespaceSelector)) continue;
    const message = refusalOf(run, policy, object);
    if (message === undefined) continue;
    const names = `'${policyName}' with binding '${binding.metadata.name}'`;
    const why = `ValidatingAdmissionPolicy ${names} denied request: ${message}`;
    throw deniedByPolicy(r, object.metadata.name, why);
  }
}

function isAbout({ matchConstraints }: PolicySpec, r: Resource): boolean {
  const has = (list: readonly string[], one: string) => list.includes('*') || list.includes(one);
  return matchConstraints.resourceRules.some(
    ({ apiGroups, operations, resources }) =>
      has(apiGroups, r.group) && has(operations, 'CREATE') && has(resources, r.name),
  );
}

function isIn(store: Store, { metadata }: Stored, selector: LabelSelector | undefined): boolean {
  if (selector === undefined || metadata.namespace === undefined) return true;
  const namespace = store.get('namespaces', undefined, metadata.namespace);
  return matchesSelector(selector, namespace?.metadata.labels ?? {});
}

/** The message of the first validation that does not hold; an expression that fails does not hold. */
function refusalOf(evaluate: Run, policy: PolicySpec, given: KubeObject): string | undefined {
  const object = celValue(given);
  const variables = new Map<string, unknown>();
  const holds = (expression: string): boolean => {
    try {
      return evaluate(expression, { object, variables }) === true;
    } catch {
      return false;
    }
  };
  for (const { name, expression } of policy.variables ?? [])
    variables.set(name, evaluate(expression, { object, variables }));
  const broken = policy.validations.find(({ expression }) => !holds(expression));
  return broken && (broken.message ?? `failed expression: ${broken.expression}`);
}

/** The evaluator's maps are Maps, and its integers are big ones. */
function celValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(celValue);
  if (typeof value === 'number') return BigInt(value);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return new Map(fields.map(([key, field]) => [key, celValue(field)]));
}
