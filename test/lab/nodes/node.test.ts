import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ssh2 from 'ssh2';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { assembledScripts } from '../../../runtime/node-scripts.mjs';
import { PackageRepository } from '../services/packages.ts';
import { LabNode, type LabNodeOptions } from './node.ts';
import { processesOf } from './processes.ts';
import { generateKeyPair } from './ssh.ts';

const script = (name: string) => readFileSync(join(assembledScripts, name), 'utf8');
const pair = generateKeyPair();
let directory: string;
let repository: PackageRepository;
let node: LabNode;
const hookCalls: string[] = [];

const startNode = (options: Partial<LabNodeOptions> = {}) =>
  LabNode.start({
    dir: join(directory, options.name ?? 'k8s-master'),
    name: 'k8s-master',
    role: 'master',
    address: '127.0.1.1',
    port: 0,
    release: '1.34.2',
    containerd: '1.7.27',
    authorizedKey: pair.publicKey,
    packages: repository.base,
    hooks: {
      onReboot: (phase) => hookCalls.push(phase),
      onKubeletRestart: (release) => hookCalls.push(release),
    },
    ...options,
  });

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'lab-node-'));
  repository = await new PackageRepository().start();
  repository.publish('1.34.5');
  hookCalls.length = 0;
  node = await startNode();
});

afterEach(async () => {
  await node.stop();
  await repository.stop();
  rmSync(directory, { recursive: true, force: true });
});

interface Answer {
  code: number | null;
  signal?: string;
  stdout: string;
  stderr: string;
}

/** A logged-in client; rejects when it cannot log in. */
function logIn(
  privateKey = pair.privateKey,
  options: Partial<ssh2.ConnectConfig> = {},
): Promise<ssh2.Client> {
  const client = new ssh2.Client();
  return new Promise((resolve, reject) => {
    // A second error may follow when the server closes the connection.
    client.once('ready', () => resolve(client)).on('error', reject);
    client.connect({ host: node.address, port: node.port, username: 'wizard', privateKey, ...options });
  });
}

async function exec(
  client: ssh2.Client,
  command: string,
  input = '',
  options: ssh2.ExecOptions = {},
): Promise<Answer> {
  const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
    client.exec(command, options, (error, stream) => (error ? reject(error) : resolve(stream))),
  );
  const answer: Answer = { code: null, stdout: '', stderr: '' };
  channel.setEncoding('utf8').on('data', (text: string) => {
    answer.stdout += text;
  });
  channel.stderr.setEncoding('utf8').on('data', (text: string) => {
    answer.stderr += text;
  });
  channel.on('exit', (code: number | null, signal?: string) => Object.assign(answer, { code, signal }));
  channel.end(input);
  await new Promise((resolve) => channel.on('close', resolve));
  return answer;
}

async function once(command: string, input = ''): Promise<Answer> {
  const client = await logIn();
  try {
    return await exec(client, command, input);
  } finally {
    client.end();
  }
}

describe('keys', () => {
  test('every generated key can be read', () => {
    for (let n = 0; n < 1000; n++) {
      expect(ssh2.utils.parseKey(generateKeyPair().privateKey)).not.toBeInstanceOf(Error);
    }
  });
});

