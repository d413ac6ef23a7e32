import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { collectionOf, Rest } from '../../lab/api/contract/rest.ts';
import type { KubeObject } from '../../lab/api/types.ts';
import { kubernetesObjects } from '../../lab/terraform.ts';
import { type Postgres, postgresBinaries, startPostgres } from '../../tg/postgres.ts';
import { RealCluster } from '../real-cluster.ts';
import { ChartRepository, ownGroup } from './chart-repository.ts';
import { parts } from './parts.ts';
import { Project } from './project.ts';
import { agentToken, secrets, Vault } from './vault.ts';

const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** What these tests need and this machine lacks. */
async function missingHere(): Promise<string[]> {
  const { vault, definitions } = parts();
  const others = [
    vault === undefined && 'vault',
    definitions === undefined && 'custom resource definitions',
    postgresBinaries() === undefined && 'PostgreSQL',
    spawnSync('terraform', ['version']).status !== 0 && 'terraform',
  ].filter((name) => name !== false);
  if (others.length > 0) return others;
  // Of the two apps, this one needs all providers.
  const checkout = new Project({ app: pathOf('other-cluster.ts'), env: {} });
  const providers = await checkout.useProviders('other', parts());
  checkout.remove();
  return providers.map((name) => `the provider ${name}`);
}

const missing = await missingHere();
if (missing.length > 0)
  console.log(`test/conformance/terraform: nothing is applied, missing: ${missing.join(', ')}`);

let cluster: RealCluster;
let rest: Rest;
let vault: Vault;
let postgres: Postgres;
let charts: ChartRepository;
const projects: Project[] = [];

beforeAll(async () => {
  if (missing.length > 0) return;
  const { vault: directory = '', definitions = [] } = parts();
  postgres = await startPostgres(postgresBinaries() ?? '');
  [cluster, vault, charts] = await Promise.all([
    RealCluster.start({ scheduler: false }),
    Vault.start(directory),
    ChartRepository.start(),
  ]);
  rest = new Rest({ url: cluster.url, caPem: cluster.caPem, token: await cluster.token('admin') });
  await rest.create(definitions.map((path) => parse(readFileSync(path, 'utf8'))));
  for (const name of ['monitoring', 'databases'])
    await rest.create([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }]);
  await vault.fill(postgres);
});

afterAll(async () => {
  for (const project of projects) project.remove();
  charts?.stop();
  await Promise.all([cluster?.stop(), vault?.stop(), postgres?.stop()]);
});

function project(app: string): Project {
  const made = new Project({
    app,
    env: {
      KUBECONFIG: cluster.adminKubeconfig,
      VAULT_ADDR: vault.url,
      VAULT_TOKEN: vault.token,
      TG_PG_ADDRESS: postgres.address,
      TG_PG_SSLMODE: 'disable',
      CHART_REPOSITORY: charts.url,
    },
  });
  made.addToPath(parts().vault ?? '');
  projects.push(made);
  return made;
}

/** The path of an object in the API. */
const at = (object: KubeObject) => `${collectionOf(object)}/${object.metadata?.name}`;

