import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabNodeOptions } from '../../lab/nodes/node.ts';
import { Bench, type Ended } from '../harness.ts';

/** A script on a node, and what must be true of the node no matter when the script was killed. */
export interface Subject {
  readonly name: string;
  readonly script: string;
  /** Creates the node. */
  open(): Promise<Bench>;
  /** Arguments of the script. */
  args(bench: Bench): readonly string[];
  /** Checks the node directly after the kill; returns what is wrong. */
  interrupted?(bench: Bench): Promise<readonly string[]> | readonly string[];
  /** Performs the run after the kill; returns what is wrong. @default one more run, which must succeed */
  again?(bench: Bench, run: () => Promise<Ended>): Promise<readonly string[]>;
  /** Checks the node after a successful run; returns what is wrong. */
  finished(bench: Bench): Promise<readonly string[]> | readonly string[];
}

const target = '1.34.5';

/** The claims that are false. */
const untrue = (claims: Readonly<Record<string, boolean>>): string[] =>
  Object.keys(claims).filter((text) => !claims[text]);

const onHost = (bench: Bench, path: string) => join(bench.node.paths.root, path);

/** Checks that dpkg has nothing unfinished. */
function packagesAreSettled(bench: Bench): string[] {
  const journal = onHost(bench, '/var/lib/dpkg/updates');
  return untrue({
    'no package is half configured': bench.stateOf('dpkg-interrupted') === undefined,
    "dpkg's journal is empty": !existsSync(journal) || readdirSync(journal).length === 0,
  });
}

function imagesOf(bench: Bench): string[] {
  const directory = onHost(bench, '/etc/kubernetes/manifests');
  return readdirSync(directory)
    .sort()
    .map((file) => /image: \S+\/(.*)/.exec(readFileSync(join(directory, file), 'utf8'))?.[1] ?? file);
}

const upgradedImages = [
  'etcd:3.6.5-0',
  ...['apiserver', 'controller-manager', 'scheduler'].map((name) => `kube-${name}:v${target}`),
];

function upgraded(bench: Bench): string[] {
  const images = imagesOf(bench);
  return [
    ...packagesAreSettled(bench),
    ...untrue({
      'the packages are at the target': Object.values(bench.packages()).every((v) => v === `${target}-1.1`),
      'the packages are held': bench.held(),
      'the kubelet of the target runs': bench.stateOf('running/kubelet')?.trim() === target,
      'the control plane is at the target': images.length === 0 || images.join() === upgradedImages.join(),
    }),
  ];
}

const clusterFile = (bench: Bench) =>
  join(bench.node.environment.LAB_CLUSTER_DIR ?? '', 'kubernetes-version');

function updateSubject(name: string, role: 'master' | 'worker', options: Partial<LabNodeOptions>): Subject {
  return {
    name: `update_k8s.sh, ${name}`,
    script: 'update_k8s.sh',
    async open() {
      const bench = await Bench.open(options);
      // The first control-plane node has been upgraded before any other node.
      if (role === 'worker') writeFileSync(clusterFile(bench), `${target}\n`);
      return bench;
    },
    args: () => ['--role', role, '--release', target],
    finished: (bench) => [
      ...upgraded(bench),
      ...untrue({
        'the cluster is at the target': readFileSync(clusterFile(bench), 'utf8').trim() === target,
      }),
    ],
  };
}

/** One of the two steps. The kubelet's comes after kubeadm's, and between them the node serves. */
function stepSubject(
  step: 'kubeadm' | 'kubelet',
  name: string,
  role: 'master' | 'worker',
  options: Partial<LabNodeOptions>,
): Subject {
  const whole = updateSubject(name, role, options);
  const args = [...whole.args({} as Bench), '--steps'];
  const kubeletIsOld = (bench: Bench) => ({
    'the kubelet is as before':
      bench.stateOf('running/kubelet')?.trim() === '1.34.2' && bench.packages().kubelet === '1.34.2-1.1',
  });
  const kubeadmIsDone = (bench: Bench) => {
    const images = imagesOf(bench);
    return {
      'kubeadm is at the target': bench.packages().kubeadm === `${target}-1.1`,
      'the control plane is at the target': images.length === 0 || images.join() === upgradedImages.join(),
    };
  };
  return {
    ...whole,
    name: `update_k8s.sh --steps ${step}, ${name}`,
    async open() {
      const bench = await whole.open();
      if (step === 'kubelet') await bench.run('update_k8s.sh', ...args, 'kubeadm');
      return bench;
    },
    args: () => [...args, step],
    interrupted: (bench) => untrue(step === 'kubeadm' ? kubeletIsOld(bench) : kubeadmIsDone(bench)),
    finished: async (bench) => {
      if (step === 'kubelet') return whole.finished(bench);
      return [
        ...packagesAreSettled(bench),
        ...untrue({
          ...kubeletIsOld(bench),
          ...kubeadmIsDone(bench),
          'the packages are held': bench.held(),
        }),
      ];
    },
  };
}

