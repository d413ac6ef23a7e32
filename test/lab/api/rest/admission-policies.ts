import { run } from '@bufbuild/cel';
import type { Resource } from '../resources.ts';
import { matchesSelector } from '../selectors.ts';
import { deniedByPolicy } from '../status.ts';
import type { Store } from '../store.ts';
import type { LabelSelector, Stored } from '../types.ts';

/** What a policy checks of an object: `spec` of a ValidatingAdmissionPolicy, as far as it is evaluated. */
export interface PolicyChecks {
  /** Evaluated in this order; each may use those before it. @default none */
  readonly variables?: readonly { readonly name: string; readonly expression: string }[];
  /** The object is refused with the message of the first that does not hold. */
  readonly validations: readonly { readonly expression: string; readonly message?: string }[];
}

interface PolicySpec extends PolicyChecks {
  readonly matchConstraints: {
    readonly resourceRules: readonly {
      readonly apiGroups: readonly string[];
      readonly operations: readonly string[];
      readonly resources: readonly string[];
    }[];
  };
}

interface BindingSpec {
  readonly policyName: string;
  readonly validationActions: readonly string[];
  readonly matchResources?: { readonly namespaceSelector?: LabelSelector };
}

/** ValidatingAdmissionPolicies, for objects that are created. @throws StatusError 422 */
export function checkPolicies(store: Store, r: Resource, object: Stored): void {
  for (const binding of store.list('validatingadmissionpolicybindings')) {
    const { policyName, validationActions, matchResources } = binding.spec as BindingSpec;
    const policy = store.get('validatingadmissionpolicies', undefined, policyName)?.spec as
      | PolicySpec
      | undefined;
    if (policy === undefined || !validationActions.includes('Deny')) continue;
    if (!isAbout(policy, r) || !isIn(store, object, matchResources?.namespaceSelector)) continue;
    const [message] = refusals(policy, object);
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

/**
 * The messages of all validations that do not hold of an object. One whose expression fails does not hold,
 * nor does one that uses a variable whose expression fails.
 */
export function refusals({ variables: given = [], validations }: PolicyChecks, about: object): string[] {
  const object = celValue(about);
  const variables = new Map<string, unknown>();
  const evaluated = (expression: string): unknown => {
    try {
      return run(expression, { object, variables } as Parameters<typeof run>[1]);
    } catch {
      return undefined;
    }
  };
  for (const { name, expression } of given) {
    const value = evaluated(expression);
    if (value !== undefined) variables.set(name, value);
  }
  return validations
    .filter(({ expression }) => evaluated(expression) !== true)
    .map(({ expression, message }) => message ?? `failed expression: ${expression}`);
}

/** The evaluator needs a Map for each object and a BigInt for each integer. */
function celValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(celValue);
  if (typeof value === 'number') return BigInt(value);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return new Map(fields.map(([key, field]) => [key, celValue(field)]));
}
