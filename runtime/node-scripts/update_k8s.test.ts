import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { LabNodeOptions } from '../../test/lab/nodes/node.ts';
import { Bench, scriptText } from '../../test/node-scripts/harness.ts';

let bench: Bench;
const open = async (options: Partial<LabNodeOptions> = {}) => {
  bench = await Bench.open(options);
  return bench;
};
const worker = { name: 'k8s-node1', role: 'worker' } as const;
const update = (...args: string[]) => bench.run('update_k8s.sh', ...args);
const master = (...args: string[]) => update('--role', 'master', '--release', '1.34.5', ...args);
const imageOf = (component: string) =>
  /image: (.*)/.exec(bench.node.read(`/etc/kubernetes/manifests/${component}.yaml`))?.[1];

/** Creates copies as kubeadm leaves them behind, one for each of these days of a month. */
function leaveCopies(...days: number[]): void {
  for (const day of days) {
    const name = `kubeadm-backup-etcd-2026-01-0${day}-00-00-00`;
    mkdirSync(join(bench.node.paths.root, 'etc/kubernetes/tmp', name), { recursive: true });
  }
}

/** All files below the folders, with size and modification time. */
const filesOf = (...folders: string[]) =>
  folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .sort()
      .map((name) => {
        const { size, mtimeMs } = lstatSync(join(folder, name));
        return `${name} ${size} ${mtimeMs}`;
      }),
  );

