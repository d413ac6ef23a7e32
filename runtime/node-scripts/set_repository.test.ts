import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Bench, benchPerBlock, benchPerTest, scriptText } from '../../test/node-scripts/harness.ts';

let bench: Bench;
const fresh = () =>
  benchPerTest((opened) => {
    bench = opened;
  });
const shared = () =>
  benchPerBlock((opened) => {
    bench = opened;
  });

const list = (name = 'kubeadm') => bench.run('list_packages.sh', '--package', name);
const setRepository = (minor: string, ...args: string[]) =>
  bench.run('set_repository.sh', '--minor', minor, '--url', bench.repository.base, ...args);
const source = '/etc/apt/sources.list.d/kubernetes.list';
const keyring = '/etc/apt/keyrings/kubernetes-apt-keyring.gpg';

/**
 * A proxy that is the only way to `pkgs.lab`. Records the requested URLs. `away` stops it, `back` starts it
 * again at the same address.
 */
async function startProxy() {
  const requested: string[] = [];
  const proxy = createServer(({ url = '' }, response) => {
    requested.push(url);
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
  return { requested, url: `http://127.0.0.1:${port}`, away, back: () => proxy.listen(port, '127.0.0.1') };
}

const configureApt = (...lines: string[]) =>
  bench.node.write('/etc/apt/apt.conf.d/95proxy', lines.map((line) => `${line}\n`).join(''));

describe('set_repository.sh', () => {
  fresh();

  test('fetches the key through the proxy that apt uses', async () => {
    const { requested, url } = await startProxy();
    const base = bench.repository.base.replace(bench.repository.url, 'http://pkgs.lab');
    const run = () => bench.run('set_repository.sh', '--minor', '1.35', '--url', base);
    const unwaiting = scriptText('set_repository.sh').replace(/^network_timeout=.*/m, 'network_timeout=0');
    const first = await bench.bash(['-s', '--', '--minor', '1.35', '--url', base], unwaiting).ended;
    expect(first.lastError).toContain('cannot fetch http://pkgs.lab');
    configureApt('Acquire::http::Proxy "http://127.0.0.1:9";', `Acquire::http::Proxy "${url}";`);
    const { exit, stderr } = await run();
    expect([exit, stderr]).toEqual([0, '']);
    expect(requested).toContain(`${base}v1.35/deb/Release.key`);
  });

  test.each(['curl', 'wget'])(
    'waits with %s until the network is back, and reports the wait once',
    async (client) => {
      if (client === 'wget') rmSync(join(bench.node.paths.bin, 'curl'));
      const { requested, url, away, back } = await startProxy();
      await away();
      configureApt(`Acquire::http::Proxy "${url}";`);
      const running = bench.begin('set_repository.sh', '--minor', '1.35', '--url', bench.repository.base);
      const attempts = () => bench.node.history.filter(({ program }) => program === client).length;
      await expect.poll(attempts, { timeout: 20_000 }).toBe(2);
      back();
      const { exit, stdout, stderr } = await running.ended;
      expect([exit, stderr]).toEqual([0, '']);
      expect(stdout.match(/^==> waiting for the network: .*/gm)).toHaveLength(1);
      expect(requested).toContain(`${bench.repository.base}v1.35/deb/Release.key`);
    },
  );

  test.each(['curl', 'wget'])('does not wait with %s for a server that answers', async (client) => {
    if (client === 'wget') rmSync(join(bench.node.paths.bin, 'curl'));
    bench.repository.faults = { status: 503 };
    const { exit, stdout, lastError } = await setRepository('1.35');
    expect([exit, stdout]).toEqual([1, expect.not.stringContaining('waiting')]);
    expect(lastError).toContain('v1.35/deb/Release.key; check that v1.35 exists there');
  });

  test('fetches the key without the proxy for a host that apt reaches directly', async () => {
    configureApt('Acquire::http::Proxy "http://127.0.0.1:9";', 'Acquire::http::Proxy::127.0.0.1 "DIRECT";');
    expect((await setRepository('1.35')).exit).toBe(0);
  });

  test('rewrites only the Kubernetes line, fetches the key, and refreshes the package list', async () => {
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

  test('rewrites a deb822 file with an embedded key', async () => {
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
    // CRI-O's repository is unreachable, so refreshing the file failed and everything was restored.
    expect(exit).toBe(1);
    expect(lastError).toContain('this node keeps its old repository');
    bench.node.write(sources, stanza(`${bench.repository.base}v1.34/deb/`, embedded));
    expect((await setRepository('1.35')).exit).toBe(0);
    expect(bench.node.read(sources)).toBe(stanza(`${bench.repository.base}v1.35/deb/`, ` ${keyring}`));
  });

  test('changes nothing in a second run', async () => {
    await setRepository('1.35');
    const once = bench.node.read(source);
    const { exit, result } = await setRepository('1.35');
    expect(exit).toBe(0);
    expect(result).toMatchObject({ changed: false, newest: '1.35.1-1.1' });
    expect(bench.node.read(source)).toBe(once);
  });

  test('replaces an expired key (F24)', async () => {
    bench.node.expireRepositoryKey();
    expect((await list()).exit).toBe(1);
    expect((await setRepository('1.34')).exit).toBe(0);
    expect((await list()).exit).toBe(0);
  });

  test('changes nothing when the minor has no repository', async () => {
    writeFileSync(join(bench.node.paths.state, 'dpkg/kubelet'), '1.35.1-1.1');
    const before = [bench.node.read(source), bench.node.read(keyring)];
    const { exit, lastError } = await setRepository('1.36');
    expect(exit).toBe(1);
    expect(lastError).toContain('v1.36/deb/Release.key; check that v1.36 exists there');
    expect([bench.node.read(source), bench.node.read(keyring)]).toEqual(before);
  });

  test('restores source and key when the refresh fails', async () => {
    const before = [bench.node.read(source), bench.node.read(keyring)];
    bench.repository.nonsense = 'empty';
    const { exit, lastError } = await setRepository('1.35');
    expect(exit).toBe(1);
    expect(lastError).toMatch(/^error: apt-get update failed .*; this node keeps its old repository$/);
    expect([bench.node.read(source), bench.node.read(keyring)]).toEqual(before);
  });

  test('refuses a web page instead of a key', async () => {
    bench.repository.nonsense = 'html';
    expect((await setRepository('1.35')).lastError).toContain('Release.key is not a signing key');
  });

  test('changes nothing in a dry run', async () => {
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
