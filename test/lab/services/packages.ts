import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HttpService, redirect, send } from './http.ts';

interface Published {
  readonly release: string;
  readonly revision: string;
  readonly date: Date;
  readonly names: readonly Name[];
  readonly architectures: readonly string[];
}

/** What the repository serves instead of a package list. */
export type Nonsense = 'html' | 'empty' | 'truncated';

const day = 86_400_000;
const names = ['kubeadm', 'kubectl', 'kubelet'] as const;
type Name = (typeof names)[number];
const architectures: readonly string[] = ['amd64', 'arm64'];
const html = '<!DOCTYPE html>\n<html><body><h1>Sign in to the guest network</h1></body></html>\n';
const prefix = '/core:/stable:/';
const cdnPrefix = '/repositories/isv:/kubernetes:/core:/stable:/';

/**
 * pkgs.k8s.io: a front end that answers everything with a 302 (F12), and a CDN with one flat Debian
 * repository per minor. `faults` apply to the front end; {@link PackageRepository.cdn} has its own.
 */
export class PackageRepository extends HttpService {
  /** The server that the front end redirects to. */
  readonly cdn = new Cdn();

  /** Base URL as in the settings, ending in `/`; `v1.35/deb/` is appended. */
  get base(): string {
    return `${this.url}${prefix}`;
  }

  /** Status of the CDN for a minor that does not exist. */
  get missingStatus(): 403 | 404 {
    return this.cdn.missingStatus;
  }

  set missingStatus(status: 403 | 404) {
    this.cdn.missingStatus = status;
  }

  /** What the CDN serves instead of lists; undefined for the real ones. */
  set nonsense(nonsense: Nonsense | undefined) {
    this.cdn.nonsense = nonsense;
  }

  /**
   * Adds a release, or some of its packages: it is published one after the other.
   * @param options.revision of its packages. @default 1.1
   * @param options.date when its packages were built. @default 60 days ago
   * @param options.names of the packages. @default all
   * @param options.architectures of the packages. @default all
   */
  publish(release: string, options: Partial<Omit<Published, 'release'>> = {}): void {
    const date = new Date(Date.now() - 60 * day);
    this.cdn.published.push({ ...{ release, revision: '1.1', date, names, architectures }, ...options });
  }

  /** Removes a release. */
  withdraw(release: string): void {
    const { published } = this.cdn;
    published.splice(0, published.length, ...published.filter((one) => one.release !== release));
  }

  override async start(): Promise<this> {
    await this.cdn.start();
    return super.start();
  }

  override async stop(): Promise<void> {
    await super.stop();
    await this.cdn.stop();
  }

  protected override answer(_request: IncomingMessage, response: ServerResponse, url: URL): void {
    redirect(response, `${this.cdn.url}${decodeURI(url.pathname).replace(prefix, cdnPrefix)}`);
  }
}

class Cdn extends HttpService {
  readonly published: Published[] = [];
  missingStatus: 403 | 404 = 403;
  nonsense: Nonsense | undefined;

  protected override answer(_request: IncomingMessage, response: ServerResponse, url: URL): void {
    const [, minor = '', file = ''] = /^.*\/v(\d+\.\d+)\/deb\/(.+)$/.exec(decodeURI(url.pathname)) ?? [];
    const releases = this.published.filter(({ release }) => release.startsWith(`${minor}.`));
    const newest = Math.max(...releases.map(({ date }) => date.getTime()));
    const found = minor === '' || releases.length === 0 ? undefined : this.#file(file, minor, releases);
    if (found === undefined) {
      send(response, this.missingStatus, accessDenied);
      return;
    }
    const date = found.date ?? new Date(newest);
    send(response, 200, found.body, { 'last-modified': date.toUTCString() });
  }

  #file(file: string, minor: string, releases: Published[]): { body: string; date?: Date } | undefined {
    const packages = this.#garbled(packagesOf(releases));
    if (file === 'Packages') return { body: packages };
    if (file === 'Release') return { body: this.#garbled(releaseOf(minor, packages)) };
    if (file === 'InRelease') {
      return { body: this.nonsense === 'html' ? html : clearSigned(releaseOf(minor, packagesOf(releases))) };
    }
    if (file === 'Release.key') return { body: this.nonsense === 'html' ? html : releaseKey };
    const built = releases.find((r) => pathsOf(r).includes(file));
    return built && { body: `!<arch>\n${file}\n`, date: built.date };
  }

  #garbled(text: string): string {
    if (this.nonsense === 'html') return html;
    if (this.nonsense === 'empty') return '';
    // Ends within a stanza, as after a broken connection.
    return this.nonsense === 'truncated' ? text.slice(0, Math.floor(text.length / 3)) : text;
  }
}

const accessDenied =
  '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>';

const pathOf = (name: string, version: string, architecture: string) =>
  `${architecture}/${name}_${version}_${architecture}.deb`;

function pathsOf({ release, revision, ...of }: Published): string[] {
  return of.architectures.flatMap((arch) =>
    of.names.map((name) => pathOf(name, `${release}-${revision}`, arch)),
  );
}

function packagesOf(releases: readonly Published[]): string {
  const stanzas = architectures.flatMap((architecture) => [
    stanza('cri-tools', '1.34.0-1.1', architecture),
    ...names.flatMap((name) =>
      releases
        .filter((one) => one.names.includes(name) && one.architectures.includes(architecture))
        .map(({ release, revision }) => stanza(name, `${release}-${revision}`, architecture)),
    ),
  ]);
  return `${stanzas.join('\n')}\n`;
}

function stanza(name: string, version: string, architecture: string): string {
  const path = pathOf(name, version, architecture);
  const hash = (algorithm: string) => createHash(algorithm).update(path).digest('hex');
  return [
    `Package: ${name}`,
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    'Maintainer: Kubernetes Authors <dev@kubernetes.io>',
    'Installed-Size: 72544',
    ...(name === 'kubeadm' ? ['Depends: cri-tools (>= 1.30.0)'] : []),
    `Filename: ${path}`,
    'Size: 12688460',
    `MD5sum: ${hash('md5')}`,
    `SHA1: ${hash('sha1')}`,
    `SHA256: ${hash('sha256')}`,
    'Section: admin',
    'Priority: optional',
    'Homepage: https://kubernetes.io',
    `Description: ${name}`,
    '',
  ].join('\n');
}

function releaseOf(minor: string, packages: string): string {
  const sha256 = createHash('sha256').update(packages).digest('hex');
  return [
    'Origin: obs://build.opensuse.org/isv:kubernetes:core:stable/deb',
    `Label: isv:kubernetes:core:stable:v${minor}`,
    'Architectures: amd64 arm64',
    'SHA256:',
    ` ${sha256} ${Buffer.byteLength(packages)} Packages`,
    '',
  ].join('\n');
}

const clearSigned = (text: string) =>
  `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n${text}-----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCgAdFiEE\n-----END PGP SIGNATURE-----\n`;

const releaseKey = `-----BEGIN PGP PUBLIC KEY BLOCK-----
Version: GnuPG v2.0.15 (GNU/Linux)

${Buffer.from('isv:kubernetes OBS Project <isv:kubernetes@build.opensuse.org>').toString('base64')}
=hzfT
-----END PGP PUBLIC KEY BLOCK-----
`;
