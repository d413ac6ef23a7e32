import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { Bench, scriptText } from '../../test/node-scripts/harness.ts';

let bench: Bench;
/** Each test has a node of its own. */
const fresh = () => {
  beforeEach(async () => {
    bench = await Bench.open();
  });
  afterEach(() => bench.close());
};

/** For tests that change nothing. */
const shared = () => {
  beforeAll(async () => {
    bench = await Bench.open();
  });
  afterAll(() => bench.close());
};

const list = (name = 'kubeadm') => bench.run('list_packages.sh', '--package', name);
const setRepository = (minor: string, ...args: string[]) =>
  bench.run('set_repository.sh', '--minor', minor, '--url', bench.repository.base, ...args);
const containerd = (version: string, ...args: string[]) =>
  bench.run('update_containerd.sh', '--version', version, ...args);
const source = '/etc/apt/sources.list.d/kubernetes.list';
const keyring = '/etc/apt/keyrings/kubernetes-apt-keyring.gpg';

describe('list_packages.sh', () => {
  fresh();

  test('refreshes first (F13) and lists newest first', async () => {
    const first = await list();
    expect(first.exit).toBe(0);
    expect(first.stdout).toMatch(/^ +kubeadm \| 1\.34\.5-1\.1 \| http/m);
    const repository = `${bench.repository.base}v1.34/deb`;
    expect(first.result).toEqual({ versions: ['1.34.5-1.1', '1.34.2-1.1'], repository });
    bench.repository.publish('1.34.10');
    expect((await list()).result).toEqual({
      versions: ['1.34.10-1.1', '1.34.5-1.1', '1.34.2-1.1'],
      repository,
    });
  });

  test('an empty answer is an error (F12)', async () => {
    const { exit, lastError, result } = await list('kubefed');
    expect(exit).toBe(1);
    expect(lastError).toContain('error: the Kubernetes repository (v1.34) offers no kubefed');
    expect(result).toBeUndefined();
  });

  test('a node without a Kubernetes source is told what to add', async () => {
    // CRI-O's repository has the same shape and is not Kubernetes'.
    bench.node.write(source, 'deb [trusted=yes] https://pkgs.k8s.io/addons:/cri-o:/stable:/v1.34/deb/ /\n');
    const { exit, lastError } = await list();
    expect(exit).toBe(1);
    expect(lastError).toContain('no file in /etc/apt/sources.list.d names a Kubernetes repository; add one');
  });

  test.each([
    ['redirectLoop', { redirectLoop: true }],
    ['reset', { reset: true }],
    ['status', { status: 503 }],
  ])('a repository with %s is an error', async (_name, faults) => {
    bench.repository.faults = faults;
    const { exit, lastError } = await list();
    expect(exit).toBe(1);
    expect(lastError).toContain('error: apt-get update failed for');
  });

  test('refuses a name that is none', async () => {
    const { exit, lastError } = await list('kubeadm;id');
    expect(exit).toBe(2);
    expect(lastError).toContain('--package: "kubeadm;id" is not allowed');
  });
});