describe('a lab node over SSH', () => {
  test('carries input, both outputs and the exit code of real bash', async () => {
    const answer = await once('read -r a; echo "out $a $BASH_VERSION"; echo err >&2; exit 42', 'in\n');
    expect(answer).toMatchObject({ code: 42, stderr: 'err\n' });
    expect(answer.stdout).toMatch(/^out in [45]\./);
  });

  test('reports which signal ended a command', async () => {
    expect(await once('kill -TERM $$')).toMatchObject({ signal: 'SIGTERM' });
  });

  test('carries megabytes without loss', async () => {
    const input = 'x'.repeat(3_000_000);
    expect(await once('wc -c; seq 1 300000 | sha256sum', input)).toMatchObject({
      code: 0,
      stdout: `3000000\n${execFileSync('bash', ['-c', 'seq 1 300000 | sha256sum'], { encoding: 'utf8' })}`,
    });
  });

  test('has no programs of the host except the basic ones', async () => {
    const { stdout } = await once(
      'for p in node npm python3 ssh git docker kubectl; do command -v "$p"; done; echo $PATH',
    );
    expect(stdout).toBe(`${node.paths.bin}/kubectl\n${node.paths.bin}\n`);
  });

  test('supports several channels, environment variables, a pty and keepalives', async () => {
    const client = await logIn(pair.privateKey, { keepaliveInterval: 50, keepaliveCountMax: 3 });
    const answers = await Promise.all([
      exec(client, 'sleep 0.5; echo $LC_TEST', '', { env: { LC_TEST: 'yes' } }),
      exec(client, 'echo two', '', { pty: true }),
    ]);
    client.end();
    expect(answers.map(({ stdout }) => stdout)).toEqual(['yes\n', 'two\n']);
  });

  test.each([
    ['another key', generateKeyPair().privateKey, {}],
    ['another user', pair.privateKey, { username: 'root' }],
    ['a password', '', { password: 'wizard', privateKey: undefined }],
  ])('refuses %s', async (_what, key, options) => {
    await expect(logIn(key, options)).rejects.toThrow(/authentication methods failed/);
  });

  test('keeps a channel open while a process has its output open, as sshd does', async () => {
    const started = Date.now();
    await once('sleep 0.3 & echo done');
    expect(Date.now() - started).toBeGreaterThan(280);
  });

  test('records the commands that were executed and the stubs that ran', async () => {
    await once('kubeadm version -o short; apt-cache madison kubeadm');
    expect(node.ssh.executions).toMatchObject([{ command: expect.stringContaining('kubeadm'), exit: 0 }]);
    await expect.poll(() => node.history.filter(({ exit }) => exit === 0)).toHaveLength(2);
    const [first] = node.history;
    expect(first).toMatchObject({ program: 'kubeadm', args: ['version', '-o', 'short'] });
    expect(first?.end ?? 0).toBeGreaterThan(first?.start ?? 0);
  });

  test('serves the real ssh client', async (context) => {
    const ssh = ['/usr/bin/ssh', '/usr/local/bin/ssh'].find((path) => {
      try {
        return execFileSync(path, ['-V'], { stdio: 'pipe' }) !== undefined;
      } catch {
        return false;
      }
    });
    if (ssh === undefined) return context.skip('there is no ssh client on this machine');
    writeFileSync(join(directory, 'key'), pair.privateKey, { mode: 0o600 });
    writeFileSync(join(directory, 'known'), `[${node.address}]:${node.port} ${node.hostKey}\n`);
    const options = [
      '-F',
      'none',
      '-i',
      join(directory, 'key'),
      '-o',
      `UserKnownHostsFile=${directory}/known`,
    ];
    const child = promisify(execFile)(ssh, [
      ...options,
      ...['-o', 'BatchMode=yes', '-o', 'ServerAliveInterval=1', '-p', String(node.port), 'wizard@127.0.1.1'],
      'bash -s -- --role master --release 1.34.5 --dry-run',
    ]);
    child.child.stdin?.end(script('update_k8s.sh'));
    expect((await child).stdout).toContain('result: {"release":"1.34.5"');
  });
});

