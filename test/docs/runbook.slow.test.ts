import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseSettings } from '../../runtime/src/settings.ts';
import { bundle, Lab } from '../lab/lab.ts';
import { bashBlocks, readDocument } from './markdown.ts';

const [fetchSettings, ...blocks] = bashBlocks(readDocument('docs/runbooks/k8s-version-upgrade.md')).filter(
  (block) => block.runsInLab,
);
const tools = ['kubectl', 'jq', 'curl'].filter((tool) => spawnSync('which', [tool]).status !== 0);
const ready = tools.length === 0 && existsSync(bundle);
if (!ready)
  console.log(`test/docs: the runbook is not run: missing ${[...tools, 'or the bundle'].join(', ')}`);

/** The commands of the runbook, in its order, as one person would type them in one cluster. */
describe.skipIf(!ready)('the runbook in the lab', () => {
  let lab: Lab;
  let env: Record<string, string> = {};
  beforeAll(async () => {
    lab = await Lab.start();
    const bin = join(lab.dir, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'k8s-upgrade'), `#!/bin/sh\nexec ${process.execPath} ${bundle} "$@"\n`);
    chmodSync(join(bin, 'k8s-upgrade'), 0o755);
    env = {
      PATH: `${bin}:${process.env.PATH}`,
      HOME: lab.dir,
      KUBECONFIG: await lab.kubeconfig(),
      SETTINGS: lab.settingsFile,
      PROMETHEUS: lab.prometheus.url,
      PUSHGATEWAY: lab.pushgateway.url,
    };
    // Something to look at: last Sunday's detection.
    await lab.cli(['detect', '--dry-run']);
  });
  afterAll(() => lab?.stop());

  async function bash(
    text: string,
    more: Record<string, string> = {},
  ): Promise<{ code: number; output: string }> {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', text], { env: { ...env, ...more } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk;
      });
    }
    const [code] = await once(child, 'close');
    return { code, output };
  }

  it('fetches the settings that the pipeline runs with', async () => {
    const file = join(lab.dir, 'fetched.yaml');
    const { code, output } = await bash(fetchSettings?.text ?? 'false', { SETTINGS: file });
    expect(code, output).toBe(0);
    expect(parseSettings(file, parse(readFileSync(file, 'utf8')))).toEqual(
      parseSettings('lab', lab.settings),
    );
  });

  it.each(blocks.map(({ section, text }, index) => ({ section, text, number: index + 1 })))(
    '$number $section',
    async ({ text }) => {
      const { code, output } = await bash(text);
      expect(code, output).toBe(0);
    },
  );

  it('leaves nothing behind: no rollout in flight, nothing halted, no node touched', async () => {
    const { stdout } = await lab.cli(['status', '--json']);
    const status = JSON.parse(stdout);
    expect(status).toMatchObject({ inFlight: null, halted: null, atWork: null });
    for (const node of status.nodes) expect(node).toMatchObject({ release: '1.34.2', state: 'Ready' });
    expect(blocks.length).toBeGreaterThan(12);
  });
});
