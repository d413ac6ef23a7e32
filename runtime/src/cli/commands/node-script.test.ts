import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { assembledScripts } from '../../../node-scripts.mjs';
import { scriptSummaries } from '../script-summaries.ts';

const bundle = join(import.meta.dirname, '../../../dist/k8s-upgrade.cjs');
const names = Object.keys(scriptSummaries);
// Nothing of a cluster, and nothing of settings.
const env = { PATH: process.env.PATH, HOME: '/nowhere', K8S_UPGRADE_SETTINGS: '/nowhere/settings.yaml' };

const program = (...args: string[]) => spawnSync(process.execPath, [bundle, ...args], { env });
const said = (...args: string[]) => {
  const { status, stdout, stderr } = program(...args);
  return { status, stdout: String(stdout), stderr: String(stderr) };
};

/** @param rest of the line, after the script of update_k8s was printed. */
const shell = (rest: string) => {
  const line = `"$0" "$1" node-script update_k8s ${rest}`;
  return spawnSync('bash', ['-c', line, process.execPath, bundle], { env, encoding: 'utf8' });
};

describe('node-script', () => {
  it.each(names)('prints %s to the byte', (name) => {
    const file = readFileSync(join(assembledScripts, `${name}.sh`));
    for (const given of [name, `${name}.sh`]) {
      const { status, stdout, stderr } = program('node-script', given);
      expect([status, String(stderr)]).toEqual([0, '']);
      expect(stdout.equals(file)).toBe(true);
    }
  });

  it('names them all in its help', () => {
    const { stdout } = said('node-script', '--help');
    for (const name of names) expect(stdout).toMatch(new RegExp(`^  ${name} +\\w`, 'm'));
    expect(stdout).not.toMatch(/--settings|--kubeconfig/);
  });

  it.each([
    [[], 'nothing'],
    [[''], ''],
    [['detach'], 'detach'],
    [['toString'], 'toString'],
    [['../update_k8s'], '../update_k8s'],
    [['update_k8s.sh.sh'], 'update_k8s.sh.sh'],
  ])('is asked for one that there is, and not for %j', (args, given) => {
    expect(said('node-script', ...args)).toEqual({
      status: 2,
      stdout: '',
      stderr: `NAME: "${given}" is not allowed; expected one of ${names.join(', ')}\n`,
    });
  });

  it('can be run as it comes out of the pipe', () => {
    const { status, stdout, stderr } = shell('| bash -s -- --help');
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^Usage: update_k8s\.sh /);
  });

  it('has nothing to say when the reader has had enough, or waits', () => {
    expect(shell('| head -1')).toMatchObject({ status: 0, stdout: '#!/usr/bin/env bash\n', stderr: '' });
    expect(shell(`| true; echo "\${PIPESTATUS[0]}"`)).toMatchObject({ stdout: '0\n', stderr: '' });
    expect(shell('| { sleep 0.5; tail -1; }')).toMatchObject({ stdout: 'main "$@"\n', stderr: '' });
  });

  it('says when what it prints has nowhere to go', () => {
    const { status, stderr } = shell('>/dev/full');
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/^the script could not be printed: ENOSPC.*\n$/),
    ]);
  });
});
