import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Checkout, type VaultStub } from '../test/tg/checkout.ts';
import { type Postgres, postgresBinaries, startPostgres } from '../test/tg/postgres.ts';

const checkouts: Checkout[] = [];
function checkout(): Checkout {
  const made = new Checkout();
  checkouts.push(made);
  return made;
}
afterEach(() => {
  for (const made of checkouts.splice(0)) made.remove();
});

const credentials = { username: 'u', password: 'not-a-real-secret' };

describe('scripts/tg reports what to do', () => {
  const cases: [string, string[], VaultStub | undefined, Record<string, string>, number, string][] = [
    ['without a command', [], undefined, {}, 2, 'Usage: scripts/tg COMMAND'],
    ['with an unknown command', ['aply'], undefined, {}, 2, 'expected plan, apply, destroy, diff or output'],
    ['without the Vault CLI', ['plan'], undefined, {}, 1, 'vault is not installed'],
    ['without a login', ['plan'], { loggedIn: false, credentials }, {}, 1, 'vault login -method=oidc'],
    ['without credentials', ['plan'], {}, {}, 1, 'vault read database/static-creds/pg-terraform-state'],
    ['with an invalid lock timeout', ['plan'], { credentials }, { TG_LOCK_TIMEOUT: 'soon' }, 1, '5m'],
    [
      'to apply without a terminal to confirm on',
      ['apply'],
      { credentials },
      {},
      1,
      'scripts/tg apply --non-interactive',
    ],
    ['when synthesis fails', ['plan'], { credentials }, { BROKEN: '1' }, 1, '[stack/pipeline] schedule'],
    ['with an unknown stack', ['plan'], { credentials }, { TG_STACK: 'other' }, 1, 'There is no stack'],
  ];
  it.each(cases)('%s', async (_, args, vault, env, status, message) => {
    const project = checkout();
    if (vault) project.withVault(vault);
    // terraform must not be called here.
    project.withTerraform();
    const finished = await project.run(args, env);
    expect(finished.output).toContain(message);
    expect(finished.status).toBe(status);
    expect(finished.output).not.toContain(credentials.password);
    expect(project.calls('terraform')).toEqual([]);
  });

  it('prints its help without a login', async () => {
    const finished = await checkout().run(['--help']);
    expect(finished.status).toBe(0);
    expect(finished.output).toContain('TG_LOCK_TIMEOUT');
  });
});

const binaries = postgresBinaries();
const hasTerraform = spawnSync('terraform', ['version']).status === 0;
const ready = binaries !== undefined && hasTerraform;
if (!ready)
  console.log('scripts/tg.test.ts: no PostgreSQL or no terraform, the state in a database is not tested');

describe.skipIf(!ready)('scripts/tg with terraform and PostgreSQL', () => {
  let postgres: Postgres;
  beforeAll(async () => {
    postgres = await startPostgres(binaries ?? '');
  });
  afterAll(() => postgres?.stop());
  afterEach(() => {
    postgres.query('drop schema if exists "k8s-version-upgrade" cascade');
  });

  const project = () =>
    checkout()
      .withVault({ credentials: { username: postgres.user, password: postgres.password } })
      .withTerraform();
  const environment = (more: Record<string, string> = {}) => ({ TG_PG_ADDRESS: postgres.address, ...more });

  it('plans, applies, prints outputs, finds no difference and destroys', async () => {
    const it = project();
    const before = await it.run(['diff', '--non-interactive'], environment());
    expect(before.status, before.output).toBe(2);
    const applied = await it.run(['apply', '--non-interactive'], environment());
    expect(applied.output).toContain('Apply complete! Resources: 1 added');
    expect(applied.status).toBe(0);
    expect(postgres.query('select count(*) from "k8s-version-upgrade".states')).toBe('1');
    expect((await it.run(['output', '-raw', 'it'], environment())).output).toBe('first');
    expect((await it.run(['diff'], environment())).status).toBe(0);
    const planned = await it.run(['plan', '-no-color'], environment({ INPUT: 'second' }));
    expect(planned.output).toContain('1 to change');
    const destroyed = await it.run(['destroy', '--non-interactive'], environment());
    expect(destroyed.output).toContain('Destroy complete! Resources: 1 destroyed');
  });

  it('writes the password into no argument, file or output', async () => {
    const it = project();
    const { output, status } = await it.run(['apply', '--non-interactive'], environment({ TF_LOG: 'DEBUG' }));
    expect(status).toBe(0);
    const written = [...it.leftovers()].map(([path, text]) => `${path}: ${text}`);
    for (const text of [output, ...written]) {
      expect(text).not.toContain(postgres.password);
      expect(text).not.toContain(encodeURIComponent(postgres.password));
    }
  });

  it('uses PG_CONN_STR unchanged when it is set', async () => {
    const it = project();
    const connection = `postgres://${postgres.user}:${encodeURIComponent(postgres.password)}@${postgres.address}?sslmode=disable`;
    const { status, output } = await it.run(['apply', '--non-interactive'], { PG_CONN_STR: connection });
    expect(status, output).toBe(0);
    expect(it.calls('vault')).toEqual(['token lookup']);
  });

  it('waits five minutes for the lock by default, and caches providers for all projects', async () => {
    const it = project();
    await it.run(['plan'], environment());
    const [init, plan] = it.calls('terraform');
    expect(init).toBe('-chdir=cdktf.out/stacks/k8s-version-upgrade/ init -input=false -lock-timeout=5m');
    expect(plan).toBe('-chdir=cdktf.out/stacks/k8s-version-upgrade/ plan -lock-timeout=5m');
    expect(existsSync(join(it.directory, 'home/.terraform.d/plugin-cache'))).toBe(true);
  });

  it('resolves a relative KUBECONFIG in the directory that tg was called in', async () => {
    const it = project();
    await it.run(['plan'], environment({ KUBECONFIG: 'clusters/home:/etc/kubeconfig' }));
    const there = `${tmpdir()}/clusters/home:/etc/kubeconfig`;
    expect(it.calls('kubeconfig')).toEqual([there, there]);
    const other = project();
    await other.run(['plan'], environment());
    expect(other.calls('kubeconfig')[0]).toBe(join(other.directory, 'home/.kube/config'));
  });

  it('makes the second of two applies wait for the first', async () => {
    const [first, second] = [project(), project()];
    const slow = first.run(['apply', '--non-interactive'], environment({ SLOW: '2' }));
    await lockHeld();
    const waiting = second.run(['apply', '--non-interactive'], environment({ SLOW: '2' }));
    const [a, b] = await Promise.all([slow, waiting]);
    expect([a.status, b.status], a.output + b.output).toEqual([0, 0]);
    expect(b.endedAt).toBeGreaterThan(a.endedAt);
    expect(b.output).toContain('No changes');
  });

  it('fails after the lock timeout', async () => {
    const [first, second] = [project(), project()];
    const slow = first.run(['apply', '--non-interactive'], environment({ SLOW: '3' }));
    await lockHeld();
    const refused = await second.run(['apply', '--non-interactive'], environment({ TG_LOCK_TIMEOUT: '1s' }));
    expect(refused.status).toBe(1);
    expect(refused.output).toContain('Error acquiring the state lock');
    expect((await slow).status).toBe(0);
  });

  /** Resolves when Terraform's pg backend holds its advisory lock. */
  async function lockHeld(): Promise<void> {
    for (let i = 0; i < 200; i += 1) {
      if (Number(postgres.query("select count(*) from pg_locks where locktype = 'advisory'")) > 0) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error('timed out waiting for the first apply to take the lock');
  }
});
