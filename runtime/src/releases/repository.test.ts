import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import type { HttpFaults } from '../../../test/lab/services/http.ts';
import { PackageRepository as LabRepository, type Nonsense } from '../../../test/lab/services/packages.ts';
import { testSettings } from '../testing/cluster.ts';
import { rejection } from '../testing/files.ts';
import { PackageRepository } from './repository.ts';

let lab: LabRepository;
const built = new Date('2026-01-04T12:00:00Z');

beforeEach(async () => {
  lab = await new LabRepository().start();
  lab.publish('1.34.2');
  lab.publish('1.34.10', { date: built });
  lab.publish('1.35.1');
});
afterEach(() => lab.stop());

const open = (url = lab.base) =>
  new PackageRepository(
    testSettings({ packages: { repository: url, timeout: '2s' } }).packages,
    new AbortController().signal,
  );

describe('the package repository, behind its redirects (F12)', () => {
  test.each([403, 404] as const)('shows which minors exist, with %i for the others', async (status) => {
    lab.missingStatus = status;
    const repository = open();
    expect([await repository.hasMinor('1.35'), await repository.hasMinor('1.36')]).toEqual([true, false]);
  });

  it('lists the releases of a minor and when each was published (F14)', async () => {
    const repository = open(lab.base.replace(/\/$/, ''));
    const packages = await repository.packages('1.34');
    expect([...new Set(packages.map((one) => one.release))]).toEqual(['1.34.2', '1.34.10']);
    const newest = packages.find((one) => one.release === '1.34.10');
    expect(await repository.publishedAt('1.34', newest?.filename ?? '')).toBe(built.getTime());
    expect(await repository.publishedAt('1.34', 'amd64/gone.deb')).toBeUndefined();
  });

  test.each(['html', 'empty', 'truncated'] satisfies Nonsense[])(
    'is bad input when it answers %s',
    async (nonsense) => {
      lab.nonsense = nonsense;
      const error = await rejection(open().packages('1.34'));
      expect(error).toMatchObject({
        code: 'badInput',
        message: expect.stringMatching(/^packages\.repository: /),
      });
      expect(error.message).toContain('v1.34/deb/');
    },
  );

  it('is bad input when its Packages file does not have the hash in Release', async () => {
    const whole = await (await fetch(`${lab.base}v1.34/deb/Packages`)).text();
    const end = whole.lastIndexOf('\n\n', whole.length - 3) + 1;
    lab.cdn.faults = { body: whole.slice(0, end) };
    // Truncated between two stanzas, it looks like a whole file.
    expect(await rejection(open().packages('1.34'))).toMatchObject({ code: 'badInput' });
  });

  const cases: [what: string, faults: HttpFaults, code: string, message: string][] = [
    ['a redirect loop', { redirectLoop: true }, 'badInput', 'redirect loop'],
    ['403 for a file that exists', { status: 403 }, 'badInput', 'answering 403'],
  ];
  test.each(cases)('is not "nothing new" with %s', async (_what, faults, code, message) => {
    lab.faults = faults;
    const error = await rejection(open().packages('1.34'));
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(error.message).toContain('packages.repository');
  });

  it('fails with any other status, which means neither yes nor no', async () => {
    lab.faults = { status: 401 };
    expect(await rejection(open().hasMinor('1.35'))).toMatchObject({
      code: 'failed',
      message: expect.stringContaining('answered 401'),
    });
  });
});
