import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { pipeline, settings } from '../test/constructs/synthesis.ts';
import { settingsSchema } from './src/settings/settings.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dockerfile = readFileSync(join(root, 'runtime/Dockerfile'), 'utf8');
const stages = dockerfile.split(/^FROM /m).slice(1);
const stage = (name: string): string =>
  stages.find((text) => text.split('\n')[0]?.endsWith(` AS ${name}`)) ?? '';

describe('the image', () => {
  it('runs as the user in the pod templates', () => {
    const [cronJob] = pipeline().resources('kubernetes_cron_job_v1');
    const user = /"run_as_user":"(\d+)"/.exec(JSON.stringify(cronJob))?.[1];
    expect(stage('runtime')).toContain(`\nUSER ${user}:${user}\n`);
  });

  it('starts the bundle, so that pods only pass a command', () => {
    expect(stage('runtime')).toContain('ENTRYPOINT ["node", "/opt/k8s-upgrade/k8s-upgrade.cjs"]');
    expect(readFileSync(join(root, 'runtime/build.mjs'), 'utf8')).toContain('dist/k8s-upgrade.cjs');
  });

  it('is based on exact versions, not on moving tags', () => {
    const bases = [...dockerfile.matchAll(/^ARG \w+_IMAGE=(\S+)$/gm)].map(([, base]) => base);
    expect(bases).toHaveLength(2);
    for (const base of bases) expect(base).toMatch(/:\d+\.\d+\.\d+-/);
  });

  it.each([
    ['runtime', 'NODE_IMAGE', /^node:24\.\d+\.\d+-[a-z]+-slim$/],
    ['agent', 'AGENT_IMAGE', /^node:20\.\d+\.\d+-alpine/],
  ])('has the Node.js and the distribution of its target %s', (name, arg, base) => {
    expect(stage(name).split('\n')[0]).toBe(`\${${arg}} AS ${name}`);
    expect(new RegExp(`^ARG ${arg}=(\\S+)$`, 'm').exec(dockerfile)?.[1]).toMatch(base);
  });

  it('installs the same program in the agent image, as a command', () => {
    const copied = [...stage('agent').matchAll(/^(?:COPY|ADD|RUN) .*$/gm)].map(([line]) => line);
    expect(copied).toEqual([
      'COPY --from=build --chmod=0555 /src/runtime/dist/k8s-upgrade.cjs /usr/local/bin/k8s-upgrade',
    ]);
    // The line that makes it executable as a command.
    expect(readFileSync(join(root, 'runtime/build.mjs'), 'utf8')).toContain('#!/usr/bin/env node');
  });

  it('holds nothing but the bundle and the node scripts', () => {
    const copied = [...stage('runtime').matchAll(/^COPY --from=build \S+ (\S+) /gm)].map(([, path]) => path);
    expect(copied).toEqual(['/src/runtime/dist/k8s-upgrade.cjs', '/src/runtime/dist/node-scripts/']);
    expect(stage('runtime')).not.toMatch(/^(RUN|ADD) /m);
  });
});

it('the agent that the detector dispatches to exists', () => {
  const { agent } = settingsSchema.parse(settings).dispatch.agentService;
  expect(existsSync(join(root, `${agent}.md`))).toBe(true);
});
