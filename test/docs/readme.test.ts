import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseSettings } from '../../runtime/src/settings/settings.ts';
import { scenarios } from '../lab/rehearse/scenarios.ts';
import { readDocument, root } from './markdown.ts';

const readme = readDocument('README.md');
const block = (language: string, after: string): string => {
  const section = readme.slice(readme.indexOf(after));
  return new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(section)?.[1] ?? '';
};

it('the settings in the README are all there are, with their defaults', () => {
  const shown = parse(block('yaml', '## Configuration'));
  const { prometheus, pushgateway } = shown;
  const defaults = parseSettings('defaults', {
    prometheus: { url: prometheus.url },
    pushgateway: { url: pushgateway.url },
  });
  expect(parseSettings('README.md', shown)).toEqual(defaults);
  // What is written, not only what it means: a setting that the README leaves out would be filled in by its default.
  expect(keysOf(shown)).toEqual(keysOf(defaults));
});

it('the settings for a workstation are some that the program takes', () => {
  const settings = parseSettings('README.md', parse(block('yaml', '### Try it from a workstation')));
  expect(settings.slack.enabled).toBe(false);
  expect(settings.ssh.hostKeys.policy).toBe('accept-new');
});

function keysOf(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [path];
  const entries = Object.entries(value);
  return entries.length === 0
    ? [path]
    : entries.flatMap(([key, one]) => keysOf(one, `${path}.${key}`)).sort();
}

it('every scenario is in the README', () => {
  for (const { name } of scenarios) expect(readme).toContain(`| \`${name}\` |`);
});

it('every make target that the README names exists', () => {
  const targets = [...readme.matchAll(/\bmake ([a-z-]+)/g)].map(([, target]) => target ?? '');
  expect(targets.length).toBeGreaterThan(5);
  for (const target of new Set(targets)) {
    expect(spawnSync('make', ['--dry-run', target], { cwd: root, encoding: 'utf8' }).stderr).not.toContain(
      'No rule',
    );
  }
});
