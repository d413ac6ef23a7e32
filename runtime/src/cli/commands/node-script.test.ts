import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { assembledScripts } from '../../../node-scripts.mjs';
import { rejection } from '../../testing/files.ts';
import { scriptSummaries } from '../script-summaries.ts';
import { nodeScriptCommand } from './node-script.ts';

const bundle = join(import.meta.dirname, '../../../dist/k8s-upgrade.cjs');
const names = Object.keys(scriptSummaries);
// Neither a cluster nor settings.
const env = { PATH: process.env.PATH, HOME: '/nowhere', K8S_UPGRADE_SETTINGS: '/nowhere/settings.yaml' };

const program = (...args: string[]) => spawnSync(process.execPath, [bundle, ...args], { env });
const output = (...args: string[]) => {
  const { status, stdout, stderr } = program(...args);
  return { status, stdout: String(stdout), stderr: String(stderr) };
};

/** @param rest of the command line, after the command that prints update_k8s. */
const shell = (rest: string) => {
  const line = `"$0" "$1" node-script update_k8s ${rest}`;
  return spawnSync('bash', ['-c', line, process.execPath, bundle], { env, encoding: 'utf8' });
};

describe('node-script', () => {
  // Each script is called either by name or by file, as starting the program takes a while.
  it.each(names.map((name, n) => [n % 2 === 0 ? name : `${name}.sh`, name]))(
    'prints %s byte for byte',
    (given, name) => {
      const file = readFileSync(join(assembledScripts, `${name}.sh`));
      const { status, stdout, stderr } = program('node-script', given);
      expect([status, String(stderr)]).toEqual([0, '']);
      expect(stdout.equals(file)).toBe(true);
    },
  );

  it('lists all scripts in its help', () => {
    const { stdout } = output('node-script', '--help');
    for (const name of names) expect(stdout).toMatch(new RegExp(`^  ${name} +\\w`, 'm'));
    expect(stdout).not.toMatch(/--settings|--kubeconfig/);
  });

  const refusal = (given: string) => `NAME: "${given}" is not allowed; expected one of ${names.join(', ')}`;

  it.each([[[], 'nothing'] as const, [['detach'], 'detach'] as const])(
    'rejects the arguments %j with exit code 2',
    (args, given) => {
      const stderr = `${refusal(given)}\n`;
      expect(output('node-script', ...args)).toEqual({ status: 2, stdout: '', stderr });
    },
  );

  it.each(['', 'toString', '../update_k8s', 'update_k8s.sh.sh'])('rejects the name "%s"', async (given) => {
    expect(await rejection(nodeScriptCommand(given))).toMatchObject({
      code: 'badInput',
      message: refusal(given),
    });
  });

  it('prints a script that bash can run from a pipe', () => {
    const { status, stdout, stderr } = shell('| bash -s -- --help');
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^Usage: update_k8s\.sh /);
  });

  it('prints no error when the reader stops early or waits', () => {
    expect(shell('| head -1')).toMatchObject({ status: 0, stdout: '#!/usr/bin/env bash\n', stderr: '' });
    expect(shell(`| true; echo "\${PIPESTATUS[0]}"`)).toMatchObject({ stdout: '0\n', stderr: '' });
    expect(shell('| { sleep 0.5; tail -1; }')).toMatchObject({ stdout: 'main "$@"\n', stderr: '' });
  });

  it('fails when its output cannot be written', () => {
    const { status, stderr } = shell('>/dev/full');
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/^the output could not be written: ENOSPC.*\n$/),
    ]);
  });
});