function prepareSubject(name: string, role: 'master' | 'worker', options: Partial<LabNodeOptions>): Subject {
  const unchanged = (bench: Bench) => ({
    'the packages are as before': Object.values(bench.packages()).every((v) => v === '1.34.2-1.1'),
    'the packages are held': bench.held(),
    'the kubelet is as before': bench.stateOf('running/kubelet')?.trim() === '1.34.2',
  });
  return {
    name: `update_k8s.sh --prepare, ${name}`,
    script: 'update_k8s.sh',
    open: () => Bench.open(options),
    args: () => ['--prepare', '--role', role, '--release', target],
    interrupted: (bench) => untrue(unchanged(bench)),
    finished: (bench) => [
      ...packagesAreSettled(bench),
      ...untrue({
        ...unchanged(bench),
        'the packages are in the cache':
          readdirSync(onHost(bench, '/var/cache/apt/archives')).filter((f) => f.endsWith('.deb')).length ===
          3,
        // Besides the kube-proxy that runs there.
        'the images are there':
          bench.stateOf('images')?.trim().split('\n').length === 1 + (role === 'master' ? 7 : 1),
        'nothing of the other kubeadm is left': !existsSync(onHost(bench, '/var/lib/k8s-upgrade-prepare')),
      }),
    ],
  };
}

const source = '/etc/apt/sources.list.d/kubernetes.list';
const keyring = '/etc/apt/keyrings/kubernetes-apt-keyring.gpg';
const oldKey = 'key of the day the node was installed\n';
const sourceOf = (bench: Bench, minor: string) =>
  `deb [signed-by=${keyring}] ${bench.repository.base}v${minor}/deb/ /\n`;

/** Whether the keyring has the repository's key, which is the same for all minors. */
const newKey = (bench: Bench) => bench.node.read(keyring) !== oldKey && bench.node.read(keyring).length > 20;

const repository: Subject = {
  name: 'set_repository.sh',
  script: 'set_repository.sh',
  open: () => Bench.open(),
  args: (bench) => ['--minor', '1.35', '--url', bench.repository.base],
  interrupted: (bench) =>
    untrue({
      'the source is whole, the old one or the new one': ['1.34', '1.35'].some(
        (minor) => bench.node.read(source) === sourceOf(bench, minor),
      ),
      'the key is whole, the old one or the new one': bench.node.read(keyring) === oldKey || newKey(bench),
      'no other file is read by apt': readdirSync(onHost(bench, '/etc/apt/sources.list.d'))
        .filter((file) => /\.(list|sources)$/.test(file))
        .every((file) => source.endsWith(`/${file}`)),
    }),
  finished: (bench) =>
    untrue({
      'the source is the new one': bench.node.read(source) === sourceOf(bench, '1.35'),
      'the key is the new one': newKey(bench),
      'there is no unfinished file beside the source':
        readdirSync(onHost(bench, '/etc/apt/sources.list.d')).join() === 'kubernetes.list',
    }),
};

/**
 * Whether the switch was complete when the script was killed: new package lists, no marker of an unfinished
 * switch.
 */
const isSwitched = (bench: Bench): boolean =>
  bench.node.read(source) === sourceOf(bench, '1.35') &&
  newKey(bench) &&
  !existsSync(onHost(bench, '/var/backups/k8s-upgrade/unfinished')) &&
  readdirSync(onHost(bench, '/var/lib/apt/lists')).some((file) => /v1\.35.*Packages$/.test(file));

/**
 * The run after the kill fails. The node must keep its old repository unless the killed run had completed the
 * switch.
 */
