import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../programs', import.meta.url));

const script = join(folder, 'build.sh');

/** Of Kubernetes, what a kubeadm cluster runs. */
const kubernetes = [
  'kubeadm',
  'kubelet',
  'kubectl',
  'kube-proxy',
  'kube-scheduler',
  'kube-controller-manager',
  'kube-apiserver',
];

/** A minor, as far as it is built. */
interface Minor {
  /** Folder below `test/programs`. */
  readonly module: string;
  /** The release that its source is of, X.Y.Z; other releases are the same source with another label. */
  readonly release: string;
  readonly images: string;
}

const minors: Readonly<Record<string, Minor>> = {
  '1.34': { module: 'kubernetes-1.34', release: releaseOf('kubernetes-1.34'), images: 'images' },
  '1.35': { module: 'kubernetes-1.35', release: releaseOf('kubernetes-1.35'), images: 'images/next' },
};

function releaseOf(module: string): string {
  const text = readFileSync(join(folder, module, 'go.mod'), 'utf8');
  const [, release] = /^\s*(?:require )?k8s\.io\/kubernetes v(\S+)/m.exec(text) ?? [];
  if (release === undefined) throw new Error(`${module}/go.mod requires no k8s.io/kubernetes`);
  return release;
}

function minorOf(release: string): Minor {
  const minor = minors[release.split('.', 2).join('.')];
  if (minor === undefined) throw new Error(`no module in test/programs builds Kubernetes ${release}`);
  return minor;
}

/** The programs of a cluster, built. */
export class Programs {
  readonly #directories = new Map<string, string>();

  /** Builds what these releases need, X.Y.Z; the first time this takes minutes. */
  constructor(releases: readonly string[]) {
    this.#build('crictl', 'crictl');
    this.#build('images', 'pause', 'web');
    for (const release of releases) {
      const { module, images } = minorOf(release);
      this.#build(images, 'coredns');
      this.#build(module, ...ofModule(release));
    }
  }

  /** Whether everything that a cluster of this release needs is built. */
  static isBuilt(release: string): boolean {
    const { module, images } = minorOf(release);
    const isThere = (...args: string[]) => spawnSync(script, ['--is-built', ...args]).status === 0;
    return isThere(images, 'coredns') && isThere(module, ...ofModule(release));
  }

  /** Path of crictl. */
  get crictl(): string {
    return join(this.#directory('crictl'), 'crictl');
  }

  /** Path of a program of Kubernetes that reports this release. */
  ofKubernetes(name: string, release: string): string {
    return join(this.#directory(minorOf(release).module), name + suffix(release));
  }

  /** Arguments of `images.sh` for every image that a cluster of this release has, less the directories. */
  imagesOf(
    release: string,
  ): readonly { readonly kind: string; readonly programs: string; readonly suffix: string }[] {
    const { module, images } = minorOf(release);
    const [ofKubernetes, ofPods] = [this.#directory(module), this.#directory(images)];
    return [
      { kind: 'kubernetes', programs: ofKubernetes, suffix: suffix(release).slice(1) },
      { kind: 'etcd', programs: ofKubernetes, suffix: '' },
      { kind: 'coredns', programs: ofPods, suffix: '' },
      { kind: 'pause', programs: this.#directory('images'), suffix: '' },
      { kind: 'web', programs: this.#directory('images'), suffix: '' },
    ];
  }

  #build(module: string, ...programs: string[]): void {
    const built = execFileSync(script, [module, ...programs], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#directories.set(module, built.trim());
  }

  #directory(module: string): string {
    const directory = this.#directories.get(module);
    if (directory === undefined) throw new Error(`${module} was not built`);
    return directory;
  }
}

const ofModule = (release: string): string[] => [
  ...['etcd', 'etcdctl', 'etcdutl'],
  ...kubernetes.map((name) => name + suffix(release)),
];

/** What build.sh appends to the name of a program with another label than its source's. */
const suffix = (release: string): string => (release === minorOf(release).release ? '' : `-${release}`);