/** Sorts every list of strings: to Terraform, a role's verbs are a set. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    const words = value.every((one) => typeof one === 'string');
    return words ? [...value].sort() : value.map(sorted);
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, sorted(one)]));
}

const absent = async (objects: readonly KubeObject[]): Promise<string[]> => {
  const found = await Promise.all(objects.map((object) => rest.find(at(object))));
  return objects.filter((_, i) => found[i] === undefined).map(at);
};

const courses: [what: string, stack: string, app: string][] = [
  ['main.ts', 'k8s-version-upgrade', '../../../main.ts'],
  ['an app with the other choices', 'other', 'other-cluster.ts'],
];

// Part of the test names, and so of the report: `.ci/count.mjs` accepts missing providers and nothing else.
const unless = missing.length === 0 ? '' : ` (missing: ${missing.join(', ')})`;

describe.skipIf(missing.length > 0).each(courses)(
  `scripts/tg with the real providers${unless}: %s`,
  (_what, stack, app) => {
    let checkout: Project;
    let objects: KubeObject[];
    beforeAll(async () => {
      checkout = project(pathOf(app));
      expect(await checkout.useProviders(stack, parts())).toEqual([]);
      objects = kubernetesObjects(await checkout.synthesized(stack)) as unknown as KubeObject[];
    });

    it('applies all of it', { timeout: 300_000 }, async () => {
      expect(await absent(objects)).toEqual(objects.map(at));
      const { status, output } = await checkout.tg('apply', '--non-interactive');
      expect(status, output).toBe(0);
      expect(objects.length).toBeGreaterThan(20);
    });

    it('creates the objects that the lab has', async () => {
      for (const object of objects)
        expect(sorted(await rest.get(at(object))), at(object)).toMatchObject(sorted(object) as object);
    });

    it('admits their Jobs and pods, and no other Job', async () => {
      const cronJobs = objects.filter(({ kind }) => kind === 'CronJob').map(at);
      expect(cronJobs).toHaveLength(2);
      for (const path of cronJobs) {
        const { metadata, spec } = await rest.get(path);
        const { spec: job } = spec.jobTemplate;
        const named = { metadata: { name: metadata.name } };
        const jobs = `${path.replace(/cronjobs\/.*$/, 'jobs')}?dryRun=All`;
        const other = structuredClone(job);
        other.template.spec.containers[0].image = 'registry.invalid/other:1';
        // The API server uses a policy and its parameters only a moment after it has accepted them.
        const answers = async () => {
          const both = [job, other].map((one) => rest.send('POST', jobs, { ...named, spec: one }));
          return (await Promise.all(both)).map(({ code }) => code);
        };
        await expect.poll(answers, { timeout: 30_000 }).toEqual([201, 422]);

        const pods = `${at({ kind: 'Namespace', metadata: { name: metadata.namespace } })}/pods?dryRun=All`;
        const pod = await rest.send('POST', pods, { ...named, spec: job.template.spec });
        expect(pod.code, JSON.stringify(pod.body)).toBe(201);
      }
    });

    it('finds no change afterwards, not even while a run is in flight', {
      timeout: 300_000,
    }, async () => {
      const namespace = objects.find(({ kind }) => kind === 'Namespace') ?? {};
      const annotations = { 'viktorbarzin.me/k8s-upgrade-in-flight': '2026-01-04T12:00:00Z' };
      await rest.patch(at(namespace), { metadata: { annotations } });
      const { status, output } = await checkout.tg('diff', '--non-interactive');
      expect(status, output).toBe(0);
      const applied = await checkout.tg('apply', '--non-interactive');
      expect(applied.output).toContain('0 added, 0 changed, 0 destroyed');
      expect((await rest.get(at(namespace))).metadata.annotations).toMatchObject(annotations);
    });

    it('keeps secrets out of the state', () => {
      const state = postgres.query(`select data from "${stack}".states`);
      expect(state).toContain('k8s-upgrade-creds');
      const written = [...Object.values(secrets), agentToken, vault.token, postgres.password];
      for (const secret of written) {
        expect(state).not.toContain(secret);
        expect(state).not.toContain(JSON.stringify(secret).slice(1, -1));
      }
    });

    if (stack === 'other') {
      it('configures Prometheus with the rules as they were written, and keeps those of the owner', async () => {
        const { data } = await rest.get('/api/v1/namespaces/monitoring/configmaps/prometheus-server');
        const files = Object.values(data as Record<string, string>).map((text) => parse(text));
        const rule = objects.find(({ kind }) => kind === 'PrometheusRule') as { spec: { groups: object[] } };
        expect(rule.spec.groups).toHaveLength(2);
        expect(files).toContainEqual({ groups: rule.spec.groups });
        expect(files).toContainEqual({ groups: [ownGroup] });
      });
    }

    it('destroys all of it', { timeout: 300_000 }, async () => {
      const { status, output } = await checkout.tg('destroy', '--non-interactive');
      expect(status, output).toBe(0);
      expect(await absent(objects)).toEqual(objects.map(at));
      expect((await vault.request('GET', 'sys/policies/acl/k8s-upgrade-read')).status).toBe(404);
      expect(JSON.parse(postgres.query(`select data from "${stack}".states`)).resources).toEqual([]);
    });
  },
);
