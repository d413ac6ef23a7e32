import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { collectionOf, Rest } from '../../lab/api/contract/rest.ts';
import type { KubeObject } from '../../lab/api/types.ts';
import { kubernetesObjects } from '../../lab/terraform.ts';
import { RealCluster } from '../real-cluster.ts';
import { parts } from './parts.ts';
import { Project } from './project.ts';

const { definitions = [] } = parts();
if (definitions.length === 0)
  console.log('test/conformance/terraform: no custom resource is checked, missing: their definitions');

const customGroups = ['external-secrets.io/', 'monitoring.coreos.com/'];

/** The custom resources of a synthesized stack. */
async function customObjects(app: string, stack: string): Promise<KubeObject[]> {
  const checkout = new Project({ app: fileURLToPath(new URL(app, import.meta.url)), env: {} });
  try {
    const objects = kubernetesObjects(await checkout.synthesized(stack)) as unknown as KubeObject[];
    return objects.filter(({ apiVersion = '' }) =>
      customGroups.some((group) => apiVersion.startsWith(group)),
    );
  } finally {
    checkout.remove();
  }
}

/** A copy with one more field in `spec`. */
const withUnknownField = (object: KubeObject): KubeObject => ({
  ...object,
  spec: { ...(object.spec as object), noSuchField: 1 },
});

describe.skipIf(definitions.length === 0)('with the operators’ own definitions', () => {
  let cluster: RealCluster;
  let rest: Rest;
  beforeAll(async () => {
    cluster = await RealCluster.start({ controllers: false, scheduler: false });
    rest = new Rest({ url: cluster.url, caPem: cluster.caPem, token: await cluster.token('admin') });
    for (const path of definitions) {
      const definition = parse(readFileSync(path, 'utf8'));
      await rest.create([definition]);
      const { group, names, versions } = definition.spec;
      const served = versions.filter((version: { served: boolean }) => version.served);
      for (const { name } of served)
        await rest.eventually(`/apis/${group}/${name}/${names.plural}`, (list) => list !== undefined);
    }
  });
  afterAll(() => cluster?.stop());

  it.each([
    ['main.ts', 'k8s-version-upgrade', '../../../main.ts', ['ExternalSecret']],
    ['an app with the other choices', 'other', 'other-cluster.ts', ['ExternalSecret', 'PrometheusRule']],
  ])('the custom resources of %s are valid, and every field is known', async (_, stack, app, kinds) => {
    const objects = await customObjects(app, stack);
    expect(objects.map(({ kind }) => kind).sort()).toEqual(kinds);
    for (const object of objects) {
      const namespace = object.metadata?.namespace ?? '';
      await rest.send('POST', '/api/v1/namespaces', { metadata: { name: namespace } });
      const strict = `${collectionOf(object)}?fieldValidation=Strict`;
      const refused = await rest.send('POST', strict, withUnknownField(object));
      expect([refused.code, refused.body.message]).toEqual([
        400,
        expect.stringContaining('unknown field "spec.noSuchField"'),
      ]);
      const accepted = await rest.send('POST', strict, object);
      expect(accepted.code, JSON.stringify(accepted.body)).toBe(201);
      // No field was dropped or changed, so the next plan finds no change.
      expect(accepted.body).toMatchObject(object);
    }
  });
});