const repositoryThatFails: Subject = {
  ...repository,
  name: 'set_repository.sh, whose next run fails',
  async again(bench, run) {
    const [minor, isKey] = isSwitched(bench)
      ? (['1.35', newKey] as const)
      : (['1.34', () => bench.node.read(keyring) === oldKey] as const);
    bench.repository.nonsense = 'empty';
    const { exit } = await run();
    bench.repository.nonsense = undefined;
    const isBack = bench.node.read(source) === sourceOf(bench, minor) && isKey(bench);
    const later = await run();
    return untrue({
      'a run fails when the repository answers nonsense': exit === 1,
      [`the source and the key of ${minor} are back`]: isBack,
      'the run after the failure succeeds': later.exit === 0,
    });
  },
};

function containerdSubject(held: boolean): Subject {
  return {
    name: `update_containerd.sh, ${held ? 'held' : 'not held'}`,
    script: 'update_containerd.sh',
    async open() {
      const bench = await Bench.open();
      if (held) writeFileSync(join(bench.node.paths.state, 'hold/containerd.io'), '');
      return bench;
    },
    args: () => ['--version', '1.7.28'],
    // The pipeline considers this step done once the new version runs, so the hold must be restored by then.
    interrupted: (bench) =>
      untrue({
        'containerd is held once its new version runs':
          !held || bench.node.containerd !== '1.7.28' || bench.stateOf('hold/containerd.io') !== undefined,
      }),
    finished: (bench) => [
      ...packagesAreSettled(bench),
      ...untrue({
        'the package is at the target': bench.stateOf('dpkg/containerd.io') === '1.7.28-1',
        'the containerd of the target runs': bench.node.containerd === '1.7.28',
        'it is held when it was before': (bench.stateOf('hold/containerd.io') !== undefined) === held,
      }),
    ],
  };
}

const backups = '/mnt/main/etcd-backup';

/**
 * Checks that every snapshot with a final name is complete, has its checksum beside it, and passes --verify.
 */
async function snapshotsAreWhole(bench: Bench): Promise<string[]> {
  if (!existsSync(onHost(bench, backups))) return [];
  const wrong: string[] = [];
  for (const name of readdirSync(onHost(bench, backups)).filter((file) => /^[^.].*\.db$/.test(file))) {
    const path = `${backups}/${name}`;
    const content = readFileSync(onHost(bench, path));
    const sum = createHash('sha256').update(content).digest('hex');
    const verified = await bench.run('snapshot_etcd.sh', '--verify', path);
    wrong.push(
      ...untrue({
        [`${name} is whole`]: content.subarray(-5).toString() === '\nend\n',
        [`${name} has its sum beside it`]: bench.node.read(`${path}.sha256`) === `${sum}  ${name}\n`,
        [`${name} passes --verify`]: verified.exit === 0,
      }),
    );
  }
  return wrong;
}

const snapshot: Subject = {
  name: 'snapshot_etcd.sh',
  script: 'snapshot_etcd.sh',
  open: () => Bench.open(),
  args: () => ['--save', backups, '--release', target],
  interrupted: snapshotsAreWhole,
  async finished(bench) {
    const files = readdirSync(onHost(bench, backups));
    const snapshots = files.filter((file) => file.endsWith('.db'));
    return [
      ...(await snapshotsAreWhole(bench)),
      ...untrue({
        'there is a snapshot': snapshots.length > 0,
        // A checksum without its snapshot is fine; a snapshot without its checksum is not.
        'every other file is a sum': files.every((file) => /^k8s-upgrade-pre-.*\.db(\.sha256)?$/.test(file)),
        "nothing is left in etcd's directory":
          readdirSync(onHost(bench, '/var/lib/etcd')).join() === 'member',
      }),
    ];
  },
};

/**
 * Both steps in one are the same calls as one after the other, so one role plays them so, and the other two
 * step by step.
 */
export const subjects: readonly Subject[] = [
  updateSubject('first control-plane node', 'master', {}),
  stepSubject('kubeadm', 'worker', 'worker', { name: 'k8s-node1', role: 'worker' }),
  stepSubject('kubeadm', 'another control-plane node', 'worker', { name: 'k8s-master2' }),
  stepSubject('kubelet', 'first control-plane node', 'master', {}),
  prepareSubject('worker', 'worker', { name: 'k8s-node1', role: 'worker' }),
  prepareSubject('control-plane node', 'master', {}),
  repository,
  repositoryThatFails,
  containerdSubject(true),
  containerdSubject(false),
  snapshot,
];