/** Reaches `pkgs.lab`, which nothing else does; keeps what it was asked for. It can be away, and come back at the same address. */
async function startProxy() {
  const asked: string[] = [];
  const proxy = createServer(({ url = '' }, response) => {
    asked.push(url);
    get(url.replace('http://pkgs.lab', bench.repository.url), (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  onTestFinished(() => void proxy.close());
  const { port } = proxy.address() as AddressInfo;
  const away = () => new Promise((resolve) => proxy.close(resolve));
  return { asked, url: `http://127.0.0.1:${port}`, away, back: () => proxy.listen(port, '127.0.0.1') };
}

const configureApt = (...lines: string[]) =>
  bench.node.write('/etc/apt/apt.conf.d/95proxy', lines.map((line) => `${line}\n`).join(''));

describe('set_repository.sh', () => {
  fresh();

  test('fetches the key the way that apt takes: where only its proxy leads', async () => {
    const { asked, url } = await startProxy();
    const base = bench.repository.base.replace(bench.repository.url, 'http://pkgs.lab');
    const run = () => bench.run('set_repository.sh', '--minor', '1.35', '--url', base);
    const unwaiting = scriptText('set_repository.sh').replace(/^network_timeout=.*/m, 'network_timeout=0');
    const first = await bench.bash(['-s', '--', '--minor', '1.35', '--url', base], unwaiting).ended;
    expect(first.lastError).toContain('cannot fetch http://pkgs.lab');
    configureApt('Acquire::http::Proxy "http://127.0.0.1:9";', `Acquire::http::Proxy "${url}";`);
    const { exit, stderr } = await run();
    expect([exit, stderr]).toEqual([0, '']);
    expect(asked).toContain(`${base}v1.35/deb/Release.key`);
  });

  test.each(['curl', 'wget'])(
    'waits with %s for a network that comes back, and says so once',
    async (client) => {
      if (client === 'wget') rmSync(join(bench.node.paths.bin, 'curl'));
      const { asked, url, away, back } = await startProxy();
      await away();
      configureApt(`Acquire::http::Proxy "${url}";`);
      const running = bench.begin('set_repository.sh', '--minor', '1.35', '--url', bench.repository.base);
      const attempts = () => bench.node.history.filter(({ program }) => program === client).length;
      await expect.poll(attempts, { timeout: 20_000 }).toBe(2);
      back();
      const { exit, stdout, stderr } = await running.ended;
      expect([exit, stderr]).toEqual([0, '']);
      expect(stdout.match(/^==> waiting for the network: .*/gm)).toHaveLength(1);
      expect(asked).toContain(`${bench.repository.base}v1.35/deb/Release.key`);
    },
  );

  test.each(['curl', 'wget'])('does not wait with %s for a server that answers', async (client) => {
    if (client === 'wget') rmSync(join(bench.node.paths.bin, 'curl'));
    bench.repository.faults = { status: 503 };
    const { exit, stdout, lastError } = await setRepository('1.35');
    expect([exit, stdout]).toEqual([1, expect.not.stringContaining('waiting')]);
    expect(lastError).toContain('v1.35/deb/Release.key; check that v1.35 exists there');
  });

  test('fetches the key past the proxy that apt does not take for that host', async () => {
    configureApt('Acquire::http::Proxy "http://127.0.0.1:9";', 'Acquire::http::Proxy::127.0.0.1 "DIRECT";');
    expect((await setRepository('1.35')).exit).toBe(0);
  });

  test('rewrites the Kubernetes line and nothing else, fetches the key, and refreshes', async () => {
    const others = '# a note on v1.34/deb\ndeb [arch=amd64] https://example.com/debian stable main\n';
    bench.node.write(source, `${others}${bench.node.read(source).replace('[', '[arch=amd64 ')}`);
    const { exit, result } = await setRepository('1.35');
    expect(exit).toBe(0);
    expect(result).toEqual({
      minor: '1.35',
      repository: `${bench.repository.base}v1.35/deb/`,
      newest: '1.35.1-1.1',
      changed: true,
    });
    expect(bench.node.read(source)).toBe(
      `${others}deb [arch=amd64 signed-by=${keyring}] ${bench.repository.base}v1.35/deb/ /\n`,
    );
    expect(bench.node.read(keyring)).toContain('isv:kubernetes OBS Project');
    expect((await list()).result).toMatchObject({ versions: ['1.35.1-1.1', '1.35.0-1.1'] });
  });

  test('understands deb822, with a key written into the file', async () => {
    rmSync(join(bench.node.paths.root, source));
    const stanza = (uris: string, key: string) =>
      `Types: deb\nURIs: ${uris}\nSuites: /\nSigned-By:${key}\nEnabled: yes\n`;
    const embedded =
      '\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQENBGMHtPsBCADNSdU9pvg\n -----END PGP PUBLIC KEY BLOCK-----';
    const crio = stanza('https://pkgs.k8s.io/addons:/cri-o:/stable:/v1.34/deb/', embedded);
    const sources = '/etc/apt/sources.list.d/kubernetes.sources';
    bench.node.write(sources, `${crio}\n${stanza(`${bench.repository.base}v1.34/deb/`, embedded)}`);
    bench.node.write('/etc/apt/sources.list', '');
    const { exit, lastError } = await setRepository('1.35');
    expect(bench.node.read(sources)).toBe(
      `${crio}\n${stanza(`${bench.repository.base}v1.34/deb/`, embedded)}`,
    );
    // CRI-O's repository is not reachable from here, and the refresh of the file therefore failed: everything is back.
    expect(exit).toBe(1);
    expect(lastError).toContain('this node stays on the repository that it had');
    bench.node.write(sources, stanza(`${bench.repository.base}v1.34/deb/`, embedded));
    expect((await setRepository('1.35')).exit).toBe(0);
    expect(bench.node.read(sources)).toBe(stanza(`${bench.repository.base}v1.35/deb/`, ` ${keyring}`));
  });

  test('is safe to run again', async () => {
    await setRepository('1.35');
    const once = bench.node.read(source);
    const { exit, result } = await setRepository('1.35');
    expect(exit).toBe(0);
    expect(result).toMatchObject({ changed: false, newest: '1.35.1-1.1' });
    expect(bench.node.read(source)).toBe(once);
  });

  test('heals an expired key (F24)', async () => {
    bench.node.expireRepositoryKey();
    expect((await list()).exit).toBe(1);
    expect((await setRepository('1.34')).exit).toBe(0);
    expect((await list()).exit).toBe(0);
  });

  test('leaves everything as it was when that minor has no repository', async () => {
    writeFileSync(join(bench.node.paths.state, 'dpkg/kubelet'), '1.35.1-1.1');
    const before = [bench.node.read(source), bench.node.read(keyring)];
    const { exit, lastError } = await setRepository('1.36');
    expect(exit).toBe(1);
    expect(lastError).toContain('v1.36/deb/Release.key; check that v1.36 exists there');
    expect([bench.node.read(source), bench.node.read(keyring)]).toEqual(before);
  });

  test('puts source and key back when the refresh fails', async () => {
    const before = [bench.node.read(source), bench.node.read(keyring)];
    bench.repository.nonsense = 'empty';
    const { exit, lastError } = await setRepository('1.35');
    expect(exit).toBe(1);
    expect(lastError).toMatch(
      /^error: apt-get update failed .*; this node stays on the repository that it had$/,
    );
    expect([bench.node.read(source), bench.node.read(keyring)]).toEqual(before);
  });

  test('refuses a key that is a web page', async () => {
    bench.repository.nonsense = 'html';
    expect((await setRepository('1.35')).lastError).toContain('Release.key is not a signing key');
  });

  test('a dry run changes nothing', async () => {
    const before = bench.node.read(source);
    const { exit, stdout } = await setRepository('1.35', '--dry-run');
    expect(exit).toBe(0);
    expect(stdout).toContain(`WOULD: point ${source} at ${bench.repository.base}v1.35/deb/`);
    expect(bench.node.read(source)).toBe(before);
  });
});

describe('bad input of set_repository.sh', () => {
  shared();

  test.each([
    [['--minor', '1.35.1'], '--minor: "1.35.1" is not allowed'],
    [['--minor', '1.33'], '--minor: 1.33 is older than kubelet 1.34'],
    [['--minor', '1.36'], '--minor: 1.36 skips a minor'],
    [['--minor', '1.35', '--url', 'file:///etc'], '--url: "file:///etc" is not allowed'],
    [['--minor', '1.35', '--url', 'http://x/ /#'], '--url: "http://x/ /#" is not allowed'],
    [['--minor', '1.35', '--url', 'http://user:pw@x/'], '--url: "http://user:pw@x/" is not allowed'],
  ])('refuses %j', async (args, message) => {
    const { exit, lastError } = await bench.run('set_repository.sh', '--url', bench.repository.base, ...args);
    expect(lastError).toContain(`error: ${message}`);
    expect(exit).toBe(2);
  });
});

describe('update_containerd.sh', () => {
  fresh();

  test('installs the newest revision of the version, restarts, and holds what was held', async () => {
    writeFileSync(join(bench.node.paths.state, 'hold/containerd.io'), '');
    const { exit, result } = await containerd('1.7.28');
    expect(exit).toBe(0);
    expect(result).toEqual({
      version: '1.7.28',
      from: '1.7.27',
      package: 'containerd.io',
      revision: '1.7.28-1',
      dryRun: false,
    });
    expect(bench.hookCalls).toEqual(['containerd 1.7.28']);
    expect(bench.node.containerd).toBe('1.7.28');
    expect(bench.stateOf('hold/containerd.io')).toBe('');
  });

  test.each([
    ['1.19', 'dpkg frontend is locked'],
    ['1.20', 'dpkg frontend lock is locked'],
    [undefined, 'dpkg frontend lock was locked'],
  ] as const)(
    'waits for dpkg’s lock (%s) before it takes the hold away, as apt-mark does not (F24)',
    async (dpkg, said) => {
      writeFileSync(join(bench.node.paths.state, 'hold/containerd.io'), '');
      bench.node.faults.set('apt-lock', { holder: 'unattended-upgr', ...(dpkg && { dpkg }) });
      const running = bench.begin('update_containerd.sh', '--version', '1.7.28');
      await bench.node.started('apt-mark', 'unhold');
      setTimeout(() => bench.node.faults.clear('apt-lock'), 300);
      const { exit, stdout } = await running.ended;
      expect(stdout).toContain(`==> waiting for apt: dpkg: error: ${said} by another process`);
      expect(exit).toBe(0);
      expect(bench.stateOf('hold/containerd.io')).toBe('');
    },
  );

  test('does nothing the second time', async () => {
    await containerd('1.7.28');
    const { exit, result } = await containerd('1.7.28');
    expect(exit).toBe(0);
    expect(result).toMatchObject({ from: '1.7.28' });
    expect(bench.hookCalls).toEqual(['containerd 1.7.28']);
  });

  test('restarts what was installed and not restarted', async () => {
    writeFileSync(join(bench.node.paths.state, 'dpkg/containerd.io'), '1.7.28-1');
    expect((await containerd('1.7.28')).result).toMatchObject({ from: '1.7.27' });
    expect(bench.hookCalls).toEqual(['containerd 1.7.28']);
  });

  test('finds the package of the distribution', async () => {
    rmSync(join(bench.node.paths.state, 'dpkg/containerd.io'));
    writeFileSync(join(bench.node.paths.state, 'dpkg/containerd'), '1.7.27~ds1-1+b3');
    const offer = (version: string) =>
      `containerd|${version}|http://mirror.invalid/debian bookworm/main amd64 Packages\n`;
    writeFileSync(
      join(bench.node.paths.state, 'other-packages'),
      offer('1.7.28~ds1-1+b1') + offer('1.7.28~ds1-2'),
    );
    expect((await containerd('1.7.28')).result).toMatchObject({
      package: 'containerd',
      revision: '1.7.28~ds1-2',
    });
  });

  test('says what is on offer when the version is not', async () => {
    const { exit, lastError } = await containerd('1.7.99');
    expect(exit).toBe(4);
    expect(lastError).toContain('offers containerd.io 1.7.99; it offers 1.7.24-1 1.7.27-1 1.7.28-1 2.1.4-1');
    expect(bench.hookCalls).toEqual([]);
  });

  test('says where to look when containerd does not start', async () => {
    bench.node.faults.set('containerd-fails', {});
    const { exit, lastError } = await containerd('1.7.28');
    expect(exit).toBe(1);
    expect(lastError).toBe('error: containerd does not start; see journalctl -u containerd on this node');
  });

  test('starts a containerd that did not start before, at the version that is on disk by then', async () => {
    bench.node.faults.set('containerd-fails', {});
    expect((await containerd('1.7.28')).exit).toBe(1);
    // As an operator mends its configuration.
    bench.node.faults.clear('containerd-fails');
    const { exit, stderr, result } = await containerd('1.7.28');
    expect([exit, stderr]).toEqual([0, '']);
    expect(result).toMatchObject({ version: '1.7.28', revision: '1.7.28-1' });
    expect(bench.hookCalls).toEqual(['containerd 1.7.28']);
  });

  test.each(['1.7.27', '1.7.28'])(
    'brings a containerd that is stopped to %s, and starts it',
    async (version) => {
      await bench.bash(['-c', 'sudo systemctl stop containerd && ! systemctl is-active containerd'], '')
        .ended;
      const { exit, stderr, result } = await containerd(version);
      expect([exit, stderr]).toEqual([0, '']);
      expect(result).toMatchObject({ version, from: '1.7.27' });
      expect(bench.hookCalls).toEqual([`containerd ${version}`]);
      expect((await bench.bash(['-c', 'sudo crictl version'], '').ended).stdout).toContain(`v${version}`);
    },
  );

  test('a dry run changes nothing', async () => {
    const { exit, stdout } = await containerd('1.7.28', '--dry-run');
    expect(exit).toBe(0);
    expect(stdout).toContain('WOULD: install containerd.io=1.7.28-1 and restart containerd');
    expect(bench.stateOf('dpkg/containerd.io')).toBe('1.7.27-1');
  });
});

describe('bad input of update_containerd.sh', () => {
  shared();

  test.each([
    [['--version', '1.7.24'], '--version: 1.7.24 is older than containerd 1.7.27 on this node'],
    [['--version', 'v1.7.28'], '--version: "v1.7.28" is not allowed'],
    [[], '--version: expected'],
  ])('refuses %j', async (args, message) => {
    const { exit, lastError } = await bench.run('update_containerd.sh', ...args);
    expect(lastError).toContain(`error: ${message}`);
    expect(exit).toBe(2);
  });
});

const sources = import.meta.dirname;

describe('whether the network is away', () => {
  const isAway = (said: string) => {
    const script = 'source lib/common.sh; source lib/packages.sh; sleep() { :; }; network_is_away "$1" 60';
    return spawnSync('bash', ['-c', script, '-', said], { cwd: sources }).status === 0;
  };
  const failed = (why: string) =>
    `W: Failed to fetch https://pkgs.k8s.io/core:/stable:/v1.34/deb/InRelease  ${why}`;

  test.each([
    'Could not connect to pkgs.k8s.io:443 (192.0.2.1). - connect (113: No route to host)',
    'Could not connect to pkgs.k8s.io:443 (192.0.2.1), connection timed out',
    'Cannot initiate the connection to pkgs.k8s.io:443 (192.0.2.1). - connect (101: Network is unreachable)',
    'Unable to connect to pkgs.k8s.io:443:',
    "Could not resolve 'pkgs.k8s.io'",
    "Temporary failure resolving 'pkgs.k8s.io'",
    "System error resolving 'pkgs.k8s.io:443'",
    "Something wicked happened resolving 'pkgs.k8s.io:443' (-5 - No address associated with hostname)",
    'Connection timed out [IP: 192.0.2.1 443]',
    'Connection failed [IP: 192.0.2.1 443]',
  ])('it is: %s', (why) => expect(isAway(failed(why))).toBe(true));

  test.each([
    '404  Not Found [IP: 192.0.2.1 443]',
    '503  Service Unavailable [IP: 192.0.2.1 443]',
    'Hash Sum mismatch',
    'SSL connection failed: error:0A000086:SSL routines::certificate verify failed',
    "Clearsigned file isn't valid, got 'NOSPLIT' (does the network require authentication?)",
  ])('it is not: %s', (why) => expect(isAway(failed(why))).toBe(false));
});
