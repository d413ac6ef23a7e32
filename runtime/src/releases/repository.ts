import { createHash } from 'node:crypto';
import { InputError, UpgradeError } from '../errors.ts';
import { type HttpAnswer, httpRequest } from '../http.ts';
import type { Release } from '../release.ts';
import type { Settings } from '../settings/settings.ts';
import { parsePackages, type RepositoryPackage } from './packages.ts';

/** The package repositories of Kubernetes, one for each minor: `<base>v1.35/deb/`. Requests are retried. */
export class PackageRepository {
  readonly #settings: Settings['packages'];
  readonly #signal: AbortSignal;

  constructor(settings: Settings['packages'], signal: AbortSignal) {
    this.#settings = settings;
    this.#signal = signal;
  }

  /**
   * Whether a minor has a repository (`HEAD Release`). Its CDN answers 403 or 404 for a missing file.
   *
   * @throws InputError or UpgradeError when the answer means neither.
   */
  async hasMinor(minor: string): Promise<boolean> {
    const url = `${this.#baseOf(minor)}Release`;
    const { status } = await this.#request(url, 'HEAD');
    if (status === 200) return true;
    if (status === 403 || status === 404) return false;
    throw new UpgradeError('failed', `packages.repository: ${url} answered ${status}`);
  }

  /**
   * The packages of a minor's releases, from a `Packages` file with the hash that the `Release` file lists.
   *
   * @throws InputError when the answers are truncated or not those of a package repository; UpgradeError when
   *   there is no answer.
   */
  async packages(minor: string): Promise<RepositoryPackage[]> {
    const url = `${this.#baseOf(minor)}Packages`;
    for (let attempt = 1; ; attempt += 1) {
      const [release, text] = await Promise.all([
        this.#file(`${this.#baseOf(minor)}Release`),
        this.#file(url),
      ]);
      const packages = parsePackages(text, url, minor);
      const expected = packagesHash(release);
      if (expected === createHash('sha256').update(text).digest('hex')) return packages;
      // They differ once if a release was published between the two answers.
      if (attempt === 2) throw wrongHash(url, expected);
    }
  }

  async #file(url: string): Promise<string> {
    const { status, text } = await this.#request(url, 'GET');
    if (status === 200) return text;
    throw new InputError(
      'packages.repository',
      `${url} answering ${status}`,
      'a repository of Kubernetes packages',
    );
  }

  /** When a package was published, epoch milliseconds (`Last-Modified` of its file); undefined if unknown. */
  async publishedAt(minor: string, filename: string): Promise<number | undefined> {
    const { status, headers } = await this.#request(new URL(filename, this.#baseOf(minor)).href, 'HEAD');
    const time = status === 200 ? Date.parse(headers.get('last-modified') ?? '') : Number.NaN;
    return Number.isNaN(time) ? undefined : time;
  }

  #baseOf(minor: string): string {
    return `${this.#settings.repository.replace(/\/?$/, '/')}v${minor}/deb/`;
  }

  #request(url: string, method: 'GET' | 'HEAD'): Promise<HttpAnswer> {
    const { timeout } = this.#settings;
    return httpRequest({
      url,
      method,
      setting: 'packages.repository',
      timeout,
      retries: 3,
      signal: this.#signal,
    });
  }
}

function wrongHash(url: string, expected: string | undefined): InputError {
  const why = expected === undefined ? 'which names no hash' : 'cut off or altered';
  return new InputError(
    'packages.repository',
    `${url} not matching its Release file (${why})`,
    'a whole Packages file',
  );
}

/** SHA-256 of `Packages` as listed in a `Release` file: section `SHA256:`, lines of hash, size and name. */
function packagesHash(release: string): string | undefined {
  const section = /^SHA256:\n((?: .*\n?)*)/m.exec(release)?.[1] ?? '';
  return /^ +([0-9a-f]{64}) +\d+ +Packages$/m.exec(section)?.[1];
}

/** The part of the repository that lists releases. */
export type ReleaseSource = Pick<PackageRepository, 'hasMinor' | 'packages'>;

/** A possible target of an upgrade. */
export interface Candidate {
  /** The release. */
  readonly release: Release;
  /** When it was published, epoch milliseconds; undefined when unknown. */
  readonly publishedAt: number | undefined;
  /** Packages that it still lacks, such as `kubelet` (F49). @default none */
  readonly missing?: readonly string[];
}
