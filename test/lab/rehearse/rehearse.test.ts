import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { scenarios } from './scenarios.ts';

const program = (name: string) => ['--import', 'tsx', fileURLToPath(new URL(name, import.meta.url))];

describe('the rehearsal', () => {
  it('lists its scenarios with their summaries', () => {
    const { stdout, status } = spawnSync(process.execPath, [...program('main.ts'), '--scenario', 'list'], {
      encoding: 'utf8',
    });
    expect(status).toBe(0);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(/ {2,}/)),
    ).toEqual(scenarios.map(({ name, summary }) => [name, summary].flatMap((text) => text.split(/ {2,}/))));
  });

  it('refuses an unknown scenario and names it', () => {
    const { stderr, status } = spawnSync(process.execPath, [...program('main.ts'), '--scenario', 'fire'], {
      encoding: 'utf8',
    });
    expect(status).toBe(2);
    expect(stderr).toContain('"fire" is not allowed; expected one of list, patch, minor');
  });
});

describe('make lab', () => {
  let child: ChildProcess | undefined;
  afterEach(() => child?.kill('SIGKILL'));

  it('prints how to reach the lab, which works and ends with Ctrl-C', async () => {
    child = spawn(process.execPath, program('serve.ts'), { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    for await (const chunk of child.stdout ?? []) {
      printed += chunk;
      if (printed.includes('Ctrl-C')) break;
    }
    const plan = /node (\S+) plan --settings (\S+)/.exec(printed)?.slice(1, 3) ?? [];
    const KUBECONFIG = /KUBECONFIG=(\S+)/.exec(printed)?.[1] ?? '';
    const [bundle = '', settings = ''] = plan;
    const planned = spawnSync(process.execPath, [bundle, 'plan', '--settings', settings], {
      encoding: 'utf8',
      env: { ...process.env, KUBECONFIG },
    });
    expect(planned.stdout).toContain('every gate is open');
    expect(printed.match(/ssh -i /g)).toHaveLength(5);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});
