import { describe, expect, it, test } from 'vitest';
import { InputError } from '../errors.ts';
import { parseRelease } from '../release.ts';
import { missingPackages, newestFirst, packageNames, parsePackages, releaseOfPackage } from './packages.ts';

const stanza = (name: string, version: string) =>
  [
    `Package: ${name}`,
    `Version: ${version}`,
    'Architecture: amd64',
    `Filename: amd64/${name}_${version}_amd64.deb`,
    'Size: 1',
    '',
  ].join('\n');
const file = (...stanzas: string[]) => `${stanzas.join('\n')}\n`;
const whole = file(
  stanza('cri-tools', '1.34.0-1.1'),
  stanza('kubeadm', '1.34.2-1.1'),
  stanza('kubeadm', '1.34.10-1.1'),
  stanza('kubeadm', '1.34.3-2.1'),
  stanza('kubectl', '1.34.11-1.1'),
);
const url = 'https://pkgs.example/v1.34/deb/Packages';

describe('the version of a package', () => {
  test.each([
    ['1.34.5-1.1', '1.34.5'],
    ['1.34.5', '1.34.5'],
    ['1.34.5-00', '1.34.5'],
    ['1.35.0~rc.1-1.1', undefined],
    ['1:1.34.5-1.1', '1.34.5'],
    ['1.34.5+vendor2-1.1', '1.34.5'],
    ['1:1.35.0~rc.1-1.1', undefined],
    ['v1.34.5-1.1', undefined],
    ['1.34', undefined],
    ['', undefined],
  ])('%s belongs to release %s', (version, release) => {
    expect(releaseOfPackage(version)).toBe(release);
  });

  it('is sorted by number, newest first, without duplicates', () => {
    const versions = ['1.34.9-1.1', '1.34.10-1.1', '1.35.0~beta-1', '1.34.9-2.1', '1.33.12-1.1'];
    expect(newestFirst(versions.map(releaseOfPackage))).toEqual(['1.34.10', '1.34.9', '1.33.12']);
  });
});

describe('what a release lacks (F49)', () => {
  const of = (names: readonly (typeof packageNames)[number][], ...architectures: string[]) =>
    names.flatMap((name) =>
      architectures.map((architecture) => ({ name, release: target, architecture, filename: '' })),
    );
  const target = parseRelease('test', '1.34.5');
  const other = of(packageNames, 'amd64', 'arm64').map((one) => ({
    ...one,
    release: parseRelease('test', '1.34.4'),
  }));
  type Packages = ReturnType<typeof of>;

  const cases: [what: string, packages: Packages, nodes: string[], missing: string[]][] = [
    ['nothing when all three are there', of(packageNames, 'amd64'), ['amd64'], []],
    ['kubelet', of(['kubeadm', 'kubectl'], 'amd64'), ['amd64'], ['kubelet']],
    ['kubeadm', of(['kubelet', 'kubectl'], 'amd64', 'arm64'), ['amd64', 'arm64'], ['kubeadm']],
    [
      'a package for one architecture',
      [...of(packageNames, 'amd64'), ...of(['kubeadm', 'kubelet'], 'arm64')],
      ['amd64', 'arm64'],
      ['kubectl for arm64'],
    ],
    ['nothing that no node needs', of(packageNames, 'amd64'), ['amd64'], []],
    ['all when only another architecture has them', of(packageNames, 'arm64'), ['amd64'], [...packageNames]],
    [
      'nothing for an architecture that the repository never has',
      of(packageNames, 'amd64'),
      ['amd64', 's390x'],
      [],
    ],
    ['nothing when the nodes’ architecture is unknown and one is whole', of(packageNames, 'arm64'), [], []],
    [
      'a package that no architecture has, when theirs is unknown',
      of(['kubeadm'], 'amd64', 'arm64'),
      [],
      ['kubelet', 'kubectl'],
    ],
    ['nothing when packages are for all architectures', of(packageNames, 'all'), ['amd64'], []],
  ];
  test.each(cases)('%s', (_what, packages, nodes, missing) => {
    expect(missingPackages([...other, ...packages], target, nodes)).toEqual(missing);
  });
});

describe('a Packages file', () => {
  it('lists the packages of the releases of its minor with their files', () => {
    const packages: [name: string, version: string][] = [
      ['kubeadm', '1.34.2-1.1'],
      ['kubeadm', '1.34.10-1.1'],
      ['kubeadm', '1.34.3-2.1'],
      ['kubectl', '1.34.11-1.1'],
    ];
    expect(parsePackages(whole, url, '1.34')).toEqual(
      packages.map(([name, version]) => ({
        name,
        release: releaseOfPackage(version),
        architecture: 'amd64',
        filename: `amd64/${name}_${version}_amd64.deb`,
      })),
    );
  });

  it('lists no pre-release and no release of another minor', () => {
    const text = file(
      stanza('kubeadm', '1.35.0~rc.1-1.1'),
      stanza('kubeadm', '1.34.9-1.1'),
      stanza('kubeadm', '1.35.1-1.1'),
    );
    expect(parsePackages(text, url, '1.35').map((one) => one.release)).toEqual(['1.35.1']);
  });

  const cases: [what: string, text: string, message: string][] = [
    ['empty', '', 'answering \\"nothing\\"'],
    ['HTML', '<!DOCTYPE html>\n<html><body>Sign in</body></html>\n', '<!DOCTYPE html> <html>'],
    ['JSON', '{"error":"not found"}', 'not found'],
    ['without kubeadm', file(stanza('kubectl', '1.34.5-1.1')), 'a Packages file with kubeadm 1.34'],
    ['of another minor', file(stanza('kubeadm', '1.35.1-1.1')), 'a Packages file with kubeadm 1.34'],
    ['with pre-releases only', file(stanza('kubeadm', '1.34.0~rc.1-1.1')), 'with kubeadm 1.34'],
  ];
  test.each(cases)('that is %s is an error and never "nothing new" (F12)', (_what, text, message) => {
    const read = () => parsePackages(text, url, '1.34');
    expect(read).toThrow(InputError);
    expect(read).toThrow(`packages.repository: "${url} answering`);
    expect(read).toThrow(message);
  });

  it('that is truncated in a line, or before a stanza has all its fields, is an error (F12)', () => {
    let cuts = 0;
    for (let end = 1; end < whole.length; end++) {
      const text = whole.slice(0, end);
      const last = text.split('\n\n').at(-1) ?? '';
      if (text.endsWith('\n') && (last === '' || last.includes('\nFilename: '))) continue;
      cuts += 1;
      expect(() => parsePackages(text, url, '1.34'), `cut at ${end}`).toThrow(InputError);
    }
    expect(cuts).toBeGreaterThan(400);
  });
});