describe('update_k8s.sh', () => {
  afterEach(() => bench.close());

  test('upgrades a control-plane node in the order kubeadm, components, kubelet', async () => {
    await open();
    const { exit, result, stderr } = await master();
    expect(stderr).toBe('');
    expect(exit).toBe(0);
    expect(result).toEqual({
      release: '1.34.5',
      from: '1.34.2',
      role: 'master',
      revision: '1.34.5-1.1',
      steps: 'all',
      kubeadm: 'upgraded',
      droppedFlags: [],
      dryRun: false,
    });
    expect(bench.packages()).toEqual({ kubeadm: '1.34.5-1.1', kubelet: '1.34.5-1.1', kubectl: '1.34.5-1.1' });
    expect(bench.held()).toBe(true);
    const refresh = bench.changes().find((line) => / update /.test(line)) ?? '';
    expect(refresh).toMatch(/Dir::Etc::sourcelist=\S*\/sources.list.d\/kubernetes.list /);
    expect(refresh).toContain('-o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0');
    expect(imageOf('kube-apiserver')).toBe('registry.k8s.io/kube-apiserver:v1.34.5');
    expect(bench.hookCalls).toEqual(['apiserver 1.34.5', 'kubelet 1.34.5 1.7.27']);
    expect(bench.changes().map((line) => line.replace(/ -o \S+| -[qy]\b| --no-\S+/g, ''))).toEqual([
      'apt-get update',
      'apt-mark unhold kubeadm',
      'apt-get install kubeadm=1.34.5-1.1',
      'apt-mark hold kubeadm',
      'kubeadm upgrade plan v1.34.5',
      'kubeadm upgrade apply v1.34.5 --yes',
      'apt-mark unhold kubelet kubectl',
      'apt-get install kubelet=1.34.5-1.1 kubectl=1.34.5-1.1',
      'apt-mark hold kubelet kubectl',
      'systemctl daemon-reload',
      'systemctl restart kubelet',
    ]);
  });

  test('installs nothing and does not run kubeadm upgrade in a second run', async () => {
    await open();
    await master();
    const before = bench.changes().length;
    const { exit, result } = await master();
    expect(exit).toBe(0);
    expect(result).toMatchObject({ from: '1.34.5', kubeadm: 'unchanged' });
    expect(bench.changes().slice(before).join('\n')).not.toMatch(/install|kubeadm upgrade|unhold/);
  });

  test('upgrades a worker with kubeadm upgrade node', async () => {
    await open(worker);
    const { exit, result } = await update('--role', 'worker', '--release', '1.34.5');
    expect(exit).toBe(0);
    expect(result).toMatchObject({ role: 'worker', kubeadm: 'upgraded' });
    expect(bench.changes()).toContain('kubeadm upgrade node');
    expect(bench.hookCalls).toEqual(['kubelet 1.34.5 1.7.27']);
  });

  test('does not pass phases to upgrade node that only upgrade apply has', async () => {
    await open(worker);
    await update('--role', 'worker', '--release', '1.34.5', '--skip-phases', 'addon/coredns,upload-config');
    expect(bench.changes()).toContain('kubeadm upgrade node --skip-phases=addon/coredns');
  });

  test('F35: passes the patches of the node to kubeadm, also in another attempt', async () => {
    await open();
    bench.node.write('/etc/kubernetes/patches/README', 'none yet\n');
    bench.node.faults.set('static-pod-hash', { component: 'kube-scheduler', how: 'changed', times: 1 });
    const { exit, stderr } = await master('--patches', '/etc/kubernetes/patches');
    expect(exit, stderr).toBe(0);
    const calls = bench.changes().filter((line) => line.startsWith('kubeadm upgrade apply'));
    expect(calls).toHaveLength(2);
    for (const call of calls) expect(call).toContain('--patches=/etc/kubernetes/patches');
  });

  test('F35: without that directory on the node nothing is changed', async () => {
    await open(worker);
    for (const step of [['--dry-run'], ['--prepare'], []]) {
      const { exit, lastError } = await update(
        '--role',
        'worker',
        '--release',
        '1.34.5',
        '--patches',
        '/etc/none',
        ...step,
      );
      expect(exit).toBe(1);
      expect(lastError).toContain('error: kubeadm.patches: /etc/none is not a directory on this node');
    }
    expect(bench.changes()).toEqual([]);
  });

  test('runs as root without sudo', async () => {
    await open();
    bench.node.faults.set('sudo-password', {});
    const { exit } = await bench.bash(
      ['-s', '--', '--role', 'master', '--release', '1.34.5'],
      scriptText('update_k8s.sh'),
      { LAB_ROOT: '1' },
    ).ended;
    expect(exit).toBe(0);
  });

  test('upgrades in two steps, between which the kubelet is as before', async () => {
    await open();
    const first = await master('--steps', 'kubeadm', '--planned');
    expect(first.exit, first.stderr).toBe(0);
    expect(first.result).toMatchObject({ steps: 'kubeadm', kubeadm: 'upgraded', dryRun: false });
    expect(bench.packages()).toEqual({ kubeadm: '1.34.5-1.1', kubelet: '1.34.2-1.1', kubectl: '1.34.2-1.1' });
    expect(bench.held()).toBe(true);
    expect(bench.hookCalls).toEqual(['apiserver 1.34.5']);
    const before = bench.changes().length;
    const second = await master('--steps', 'kubelet');
    expect(second.exit, second.stderr).toBe(0);
    expect(second.result).toMatchObject({ steps: 'kubelet', kubeadm: 'unchanged', revision: '1.34.5-1.1' });
    expect(bench.hookCalls).toEqual(['apiserver 1.34.5', 'kubelet 1.34.5 1.7.27']);
    // Asks no repository on a node that is empty by now.
    expect(
      bench
        .changes()
        .slice(before)
        .map((line) => line.split(' ').slice(0, 2).join(' ')),
    ).not.toContain('apt-get update');
    expect(bench.changes().filter((line) => / update /.test(line))).toHaveLength(1);
  });

  test.each([
    ['a control-plane node', {}],
    ['a worker', worker],
  ])('does not upgrade the kubelet of %s on which kubeadm has done nothing', async (_what, options) => {
    await open(options);
    const role = 'name' in options ? 'worker' : 'master';
    const { exit, stderr } = await update('--role', role, '--release', '1.34.5', '--steps', 'kubelet');
    expect(exit).toBe(1);
    expect(stderr).toContain(
      'error: --steps kubelet, but kubeadm has not upgraded this node to 1.34.5; run --steps kubeadm first',
    );
    expect(bench.changes()).toEqual([]);
  });

  test('does not upgrade the kubelet past components that kubeadm has not upgraded', async () => {
    await open();
    bench.node.faults.set('kubeadm-fails', { times: 1 });
    expect((await master('--steps', 'kubeadm')).exit).toBe(1);
    expect(bench.packages().kubeadm).toBe('1.34.5-1.1');
    expect((await master('--steps', 'kubelet')).exit).toBe(1);
    expect(bench.packages().kubelet).toBe('1.34.2-1.1');
    expect((await master('--steps', 'kubeadm')).exit).toBe(0);
    expect((await master('--steps', 'kubelet')).exit).toBe(0);
  });

  test.each([
    ['asks for no plan that was checked already', ['--planned'], false],
    [
      'asks for a plan when kubeadm is to leave its own checks out',
      ['--planned', '--skip-phases', 'preflight'],
      true,
    ],
  ])('%s', async (_what, args, isAsked) => {
    await open();
    const dry = await master('--dry-run', ...args);
    expect(dry.stdout.includes('WOULD: kubeadm upgrade plan')).toBe(isAsked);
    expect((await master(...args)).exit).toBe(0);
    expect(bench.changes().some((line) => line.startsWith('kubeadm upgrade plan'))).toBe(isAsked);
    expect(imageOf('kube-apiserver')).toBe('registry.k8s.io/kube-apiserver:v1.34.5');
  });

  test('retries kubeadm whose health check is late in upgrade apply when the plan was checked already', async () => {
    await open();
    bench.node.faults.set('late-job-apply', { times: 1 });
    const { exit, stdout } = await master('--planned');
    expect(exit).toBe(0);
    expect(stdout).toContain("==> kubeadm's health check timed out; retrying once");
  });

  test('prints all steps and changes nothing in a dry run', async () => {
    await open();
    const { exit, stdout, result } = await master('--dry-run');
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^WOULD: kubeadm upgrade apply v1\.34\.5 --yes$/m);
    expect(stdout).toMatch(/^WOULD: systemctl restart kubelet$/m);
    expect(result).toMatchObject({ dryRun: true });
    expect(bench.changes()).toEqual([]);
    expect(bench.packages().kubelet).toBe('1.34.2-1.1');
  });

  describe('a dry run changes nothing and exits 0', () => {
    test.each<[string, string, Partial<LabNodeOptions>, () => unknown, RegExp]>([
      ['on a worker', '1.34.5', worker, () => undefined, /^WOULD: kubeadm upgrade node$/m],
      [
        'when the package lists do not have the release yet',
        '1.34.7',
        {},
        () => undefined,
        /1\.34\.7 is not in the package lists yet/,
      ],
      [
        'before the switch to the minor’s repository',
        '1.35.1',
        {},
        () => undefined,
        /1\.35\.1 is not in the package lists yet/,
      ],
      [
        'on a node at the target',
        '1.34.5',
        {},
        () => master(),
        /^==> the components are already at 1\.34\.5$/m,
      ],
      ['with copies to remove', '1.34.5', {}, () => leaveCopies(1, 2, 3), /^WOULD: rm -rf -- .*-2026-01-02/m],
      [
        'after dpkg was killed',
        '1.34.5',
        {},
        () => bench.node.write('/var/lib/dpkg/updates/0001', ''),
        /^WOULD: install /m,
      ],
      [
        'while another program holds the locks',
        '1.34.5',
        {},
        () => bench.node.faults.set('apt-lock', { holder: 'unattended-upgr' }),
        /^WOULD: apt-get update/m,
      ],
    ])('%s', async (_where, release, options, prepare, message) => {
      await open(options);
      await prepare();
      const before = filesOf(bench.node.paths.root, bench.node.paths.state);
      const calls = bench.changes().length;
      const role = options.role ?? 'master';
      const { exit, stdout, stderr, result } = await update(
        '--role',
        role,
        '--release',
        release,
        '--dry-run',
      );
      expect([exit, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(message);
      expect(stdout).not.toContain('waiting');
      expect(result).toMatchObject({ release, dryRun: true });
      expect(filesOf(bench.node.paths.root, bench.node.paths.state)).toEqual(before);
      expect(bench.changes()).toHaveLength(calls);
    });
  });

  test('measures the size of etcd even while etcd removes files', async () => {
    await open();
    const du = join(bench.node.paths.bin, 'du');
    rmSync(du);
    writeFileSync(du, '#!/bin/bash\necho "du: cannot access 0.tmp" >&2\nprintf "64\\t%s\\n" "$2"\nexit 1\n', {
      mode: 0o755,
    });
    const { exit, stderr } = await master('--dry-run');
    expect([exit, stderr]).toEqual([0, '']);
    bench.node.faults.set('disk-full', { mib: 1087, path: '/usr' });
    expect((await master('--dry-run')).lastError).toContain('/usr, 1088 are needed');
  });

  test('--help prints the options and exits 0', async () => {
    await open();
    const { exit, stdout } = await update('--help');
    expect(exit).toBe(0);
    for (const option of ['--role', '--release', '--skip-phases', '--ignore-preflight-errors', '--dry-run']) {
      expect(stdout).toContain(option);
    }
  });
});

describe('update_k8s.sh and a release whose packages are published one by one (F49)', () => {
  afterEach(() => bench.close());

  const publish = (names: readonly ('kubeadm' | 'kubelet' | 'kubectl')[], revision = '1.1') =>
    bench.repository.publish('1.34.6', { names, revision });
  const to = (...args: string[]) => update('--role', 'master', '--release', '1.34.6', ...args);
  const changed = () => bench.changes().filter((line) => !/ update |--simulate/.test(line));

  test('installs each package in its own revision', async () => {
    await open();
    publish(['kubeadm'], '2.1');
    publish(['kubelet'], '1.1');
    publish(['kubectl'], '1.2');
    expect((await to('--prepare')).exit).toBe(0);
    const { exit, stderr, result } = await to();
    expect([exit, stderr]).toEqual([0, '']);
    expect(result).toMatchObject({ revision: '1.34.6-2.1' });
    expect(bench.packages()).toEqual({ kubeadm: '1.34.6-2.1', kubelet: '1.34.6-1.1', kubectl: '1.34.6-1.2' });
  });

  test('also in two steps, the second of which asks no repository', async () => {
    await open();
    publish(['kubeadm'], '2.1');
    publish(['kubelet', 'kubectl'], '1.1');
    expect((await to('--steps', 'kubeadm')).exit).toBe(0);
    expect((await to('--steps', 'kubelet')).exit).toBe(0);
    expect(bench.packages()).toEqual({ kubeadm: '1.34.6-2.1', kubelet: '1.34.6-1.1', kubectl: '1.34.6-1.1' });
  });

  const partly: [names: ('kubeadm' | 'kubelet' | 'kubectl')[], listed: string, missing: string][] = [
    [['kubeadm'], 'kubeadm', 'kubelet, kubectl'],
    [['kubeadm', 'kubelet'], 'kubeadm, kubelet', 'kubectl'],
    [['kubelet', 'kubectl'], 'kubelet, kubectl', 'kubeadm'],
  ];
  test.each(partly)(
    'with only %s: names what is missing and changes nothing',
    async (names, listed, missing) => {
      await open();
      publish(names);
      const message = `error: the configured repository (v1.34) offers ${listed} 1.34.6, but no ${missing}: the release is not complete there yet; run this again once it is`;
      for (const args of [['--prepare'], [], ['--steps', 'kubeadm']]) {
        const { exit, lastError } = await to(...args);
        expect([exit, lastError]).toEqual([1, message]);
      }
      // The lists show it by now.
      const { exit, lastError } = await to('--dry-run');
      expect([exit, lastError]).toEqual([1, message]);
      expect(changed()).toEqual([]);
    },
  );

  test('takes what is installed already, whatever its epoch and suffix', async () => {
    await open();
    publish(['kubelet', 'kubectl']);
    writeFileSync(join(bench.node.paths.state, 'dpkg/kubeadm'), '1:1.34.6+vendor2-3');
    const { exit, stdout } = await to('--dry-run');
    expect(exit, stdout).toBe(0);
    expect(stdout).not.toMatch(/WOULD: install kubeadm/);
    publish(['kubeadm']);
    const prepared = await to('--prepare');
    expect([prepared.exit, prepared.stderr]).toEqual([0, '']);
    expect(bench.changes().join()).not.toContain('kubeadm=');
  });

  test('takes no pre-release for the release', async () => {
    await open();
    publish(['kubeadm', 'kubelet', 'kubectl'], '1.1');
    bench.repository.withdraw('1.34.6');
    bench.repository.publish('1.34.6~rc.1');
    expect((await to('--prepare')).lastError).toContain('offers no kubeadm 1.34.6; for another minor');
  });
});

describe('update_k8s.sh and phases that kubeadm does not have (F40)', () => {
  afterEach(() => bench.close());

  const all =
    'preflight, control-plane, upload-config, upload-config/kubeadm, upload-config/kubelet, kubelet-config, bootstrap-token, addon, addon/coredns, addon/kube-proxy, post-upgrade';
  const changed = () =>
    bench.changes().filter((line) => /^(apt-mark|kubeadm upgrade (?!.*--help))/.test(line));

  test.each([
    ['addon/foo', 'addon/foo'],
    ['addon/coredns,Addon/Kube-Proxy,coredns', 'Addon/Kube-Proxy, coredns'],
  ])('%s: found before anything is changed, in a patch by the dry run', async (given, unknown) => {
    await open();
    const message = `error: kubeadm 1.34.5 has no phase ${unknown} that --skip-phases ${given} names; correct kubeadm.skipPhases in the settings, it knows: ${all}`;
    for (const mode of ['--dry-run', '--prepare']) {
      const { exit, lastError } = await master(mode, '--skip-phases', given);
      expect([exit, lastError]).toEqual([1, message]);
    }
    expect(changed()).toEqual([]);
    expect(existsSync(join(bench.node.paths.root, 'var/lib/k8s-upgrade-prepare'))).toBe(false);
  });

  test.each([
    ['a control-plane node', {}, 'master'],
    ['a worker', worker, 'worker'],
  ])('on %s before a minor, by the kubeadm of the target', async (_what, options, role) => {
    await open({ ...options, release: '1.33.9' });
    bench.repository.publish('1.33.10');
    const at = (...args: string[]) =>
      update('--role', role, ...args, '--skip-phases', 'post-upgrade,addon/foo');
    // The kubeadm that is installed says nothing about another minor's.
    expect((await at('--release', '1.34.5', '--dry-run')).exit).toBe(0);
    expect(
      (await bench.run('set_repository.sh', '--minor', '1.34', '--url', bench.repository.base)).exit,
    ).toBe(0);
    const { exit, lastError } = await at('--release', '1.34.5', '--prepare');
    expect([exit, lastError]).toEqual([
      1,
      expect.stringContaining('kubeadm 1.34.5 has no phase addon/foo that'),
    ]);
    expect(changed()).toEqual([]);
  });

  test('each command gets the phases that it has', async () => {
    await open();
    const given = ['--skip-phases', 'upload-config,addon/coredns'];
    expect((await master('--prepare', ...given)).exit).toBe(0);
    expect((await master(...given)).exit).toBe(0);
    expect(bench.changes()).toContain(
      'kubeadm upgrade apply v1.34.5 --yes --skip-phases=upload-config,addon/coredns',
    );
    await bench.close();
    await open(worker);
    const onlyApply = ['--role', 'worker', '--release', '1.34.5', '--skip-phases', 'upload-config/kubelet'];
    expect((await update('--prepare', ...onlyApply)).exit).toBe(0);
    expect((await update(...onlyApply)).exit).toBe(0);
    expect(bench.changes()).toContain('kubeadm upgrade node');
  });

  test('upgrade apply has none before 1.32: bad input, before anything is changed', async () => {
    await open({ release: '1.31.9' });
    bench.repository.publish('1.31.10');
    for (const mode of [['--dry-run'], ['--prepare'], []]) {
      const to = ['--role', 'master', '--release', '1.31.10', '--skip-phases', 'addon/kube-proxy'];
      const { exit, lastError } = await update(...to, ...mode);
      expect([exit, lastError]).toEqual([
        2,
        'error: --skip-phases: kubeadm upgrade apply of 1.31.10 does not have it, only 1.32 and later do; remove kubeadm.skipPhases from the settings until then, once you have seen what kubeadm would do: kubeadm upgrade apply v1.31.10 --dry-run',
      ]);
    }
    expect(bench.changes()).toEqual([]);
  });

  test('upgrade node before 1.32 gets those that it has then', async () => {
    await open({ ...worker, release: '1.31.9' });
    bench.repository.publish('1.31.10');
    const to = ['--role', 'worker', '--release', '1.31.10', '--skip-phases', 'preflight,addon/coredns'];
    expect((await update('--prepare', ...to)).lastError).toBe('');
    expect((await update(...to)).lastError).toBe('');
    expect(bench.changes()).toContain('kubeadm upgrade node --skip-phases=preflight');
  });

  test('of another minor are known to its own kubeadm: 1.32 from 1.31', async () => {
    await open({ release: '1.31.9' });
    bench.repository.publish('1.32.4');
    const to = ['--role', 'master', '--release', '1.32.4', '--skip-phases', 'addon/coredns'];
    expect((await update(...to, '--dry-run')).lastError).toBe('');
    expect(
      (await bench.run('set_repository.sh', '--minor', '1.32', '--url', bench.repository.base)).exit,
    ).toBe(0);
    expect((await update(...to, '--prepare')).lastError).toBe('');
    expect((await update(...to)).lastError).toBe('');
    expect(bench.changes()).toContain('kubeadm upgrade apply v1.32.4 --yes --skip-phases=addon/coredns');
  });

  test.each(['all,Swap', 'Swap,ALL'])(
    'checks %s, which kubeadm refuses together, are bad input',
    async (given) => {
      await open();
      const { exit, lastError } = await master('--dry-run', '--ignore-preflight-errors', given);
      expect([exit, lastError]).toEqual([2, expect.stringContaining('kubeadm accepts all only alone')]);
    },
  );
});

describe('update_k8s.sh refuses bad input', () => {
  beforeAll(() => open());
  afterAll(() => bench.close());

  test.each([
    [['--role', 'boss', '--release', '1.34.5'], '--role: "boss" is not allowed; expected master or worker'],
    [['--role', 'master', '--release', 'v1.34.5'], '--release: "v1.34.5" is not allowed'],
    [['--role', 'master', '--release', '1.34.5;reboot'], '--release: "1.34.5;reboot" is not allowed'],
    [['--role', 'master', '--release', '1.35.0-rc.1'], '--release: "1.35.0-rc.1" is not allowed'],
    [['--role', 'master'], '--release: expected a release'],
    [['--release', '1.34.5'], '--role: expected master or worker'],
    [['--role', 'master', '--release'], '--release: expected a value'],
    [['--role', 'master', '--release', '1.34.5', '--skip-phases', '$(id)'], '--skip-phases: "$(id)"'],
    [
      ['--role', 'master', '--release', '1.34.5', '--ignore-preflight-errors', ''],
      '--ignore-preflight-errors: ""',
    ],
    [['--role', 'master', '--release', '1.34.5', '--force'], '"--force" is not an option'],
    [
      ['--role', 'master', '--release', '1.33.9'],
      '--release: 1.33.9 is older than kubelet 1.34.2 on this node',
    ],
    [
      ['--role', 'master', '--release', '1.36.0'],
      '--release: 1.36.0 skips a minor from kubelet 1.34.2 on this node; go to 1.35 first',
    ],
    [['--role', 'master', '--release', '2.35.0'], '--release: 2.35.0 skips a minor'],
  ])('%j', async (args, message) => {
    const { exit, lastError } = await update(...args);
    expect(lastError).toContain(`error: ${message}`);
    expect(exit).toBe(2);
    expect(bench.changes()).toEqual([]);
  });
});

describe('update_k8s.sh refuses', () => {
  afterEach(() => bench.close());

  test('a control-plane node where etcd is unreachable, because no snapshot could be taken', async () => {
    await open();
    rmSync(join(bench.node.paths.bin, 'crictl'));
    const { exit, lastError } = await update('--role', 'master', '--release', '1.34.5', '--dry-run');
    expect([exit, lastError]).toEqual([1, expect.stringContaining('crictl is missing on this node')]);
    rmSync(join(bench.node.paths.root, 'etc/kubernetes/manifests/etcd.yaml'));
    expect((await update('--role', 'master', '--release', '1.34.5', '--dry-run')).exit).toBe(0);
  });

  test.each([
    ['the role master on a worker', worker, ['--role', 'master'], 'runs no API server'],
    ['a release older than kubeadm', {}, ['--role', 'master'], 'is older than kubeadm 1.34.9'],
  ])('%s', async (_what, options, args, message) => {
    await open(options);
    writeFileSync(join(bench.node.paths.state, 'dpkg/kubeadm'), '1.34.9-1.1');
    const { exit, lastError } = await update(...args, '--release', '1.34.5');
    expect(lastError).toContain(message);
    expect(exit).toBeGreaterThan(0);
    expect(bench.changes()).toEqual([]);
  });

  test('a node where sudo requires a password', async () => {
    await open();
    bench.node.faults.set('sudo-password', {});
    const { exit, lastError } = await master();
    expect(exit).toBe(1);
    expect(lastError).toBe(
      'error: wizard may not run sudo without a password on this node: allow it in /etc/sudoers.d, or log in as root',
    );
  });

  test('a full disk, before changing a package', async () => {
    await open();
    bench.node.faults.set('disk-full', { mib: 300, path: '/var/lib' });
    const { exit, lastError } = await master();
    expect(exit).toBe(1);
    expect(lastError).toMatch(
      /^error: only 300 MiB are free on the file system of \/var\/lib, \d+ are needed/,
    );
    expect(bench.changes()).toEqual([]);
  });
});

describe('update_k8s.sh --dry-run on a full disk', () => {
  afterEach(() => bench.close());

  test('warns when the real run would first remove copies that kubeadm left', async () => {
    await open();
    leaveCopies(1, 2, 3);
    bench.node.faults.set('disk-full', { mib: 300, path: '/var/lib' });
    const { exit, stdout, stderr } = await master('--dry-run');
    expect([exit, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(
      /^==> warning: only 300 MiB are free on the file system of \/var\/lib, \d+ are needed; the real/m,
    );
    expect(bench.changes()).toEqual([]);
    // The real run removes them, but that frees no space here.
    expect((await master()).lastError).toContain('error: only 300 MiB are free');
  });

  test('fails when nothing would be removed', async () => {
    await open();
    leaveCopies(1, 2);
    bench.node.faults.set('disk-full', { mib: 300, path: '/var/lib' });
    const { exit, lastError } = await master('--dry-run');
    expect(exit).toBe(1);
    expect(lastError).toMatch(
      /^error: only 300 MiB are free on the file system of \/var\/lib, \d+ are needed; free/,
    );
  });

  test('fails when the copies to remove are on another file system', async () => {
    await open();
    leaveCopies(1, 2, 3);
    const stat = join(bench.node.paths.bin, 'stat');
    rmSync(stat);
    writeFileSync(stat, '#!/bin/bash\nprintf "%s\\n" "$3"\n', { mode: 0o755 });
    bench.node.faults.set('disk-full', { mib: 300, path: '/usr' });
    expect((await master('--dry-run')).lastError).toContain(
      'error: only 300 MiB are free on the file system of /usr',
    );
  });
});

describe('update_k8s.sh and packages (F24)', () => {
  afterEach(() => bench.close());

  test('names the configured minor when the release is missing', async () => {
    await open();
    const { exit, lastError } = await update('--role', 'master', '--release', '1.35.1');
    expect(exit).toBe(1);
    expect(lastError).toBe(
      'error: the configured repository (v1.34) offers no kubeadm 1.35.1; for another minor change it with set_repository.sh --minor 1.35',
    );
    expect(bench.held()).toBe(true);
  });

  test('fails on an expired key although apt-get exits 0 with its old lists', async () => {
    await open();
    await bench.run('list_packages.sh', '--package', 'kubeadm');
    bench.node.expireRepositoryKey();
    const { exit, lastError } = await master();
    expect(exit).toBe(1);
    expect(lastError).toContain(
      'error: the signing key of the repository in /etc/apt/sources.list.d/kubernetes.list has expired',
    );
    expect(bench.packages().kubeadm).toBe('1.34.2-1.1');
  });

  test('fails on a missing key', async () => {
    await open();
    bench.node.write('/etc/apt/keyrings/kubernetes-apt-keyring.gpg', '');
    expect((await master()).lastError).toMatch(
      /the signing key .* is missing: .*; fetch it with set_repository\.sh$/,
    );
  });

  test('waits for the lock, and reports who holds it', async () => {
    await open();
    bench.node.faults.set('apt-lock', { holder: 'unattended-upgr' });
    const running = bench.begin('update_k8s.sh', '--role', 'master', '--release', '1.34.5');
    await bench.node.started('apt-get');
    setTimeout(() => bench.node.faults.clear('apt-lock'), 300);
    const { exit, stdout } = await running.ended;
    expect(stdout).toContain(
      '==> waiting for apt: Could not get lock /var/lib/apt/lists/lock. It is held by process 4321 (unattended-upgr)',
    );
    expect(exit).toBe(0);
  });

  test.each(['no-route-update', 'no-route-install'] as const)(
    'waits until the network is back, and reports the wait (%s)',
    async (fault) => {
      await open();
      bench.node.faults.set(fault, { times: 1 });
      const { exit, stdout } = await master();
      const waits = stdout.split('\n').filter((line) => line.startsWith('==> waiting for the network:'));
      expect(waits).toHaveLength(1);
      expect(waits[0]).toContain('No route to host');
      expect(exit).toBe(0);
    },
  );

  test('names other held packages that block the installation, and restores its own holds', async () => {
    await open();
    writeFileSync(join(bench.node.paths.state, 'hold/kubernetes-cni'), '');
    const { exit, lastError } = await master();
    expect(exit).toBe(1);
    expect(lastError).toMatch(
      /^error: apt would have to change held packages \(.*kubernetes-cni.*\).*apt-mark unhold/,
    );
    expect(bench.held()).toBe(true);
  });

  test.each(['html', 'empty', 'truncated'] as const)(
    'fails when the repository serves nonsense (%s)',
    async (nonsense) => {
      await open();
      bench.repository.nonsense = nonsense;
      const { exit, lastError } = await master();
      expect(exit).toBe(1);
      expect(lastError).toContain('error: apt-get update failed for /etc/apt/sources.list.d/kubernetes.list');
    },
  );

  test('fails when the repository does not answer although apt-get exits 0', async () => {
    await open();
    await bench.repository.stop();
    const { exit, lastError } = await master();
    expect(exit).toBe(1);
    expect(lastError).toContain('Failed to fetch');
  });

  test('finishes an installation that was killed before its end (F5)', async () => {
    await open();
    bench.node.setDuration('apt-install', 5);
    const running = bench.begin('update_k8s.sh', '--role', 'master', '--release', '1.34.5');
    await bench.node.started('apt-mark', 'unhold');
    await expect.poll(() => existsSync(join(bench.node.paths.state, 'dpkg-interrupted'))).toBe(true);
    running.kill('SIGKILL');
    await running.ended;
    bench.node.setDuration('apt-install', 0);
    const { exit, stdout } = await master();
    expect(stdout).toContain('==> finishing an interrupted package installation');
    expect(exit).toBe(0);
    expect(bench.held()).toBe(true);
  });
});

describe('update_k8s.sh and kubeadm', () => {
  afterEach(() => bench.close());

  test('holds the packages and does not change the kubelet when kubeadm fails; the next run finishes', async () => {
    await open();
    bench.node.faults.set('kubeadm-fails', { times: 1 });
    const failed = await master();
    expect(failed.exit).toBe(1);
    expect(failed.lastError).toMatch(/^error: kubeadm failed: .*failed to pull image/);
    expect(bench.packages()).toMatchObject({ kubeadm: '1.34.5-1.1', kubelet: '1.34.2-1.1' });
    expect(bench.held()).toBe(true);
    expect((await master()).exit).toBe(0);
    expect(bench.packages().kubelet).toBe('1.34.5-1.1');
  });

  test('F70: summarizes images that kubeadm could not pull in one bounded sentence', async () => {
    await open();
    bench.node.faults.set('no-images', { matching: 'kube' });
    const { exit, lastError } = await master();
    expect(exit).toBe(1);
    expect(lastError).toBe(
      'error: kubeadm failed: 4 images could not be pulled: kube-apiserver:v1.34.5, kube-controller-manager:v1.34.5, ' +
        'kube-scheduler:v1.34.5, kube-proxy:v1.34.5: registry.k8s.io/kube-apiserver:v1.34.5: not found; ' +
        'see its output above, then run this again',
    );
  });

  test.each([
    [
      'error: error execution phase control-plane: error execution phase etcd: no space\nTo see the stack trace',
      'no space',
    ],
    ['error: the node is not ready\nTo see the stack trace of this error', 'the node is not ready'],
    [
      'error: error execution phase preflight: [preflight] Some fatal errors occurred:\n\t[ERROR CreateJob]: late\n' +
        '\t[ERROR ImagePull]: [failed to pull image r/a:v1: failed to pull image r/a:v1: rpc error: code = Unknown desc = no such host, ' +
        'failed to pull image r/b:v1: failed to pull image r/b:v1: rpc error: code = Unknown desc = no such host]\n[preflight] If you',
      '[ERROR CreateJob]: late/2 images could not be pulled: a:v1, b:v1: ',
    ],
  ])('names the reason without what kubeadm adds to every error: %j', async (output, reason) => {
    await open();
    const kubeadm = join(bench.node.paths.bin, 'kubeadm');
    rmSync(kubeadm);
    const text = `[[ $1 == version ]] && echo v1.34.2 && exit\nprintf '%b\\n' "${output}" >&2\nexit 1\n`;
    writeFileSync(kubeadm, `#!/bin/bash\n${text}`, { mode: 0o755 });
    expect((await master()).lastError).toContain(`error: kubeadm failed: ${reason}`);
  });

  test('F53: reports that a kubeadm in another place is too old, not the advice below that', async () => {
    await open();
    const { bin } = bench.node.paths;
    rmSync(join(bin, 'kubeadm'));
    const old = '#!/usr/bin/env bash\nLAB_VERSION=1.34.2 exec "$LAB_STUBS/bin/kubeadm" "$@"\n';
    writeFileSync(join(bin, 'kubeadm'), old, { mode: 0o755 });
    const { exit, lastError } = await master();
    expect(exit).toBe(1);
    expect(lastError).toContain(
      'error: kubeadm failed: the version argument is invalid due to these errors: Specified version to upgrade to "v1.34.5" is higher than the kubeadm version "v1.34.2". Upgrade kubeadm first using the tool you used to install kubeadm; see its output',
    );
  });

  test('F20: retries without etcd when etcd already has its version', async () => {
    await open();
    bench.node.faults.set('static-pod-hash', { component: 'etcd', how: 'changed', times: 2 });
    const { exit } = await master();
    expect(exit).toBe(0);
    expect(bench.changes().filter((line) => line.startsWith('kubeadm upgrade apply'))).toEqual([
      'kubeadm upgrade apply v1.34.5 --yes',
      'kubeadm upgrade apply v1.34.5 --yes --etcd-upgrade=false',
    ]);
  });

  test('F20: retries when the component did change, with an external etcd', async () => {
    await open();
    rmSync(join(bench.node.paths.root, 'etc/kubernetes/manifests/etcd.yaml'));
    bench.node.faults.set('static-pod-hash', { component: 'kube-apiserver', how: 'changed', times: 1 });
    const { exit } = await master();
    expect(exit).toBe(0);
    expect(imageOf('kube-scheduler')).toContain('v1.34.5');
    const attempt = 'kubeadm upgrade apply v1.34.5 --yes';
    expect(bench.changes().filter((line) => line.startsWith('kubeadm upgrade apply'))).toEqual([
      attempt,
      attempt,
    ]);
  });

  test('F20: fails when the component still has its old version', async () => {
    await open({ release: '1.33.9' });
    await bench.run('set_repository.sh', '--minor', '1.34', '--url', bench.repository.base);
    bench.node.faults.set('static-pod-hash', { component: 'etcd', how: 'reverted', times: 1 });
    const { exit, lastError } = await master();
    expect(exit).toBe(1);
    expect(lastError).toContain('error: kubeadm gave up on etcd, which is at 3.5.24-0; see crictl ps -a');
  });

  test('F21: names the settings that keep a CoreDNS that kubeadm refuses', async () => {
    await open();
    bench.node.faults.set('coredns', {});
    const { exit, lastError } = await master();
    expect(exit).toBe(1);
    expect(lastError).toContain('(CoreDNSMigration,CoreDNSUnsupportedPlugins)');
    expect(lastError).toContain('set kubeadm.skipPhases to [addon/coredns]');
  });

  test('F21: does not change CoreDNS with those settings', async () => {
    await open();
    bench.node.faults.set('coredns', {});
    const before = bench.node.environment.LAB_CLUSTER_DIR;
    const { exit } = await master(
      '--skip-phases',
      'addon/coredns',
      '--ignore-preflight-errors',
      'CoreDNSMigration,CoreDNSUnsupportedPlugins',
    );
    expect(exit).toBe(0);
    expect(readFileSync(join(before ?? '', 'coredns-version'), 'utf8')).toBe('v1.12.0\n');
  });

  test.each([
    ['plan', 1, 0],
    ['plan', 2, 1],
    ['apply', 1, 0],
    ['apply', 2, 1],
  ] as const)(
    "retries once when kubeadm's health check is late: in upgrade %s, late %i times, exit code %i",
    async (step, times, code) => {
      await open();
      bench.node.faults.set(`late-job-${step}`, { times });
      const { exit, stdout, stderr } = await master();
      expect(stdout).toContain("==> kubeadm's health check timed out; retrying once");
      expect(exit, stderr).toBe(code);
      if (code === 1)
        expect(stderr).toContain('error: kubeadm failed: [ERROR CreateJob]: Job "upgrade-health');
      expect(bench.changes().filter((line) => line.startsWith(`kubeadm upgrade ${step}`))).toHaveLength(2);
    },
  );

  test.each(['master', 'worker'])(
    'F22: names the flags that kubeadm will drop, with the role %s',
    async (role) => {
      await open();
      // For the role worker, the first control-plane node has already been upgraded.
      writeFileSync(
        join(bench.node.environment.LAB_CLUSTER_DIR ?? '', 'kubernetes-version'),
        role === 'worker' ? '1.34.5' : '1.34.2',
      );
      const path = '/etc/kubernetes/manifests/kube-apiserver.yaml';
      const manifest = bench.node.read(path);
      const flag = '--authentication-config=/etc/kubernetes/auth.yaml';
      bench.node.write(path, manifest.replace('    - --secure', `    - ${flag}\n    - --secure`));
      const { exit, stdout, result } = await update('--role', role, '--release', '1.34.5');
      expect(exit).toBe(0);
      expect(result).toMatchObject({ droppedFlags: ['--authentication-config'] });
      expect(stdout).toContain('==> warning: kubeadm will drop --authentication-config from the manifests');
    },
  );

  test('F23: keeps only the newest of each kind of copies that kubeadm leaves', async () => {
    await open();
    const scratch = join(bench.node.paths.root, 'etc/kubernetes/tmp');
    for (const n of [1, 2, 3]) {
      mkdirSync(join(scratch, `kubeadm-backup-etcd-2026-01-0${n}-00-00-00`), { recursive: true });
      mkdirSync(join(scratch, `kubeadm-backup-manifests-2026-01-0${n}-00-00-00`));
    }
    mkdirSync(join(scratch, "somebody else's"));
    for (const name of ['kubelet-env12', 'kubelet-env34', 'upgrade-dryrun56', 'upgrade-apply-dryrun78'])
      mkdirSync(join(scratch, `kubeadm-${name}`));
    await master();
    const left = readdirSync(scratch).sort();
    expect(left.map((name) => name.replace(/-?\d.*/, ''))).toEqual([
      'kubeadm-backup-etcd',
      'kubeadm-backup-manifests',
      'kubeadm-kubelet-env',
      "somebody else's",
    ]);
    expect(left.join()).not.toContain('2026-01-0');
    expect(left).toContain("somebody else's");
  });

  test('F5 F23: keeps the copies from before the first change, however often the upgrade is interrupted', async () => {
    await open();
    const scratch = join(bench.node.paths.root, 'etc/kubernetes/tmp');
    mkdirSync(join(scratch, 'kubeadm-backup-manifests-2026-01-01-00-00-00'), { recursive: true });
    const copies = () => readdirSync(scratch).filter((name) => name.startsWith('kubeadm-backup-manifests'));
    for (let interruption = 1; interruption <= 2; interruption++) {
      bench.node.setDuration('kubeadm', 0.5);
      const running = bench.begin('update_k8s.sh', '--role', 'master', '--release', '1.34.5');
      const apiserver = () => bench.hookCalls.filter((line) => line === 'apiserver 1.34.5').length;
      await expect.poll(apiserver, { timeout: 20_000 }).toBe(interruption);
      running.kill('SIGKILL');
      await running.ended;
    }
    bench.node.setDuration('kubeadm', 0);
    expect((await master()).exit).toBe(0);
    expect(copies()).toHaveLength(2);
    const releases = copies().map((name) => {
      const manifest = readFileSync(join(scratch, name, 'kube-apiserver.yaml'), 'utf8');
      return /:v(.*)/.exec(manifest)?.[1];
    });
    expect(releases).toEqual(['1.34.2', '1.34.5']);
  });

  test('F9: does not need kubeadm plan to offer the target when the control plane already has it', async () => {
    await open();
    // An interrupted run: kubeadm has finished, but the kubelet is not installed.
    expect((await master()).exit).toBe(0);
    for (const name of ['kubelet', 'kubectl'])
      writeFileSync(join(bench.node.paths.state, 'dpkg', name), '1.34.2-1.1');
    const { exit } = await master();
    expect(exit).toBe(0);
    expect(bench.packages().kubelet).toBe('1.34.5-1.1');
  });

  test('F5 F9: continues after an interruption between the API server and the other components', async () => {
    await open();
    bench.node.setDuration('kubeadm', 0.5);
    const running = bench.begin('update_k8s.sh', '--role', 'master', '--release', '1.34.5');
    await expect.poll(() => bench.hookCalls, { timeout: 20_000 }).toContain('apiserver 1.34.5');
    running.kill('SIGKILL');
    await running.ended;
    expect(imageOf('kube-scheduler')).toContain('v1.34.2');
    bench.node.setDuration('kubeadm', 0);
    const { exit, stderr } = await master();
    expect([exit, stderr]).toEqual([0, '']);
    expect(imageOf('kube-scheduler')).toContain('v1.34.5');
  });

  test('upgrades to the next minor once its repository is configured', async () => {
    await open();
    expect(
      (await bench.run('set_repository.sh', '--minor', '1.35', '--url', bench.repository.base)).exit,
    ).toBe(0);
    const { exit, result } = await update('--role', 'master', '--release', '1.35.1');
    expect(exit).toBe(0);
    expect(result).toMatchObject({ from: '1.34.2', release: '1.35.1' });
    expect(bench.hookCalls).toEqual(['apiserver 1.35.1', 'kubelet 1.35.1 1.7.27']);
  });
});