describe('a lab node with faults', () => {
  const payload = (text: string) =>
    `payload='${Buffer.from(text).toString('base64')}'\n${script('detach.sh')}`;
  const slow = 'echo begin; sleep 2; echo end; exit 4';

  test('keeps a detached script running when a connection is cut; it can be followed from there (F5)', async () => {
    const started = await once('sudo -n bash -s -- start job', payload(slow));
    expect(started.stdout).toBe('result: {"state":"started","offset":0}\n');
    const client = await logIn();
    const cut = exec(client, 'sudo -n bash -s -- follow job 0', script('detach.sh'));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    node.cutConnections();
    expect(await cut).toMatchObject({ code: null, stdout: 'begin\n' });
    const rest = await once('sudo -n bash -s -- follow job 6', script('detach.sh'));
    expect(rest).toMatchObject({ code: 4, stdout: 'end\n' });
    await expect.poll(() => node.scriptRuns).toMatchObject([{ name: 'job', exit: 4 }]);
    const [run] = node.scriptRuns;
    expect((run?.end ?? 0) - (run?.start ?? 0)).toBeGreaterThan(1900);
  });

  test('does not kill a command when a connection is cut; its output is a closed pipe', async () => {
    const client = await logIn();
    const command = `sleep 0.1; : >"$HOME/lived"; echo gone; : >"$HOME/wrote"`;
    const running = exec(client, command);
    await expect.poll(() => processesOf(join(directory, 'k8s-master')).length).toBeGreaterThan(0);
    node.cutConnections();
    await running;
    await expect.poll(() => processesOf(join(directory, 'k8s-master'))).toEqual([]);
    expect(node.read('/home/wizard/lived')).toBe('');
    expect(() => node.read('/home/wizard/wrote')).toThrow();
  });

  test('reboots: kills all processes, empties /run, refuses connections for a while and starts kubelet', async () => {
    await once('sudo -n bash -s -- start job', payload('sleep 30'));
    const rebooting = node.reboot(100);
    expect(processesOf(join(directory, 'k8s-master'))).toEqual([]);
    await expect(logIn()).rejects.toThrow(/ECONNREFUSED/);
    await rebooting;
    expect(hookCalls).toEqual(['down', 'up', '1.34.2']);
    expect((await once('sudo -n bash -s -- follow job 0', script('detach.sh'))).code).toBe(200);
  });

  test('reboots by its own reboot command', async () => {
    const client = await logIn();
    await exec(client, 'sudo -n reboot');
    await expect.poll(() => hookCalls).toEqual(['down', 'up', '1.34.2']);
  });

  test('refuses connections, and accepts them again on the same port', async () => {
    const { port } = node;
    node.ssh.refuse();
    await expect(logIn()).rejects.toThrow(/ECONNREFUSED/);
    await node.ssh.listen();
    expect(node.port).toBe(port);
    expect((await once('echo back')).stdout).toBe('back\n');
  });

  test('adds a latency', async () => {
    node.ssh.latencyMs = 150;
    const started = Date.now();
    expect((await once('echo late')).stdout).toBe('late\n');
    expect(Date.now() - started).toBeGreaterThan(300);
  });

  test('cuts each connection after a given time', async () => {
    // Long enough to log in on a busy machine.
    node.ssh.cutAfterMs = 1500;
    const client = await logIn();
    expect((await exec(client, 'sleep 30')).code).toBeNull();
  });

  test('presents another host key after it was reimaged (F27)', async () => {
    const seen: string[] = [];
    const hostVerifier = (key: Buffer) => seen.push(key.toString('base64')) > 0;
    const before = node.hostKey;
    (await logIn(pair.privateKey, { hostVerifier })).end();
    node.changeHostKey();
    (await logIn(pair.privateKey, { hostVerifier })).end();
    expect(seen.map((key) => `ssh-ed25519 ${key}`)).toEqual([before, node.hostKey]);
    expect(node.hostKey).not.toBe(before);
  });

  test('leaves no process behind when it is stopped', async () => {
    await once('sudo -n bash -s -- start job', payload('sleep 30 & setsid sleep 30 & wait'));
    await node.stop();
    expect(processesOf(join(directory, 'k8s-master'))).toEqual([]);
    const refused = new Promise((resolve) => connect(node.port, node.address).on('error', resolve));
    expect(await refused).toMatchObject({ code: 'ECONNREFUSED' });
  });
});

