import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { objectNames } from '../../runtime/src/names.ts';
import { collectionOf, type Rest } from '../lab/api/contract/rest.ts';
import type { KubeObject } from '../lab/api/types.ts';
import { parts } from './terraform/parts.ts';

/** Of operators that are not here: their objects are taken and stay as they are. */
const customKinds = [
  { group: 'external-secrets.io', version: 'v1', kind: 'ExternalSecret', plural: 'externalsecrets' },
  { group: 'monitoring.coreos.com', version: 'v1', kind: 'PrometheusRule', plural: 'prometheusrules' },
];

/** Definitions for where the operators' own are not available. */
export const standIns = (): KubeObject[] => customKinds.map(standIn);

function standIn({ group, version, kind, plural }: (typeof customKinds)[number]): KubeObject {
  const openAPIV3Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{ name: version, served: true, storage: true, schema: { openAPIV3Schema } }],
    },
  };
}

/**
 * Creates what `scripts/tg apply` would, in the order of Terraform's references. No object has a field that
 * the API server does not know. Resolves when admission goes by it.
 *
 * @param definitions of the operators' kinds.
 */
export async function deploy(
  rest: Rest,
  objects: readonly KubeObject[],
  definitions: readonly KubeObject[] = realDefinitions() ?? standIns(),
): Promise<void> {
  await rest.create(definitions);
  for (const { group, version, plural } of customKinds)
    await rest.eventually(`/apis/${group}/${version}/${plural}`, (list) => list !== undefined);
  const first = (object: KubeObject) => Number(['Namespace', 'PriorityClass'].includes(object.kind ?? ''));
  for (const object of objects.toSorted((a, b) => first(b) - first(a)))
    await rest.ok('POST', `${collectionOf(object)}?fieldValidation=Strict`, object);
  await policyIsInForce(rest);
}

/** The operators' own. */
const realDefinitions = (): KubeObject[] | undefined =>
  parts().definitions?.map((path) => parse(readFileSync(path, 'utf8')) as KubeObject);

/** The API server compiles a policy a moment after it has taken it. */
async function policyIsInForce(rest: Rest): Promise<void> {
  const { namespace } = objectNames;
  const containers = [{ name: 'c', image: 'registry.invalid/other:1' }];
  const body = {
    metadata: { name: 'probe' },
    spec: { template: { spec: { restartPolicy: 'Never', containers } } },
  };
  const deadline = Date.now() + 30_000;
  for (;;) {
    const { code } = await rest.send('POST', `/apis/batch/v1/namespaces/${namespace}/jobs?dryRun=All`, body);
    if (code === 422) return;
    if (Date.now() > deadline) throw new Error('no policy refuses a Job of another image');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
