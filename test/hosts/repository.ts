import { copyFile, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join, normalize } from 'node:path';
import { HttpService, redirect, send } from '../lab/services/http.ts';
import { buildDeb, type DebSpec, labDeb } from './deb.ts';
import { run } from './shell.ts';
import type { SigningKey } from './signing-key.ts';

const day = 86_400_000;
const front = '/core:/stable:/';
const cdn = '/repositories/isv:/kubernetes:/core:/stable:/';
const docker = '/linux/debian/';

/** Build time of all packages: 60 days ago, old enough for the policy. */
const built = new Date(Date.now() - 60 * day);

/** Other packages in a minor's repository. */
const companions: Readonly<Record<string, { cni: string; tools: string }>> = {
  '1.34': { cni: '1.7.1-1.1', tools: '1.34.0-1.1' },
  // The newer kubelet needs newer CNI plug-ins, so the upgrade installs a dependency too.
  '1.35': { cni: '1.8.0-1.1', tools: '1.35.0-1.1' },
};

/** The packages of a minor's repository. */
export type Specs = (minor: string, releases: readonly string[]) => readonly DebSpec[];

/** Kubernetes as the lab's programs. */
const labSpecs: Specs = (minor, releases) => {
  const { cni = '', tools = '' } = companions[minor] ?? {};
  const tool = { name: 'cri-tools', version: tools };
  return [
    labDeb({ name: 'kubernetes-cni', version: cni }),
    labDeb(tool, 'crictl'),
    ...releases.flatMap((release) => {
      const version = `${release}-1.1`;
      return [
        labDeb({ name: 'kubeadm', version, depends: 'cri-tools (>= 1.30.0)' }, 'kubeadm'),
        labDeb({ name: 'kubelet', version, depends: `kubernetes-cni (>= ${cni.split('-')[0]})` }, 'kubelet'),
        labDeb({ name: 'kubectl', version }, 'kubectl'),
      ];
    }),
  ];
};

/**
 * Package repositories like pkgs.k8s.io and download.docker.com: real packages, indexes by apt-ftparchive,
 * signed by gpg. The former are flat, one per minor, and behind a redirect.
 */
export class DebRepository extends HttpService {
  readonly #directory: string;
  readonly #key: SigningKey;
  readonly #address: string;
  readonly #specsOf: Specs;

  /** @param specsOf the packages of Kubernetes. @default those with the lab's programs */
  constructor(address: string, directory: string, key: SigningKey, specsOf: Specs = labSpecs) {
    super({ address });
    this.#address = address;
    this.#directory = directory;
    this.#key = key;
    this.#specsOf = specsOf;
  }

  /** Base URL as in the settings, ending in `/`; `v1.35/deb/` is appended. */
  get base(): string {
    return `${this.url}${front}`;
  }

  /** URL of Docker's repository for an apt source. */
  get docker(): string {
    return `${this.url}${docker}`;
  }

  get address(): string {
    return this.#address;
  }

  /** Builds the packages of a minor's releases and publishes its repository. */
  async publish(minor: string, releases: readonly string[]): Promise<void> {
    const root = join(this.#directory, cdn, `v${minor}/deb`);
    const architecture = await this.#build(this.#specsOf(minor, releases), (arch) => join(root, arch));
    await writeFile(
      join(root, 'Packages'),
      await run('apt-ftparchive', ['packages', architecture], { cwd: root }),
    );
    const origin = 'obs://build.opensuse.org/isv:kubernetes:core:stable/deb';
    await this.#release(root, {
      Origin: origin,
      Label: `isv:kubernetes:core:stable:v${minor}`,
      Architectures: architecture,
    });
    await copyFile(this.#key.armoured, join(root, 'Release.key'));
  }

  /** Builds containerd.io in these versions and publishes Docker's repository. */
  async publishContainerd(versions: readonly string[]): Promise<void> {
    const root = join(this.#directory, docker);
    const specs = versions.map((version) => {
      // The conffile differs between releases; one that the operator changed must be kept.
      const files = {
        '/etc/containerd/config.toml': `# as ${version} brings it\ndisabled_plugins = ["cri"]\n`,
      };
      return labDeb({ name: 'containerd.io', version: `${version}-1`, files }, 'containerd');
    });
    const pool = 'pool/stable';
    const architecture = await this.#build(specs, () => join(root, pool));
    const binary = join(root, `dists/bookworm/stable/binary-${architecture}`);
    await mkdir(binary, { recursive: true });
    await writeFile(join(binary, 'Packages'), await run('apt-ftparchive', ['packages', pool], { cwd: root }));
    await this.#release(join(root, 'dists/bookworm'), {
      Origin: 'Docker',
      Suite: 'bookworm',
      Codename: 'bookworm',
      Components: 'stable',
      Architectures: architecture,
    });
  }

  /** Paths of all published packages of a minor and of containerd, for the first installation of a host. */
  async files(minor: string): Promise<string[]> {
    const list = async (directory: string) =>
      (await readdir(directory)).filter((name) => name.endsWith('.deb')).map((name) => join(directory, name));
    const root = join(this.#directory, cdn, `v${minor}/deb`);
    const [architecture = ''] = (await readdir(root, { withFileTypes: true }))
      .filter((e) => e.isDirectory())
      .map((e) => e.name);
    return [
      ...(await list(join(root, architecture))),
      ...(await list(join(this.#directory, docker, 'pool/stable'))),
    ];
  }

  async #build(specs: readonly DebSpec[], directoryOf: (architecture: string) => string): Promise<string> {
    const architecture = (await run('dpkg', ['--print-architecture'])).trim();
    const directory = directoryOf(architecture);
    await mkdir(directory, { recursive: true });
    for (const spec of specs) {
      const file = await buildDeb(spec, architecture, directory);
      await utimes(join(directory, file), built, built);
    }
    return architecture;
  }

  async #release(root: string, fields: Record<string, string>): Promise<void> {
    const options = Object.entries(fields).flatMap(([name, value]) => [
      '-o',
      `APT::FTPArchive::Release::${name}=${value}`,
    ]);
    await writeFile(
      join(root, 'Release'),
      await run('apt-ftparchive', [...options, 'release', '.'], { cwd: root }),
    );
    await this.#key.sign(join(root, 'Release'), join(root, 'InRelease'));
  }

  protected override async answer(
    _request: IncomingMessage,
    response: ServerResponse,
    url: URL,
  ): Promise<void> {
    const path = normalize(decodeURI(url.pathname));
    if (path.startsWith(front)) {
      redirect(response, `${this.url}${path.replace(front, cdn)}`);
      return;
    }
    const file = join(this.#directory, path);
    const found = await stat(file).catch(() => undefined);
    if (found?.isFile() !== true) {
      send(response, 403, '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>');
      return;
    }
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-length': String(found.size),
      'last-modified': found.mtime.toUTCString(),
    });
    response.end(response.req.method === 'HEAD' ? undefined : await readFile(file));
  }
}