describe('the stubs refuse what the real programs refuse', () => {
  test.each([
    [
      'sudo apt-get install -y kubeadm=1.34.5-1.1',
      100,
      'E: Held packages were changed and -y was used without --allow-change-held-packages.',
    ],
    ['sudo apt-get install -y kubeadm=9.9.9-1.1', 100, "E: Version '9.9.9-1.1' for 'kubeadm' was not found"],
    ['apt-get install -y kubeadm=1.34.5-1.1', 100, 'are you root?'],
    ['sudo kubeadm upgrade apply v1.34.5 --yes', 1, 'is higher than the kubeadm version "v1.34.2"'],
    ['sudo kubeadm upgrade apply v1.36.0 --yes', 1, 'can upgrade only 1 minor version at a time'],
    ['sudo kubeadm upgrade apply v1.33.1 --yes', 1, 'can only be used to upgrade to Kubernetes version 1.34'],
    ['kubeadm upgrade apply v1.34.2 --yes', 1, 'open /etc/kubernetes/admin.conf: permission denied'],
    ['sudo kubeadm upgrade node --skip-phases=upload-config', 1, 'invalid phase name: upload-config'],
    ['systemctl restart kubelet', 1, 'Interactive authentication required'],
    ['sudo crictl exec 123 etcdctl snapshot save /x', 1, 'not found'],
    [
      'sudo crictl exec $(sudo crictl ps --name "^etcd$" -q) etcdctl snapshot save /var/lib/etcd/x',
      1,
      'context deadline exceeded',
    ],
    ['curl -fsSL https://example.com/', 6, 'Could not resolve host'],
    ['echo nonsense | gpg --dearmor', 2, 'no valid OpenPGP data'],
  ])('%s', async (command, code, message) => {
    await once('sudo apt-get update');
    const answer = await once(command);
    expect(answer.stderr).toContain(message);
    expect(answer.code).toBe(code);
  });

  test.each([
    ['-q', ['9b1d5e7f2c40', '3f2a9c0d1e77']],
    ["--name '^etcd$' -q", ['3f2a9c0d1e77']],
    ['--state Running --label io.kubernetes.container.name=etcd -q', ['3f2a9c0d1e77']],
    [
      '--label io.kubernetes.container.name=etcd --label io.kubernetes.pod.namespace=kube-system --label io.kubernetes.pod.name=etcd-k8s-master -q',
      ['3f2a9c0d1e77'],
    ],
    ['--label io.kubernetes.container.name=etcd --label io.kubernetes.pod.name=etcd-other -q', []],
    ['--label io.kubernetes.container.name=none -q', []],
    ['--state Exited -q', []],
  ])('crictl ps %s lists the containers that match its filters', async (options, ids) => {
    const { stdout } = await once(`sudo crictl ps ${options}`);
    expect(stdout.match(/^[0-9a-f]{12}(?=[0-9a-f]{52}$)/gm) ?? []).toEqual(ids);
  });

  test('a downgrade that is not allowed; a change of held packages when it is allowed succeeds', async () => {
    repository.publish('1.34.1');
    const install = 'sudo apt-get update >/dev/null; sudo apt-get install -y --allow-change-held-packages';
    expect(await once(`${install} kubeadm=1.34.5-1.1`)).toMatchObject({ code: 0 });
    const down = await once(`${install} kubeadm=1.34.1-1.1`);
    expect(down).toMatchObject({ code: 100, stderr: expect.stringContaining('E: Packages were downgraded') });
    expect(await once(`${install} --allow-downgrades kubeadm=1.34.1-1.1`)).toMatchObject({ code: 0 });
    expect((await once('apt-cache policy kubeadm')).stdout).toContain(
      'Installed: 1.34.1-1.1\n  Candidate: 1.34.5-1.1',
    );
  });
});
