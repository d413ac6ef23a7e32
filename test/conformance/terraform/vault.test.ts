import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bashBlocks, readDocument } from '../../docs/markdown.ts';
import { type Postgres, postgresBinaries, startPostgres } from '../../tg/postgres.ts';
import { parts } from './parts.ts';
import { Project } from './project.ts';
import { secrets, Vault } from './vault.ts';

const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));

const { vault: directory } = parts();
const binaries = postgresBinaries();
const missing = [
  directory === undefined && 'vault',
  binaries === undefined && 'PostgreSQL',
  spawnSync('terraform', ['version']).status !== 0 && 'terraform',
].filter(Boolean);
if (missing.length > 0) console.log(`test/conformance/terraform: not run with Vault, missing: ${missing}`);

describe.skipIf(missing.length > 0)('with a real Vault', { timeout: 120_000 }, () => {
  let vault: Vault;
  let postgres: Postgres;
  let checkout: Project;
  beforeAll(async () => {
    [postgres, vault] = await Promise.all([startPostgres(binaries ?? ''), Vault.start(directory ?? '')]);
    await vault.fill(postgres);
    checkout = new Project({
      app: pathOf('plain-stack.ts'),
      env: {
        VAULT_ADDR: vault.url,
        VAULT_TOKEN: vault.token,
        TG_PG_ADDRESS: postgres.address,
        TG_PG_SSLMODE: 'disable',
      },
    });
    checkout.addToPath(directory ?? '');
  }, 120_000);
  afterAll(async () => {
    checkout?.remove();
    await Promise.all([vault?.stop(), postgres?.stop()]);
  });

  it('scripts/tg reads the credentials of the state from it, and does not print them', async () => {
    const { status, output } = await checkout.tg('apply', '--non-interactive');
    expect(status, output).toBe(0);
    expect(postgres.query('select count(*) from plain.states')).toBe('1');
    for (const secret of [postgres.password, encodeURIComponent(postgres.password), vault.token])
      expect(output).not.toContain(secret);
    expect((await checkout.tg('diff')).status).toBe(0);
  });

  it('scripts/tg refuses an invalid token with a hint to log in', async () => {
    checkout.set('VAULT_TOKEN', 'hvs.none');
    const { status, output } = await checkout.tg('plan');
    checkout.set('VAULT_TOKEN', vault.token);
    expect(status).toBe(1);
    expect(output).toContain(`Vault at ${vault.url} does not accept your token`);
  });

  it('the policy of main.ts allows reading what External Secrets fetches, and nothing else', async () => {
    const main = new Project({ app: pathOf('../../../main.ts'), env: {} });
    const { resource } = JSON.parse(await main.synthesized('k8s-version-upgrade'));
    main.remove();
    const [{ name, policy }] = Object.values<{ name: string; policy: string }>(resource.vault_policy) as [
      { name: string; policy: string },
    ];
    expect((await vault.request('PUT', `sys/policies/acl/${name}`, { policy })).status).toBe(204);
    const token = await vault.tokenWith([name]);
    const answers = async (method: string, path: string, body?: object) =>
      (await vault.request(method, path, body, token)).status;

    const [wanted] = Object.values<{ manifest: { kind: string; spec: { data: { remoteRef: Ref }[] } } }>(
      resource.kubernetes_manifest,
    ).filter(({ manifest }) => manifest.kind === 'ExternalSecret');
    for (const { remoteRef } of wanted?.manifest.spec.data ?? []) {
      const { status, data } = await vault.request('GET', `secret/data/${remoteRef.key}`, undefined, token);
      expect(status).toBe(200);
      expect(data?.data).toHaveProperty(remoteRef.property);
    }
    expect(await answers('POST', 'secret/data/k8s-upgrade', { data: secrets })).toBe(403);
    expect(await answers('DELETE', 'secret/metadata/k8s-upgrade')).toBe(403);
    expect(await answers('GET', 'secret/data/other')).toBe(403);
    expect(await answers('GET', 'database/static-creds/pg-terraform-state')).toBe(403);
  });

  it('the command of the runbook adds the policy to those of the role, and may be run twice', async () => {
    const runbook = bashBlocks(readDocument('docs/runbooks/k8s-version-upgrade.md'));
    const { text = '' } = runbook.find((block) => block.text.includes('token_policies')) ?? {};
    const [command = ''] = /^vault write .+$/m.exec(text) ?? [];
    // This build of Vault lacks the Kubernetes auth method. Policies of AppRole's roles behave the same.
    await vault.request('POST', 'sys/auth/kubernetes', { type: 'approle' });
    const role = 'auth/kubernetes/role/external-secrets';
    await vault.request('POST', role, { token_policies: ['own'], token_ttl: '600s' });
    for (const _ of ['once', 'again']) {
      const { status, output } = await checkout.run('bash', ['-c', `ROLE=external-secrets\n${command}`]);
      expect(status, output).toBe(0);
      expect((await vault.request('GET', role)).data).toMatchObject({
        token_policies: ['k8s-upgrade-read', 'own'],
        token_ttl: 600,
      });
    }
  });

  it('the command that rotates the key replaces it and keeps the webhook', async () => {
    const rotate = 'vault kv patch secret/k8s-upgrade ssh_key=@/dev/stdin <<<"another key" >/dev/null';
    const { status, output } = await checkout.run('bash', ['-c', rotate]);
    expect(status, output).toBe(0);
    const { data } = await vault.request('GET', 'secret/data/k8s-upgrade');
    expect(data?.data).toEqual({ ...secrets, ssh_key: 'another key\n' });
  });
});

interface Ref {
  readonly key: string;
  readonly property: string;
}
