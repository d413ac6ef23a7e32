import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseSettings, settingsSchema } from '../../runtime/src/settings/settings.ts';
import { codeBlocks, readDocument } from './markdown.ts';

const path = 'docs/configuration.md';
const text = readDocument(path);

/** Each row of its tables: the setting, and its default as YAML, `required` or `optional`. */
const rows = [...text.matchAll(/^\| `(?<key>[\w.]+)` \| (?<value>[^|]+) \| (?<meaning>[^|]+) \|$/gm)].map(
  ({ groups }) => groups as { key: string; value: string; meaning: string },
);
const urls = { 'prometheus.url': 'http://prometheus.example', 'pushgateway.url': 'http://push.example' };

describe('the settings in the documents', () => {
  it('are all there are, with their defaults', () => {
    const required = rows.filter(({ value }) => value === 'required').map(({ key }) => key);
    expect(required).toEqual(Object.keys(urls));
    const defaults = parseSettings('defaults', nested(Object.entries(urls)));
    const shown = nested([
      ...Object.entries(urls),
      ...rows.flatMap(({ key, value }): [string, unknown][] => {
        const [, yaml] = /^`(.+)`$/.exec(value) ?? [];
        return yaml === undefined ? [] : [[key, parse(yaml)]];
      }),
    ]);
    expect(parseSettings(path, shown)).toEqual(defaults);
    // What is written, not only what it means: a setting that is left out would be filled in by its default.
    expect(keysOf(shown)).toEqual(keysOf(defaults));
  });

  it('name those that have no default, too', () => {
    const optional = rows.filter(({ value }) => value === 'optional').map(({ key }) => key);
    expect(optional).toEqual(['gates.externalEtcdVersion', 'kubeadm.patches']);
    const values = ['3.5.26', '/etc/kubernetes/patches'];
    const { gates, kubeadm } = parseSettings('optional', {
      ...nested(Object.entries(urls)),
      ...nested(optional.map((key, i) => [key, values[i] ?? ''])),
    });
    expect([gates.externalEtcdVersion, kubeadm.patches]).toEqual(values);
    expect(rows.map(({ key }) => key.split('.')[0])).toEqual(
      expect.arrayContaining(Object.keys(settingsSchema.shape)),
    );
  });

  it.each([
    ...[path, 'README.md', 'docs/install.md'].flatMap((document) =>
      codeBlocks(readDocument(document), 'yaml').map((yaml, n) => ({ document, n: n + 1, yaml })),
    ),
  ])('$document: the program accepts example $n', ({ document, yaml }) => {
    expect(() => parseSettings(document, { ...nested(Object.entries(urls)), ...parse(yaml) })).not.toThrow();
  });

  it('the settings for a first upgrade need neither Slack nor known host keys', () => {
    const [first = ''] = codeBlocks(readDocument('README.md'), 'yaml');
    const settings = parseSettings('README.md', parse(first));
    expect(settings.slack.enabled).toBe(false);
    expect(settings.ssh.hostKeys.policy).toBe('accept-new');
  });
});

/** @returns the document with these values at these dotted keys. */
function nested(entries: readonly (readonly [key: string, value: unknown])[]): Record<string, unknown> {
  const document: Record<string, unknown> = {};
  for (const [key, value] of entries) {
    const names = key.split('.');
    const last = names.pop() ?? '';
    let at = document;
    for (const name of names) {
      at[name] ??= {};
      at = at[name] as Record<string, unknown>;
    }
    at[last] = value;
  }
  return document;
}

function keysOf(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [path];
  const entries = Object.entries(value);
  return entries.length === 0
    ? [path]
    : entries.flatMap(([key, one]) => keysOf(one, `${path}.${key}`)).sort();
}
