import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import type { TestLab } from '../../../test/lab/api/testing.ts';
import { generateKeyPair } from '../../../test/lab/nodes/ssh.ts';
import { connect, startLab } from '../testing/api.ts';
import { testSettings } from '../testing/cluster.ts';
import { rejection } from '../testing/files.ts';
import { pinned, shellOptions, startNode } from '../testing/node.ts';
import { fingerprint, loadHostKeys } from './host-keys.ts';
import { SshSession } from './session.ts';

const never = new AbortController().signal;

describe('a session', () => {
  it('runs a command as root with its input, and reports each line, its bytes and the exit code', async () => {
    const { node, target } = await startNode();
    const session = await SshSession.open(target, shellOptions(node).options, never);
    const script = `printf 'a\\n\\n\\xff\\xfe\\nlast'; sleep 0.1; echo "uid $(id -u)" >&2; exit 7`;
    const lines: [string, number][] = [];
    const result = await session.run(
      ['bash', '-s'],
      script,
      (line, bytes) => lines.push([line, bytes]),
      never,
    );
    session.close();
    expect(result).toEqual({ code: 7 });
    expect(lines.filter(([, bytes]) => bytes > 0)).toEqual([
      ['a', 2],
      ['', 1],
      ['\ufffd\ufffd', 3],
      ['last', 4],
    ]);
    expect(lines.filter(([, bytes]) => bytes === 0)).toEqual([['uid 0', 0]]);
    expect(node.ssh.executions.map((one) => one.command)).toEqual(['sudo -n bash -s']);
  });

  test.each(['a b', 'a;b', '$(id)', '`id`', "it's", 'a\nb', '*', 'a>b', ''])(
    'does not send %j to a shell',
    async (word) => {
      const { node, target } = await startNode();
      const session = await SshSession.open(target, shellOptions(node).options, never);
      const error = await rejection(session.run(['echo', word], '', () => {}, never));
      session.close();
      expect(error.message).toContain('refusing to send');
      expect(node.ssh.executions).toEqual([]);
    },
  );

  it('reads a short command whose output, exit status and end arrive together', async () => {
    const { node, target } = await startNode();
    const { port, stop } = await inOnePiece(node.port);
    const session = await SshSession.open(target, { ...shellOptions(node).options, port }, never);
    const lines: string[] = [];
    const result = await session.run(['kubelet', '--version'], '', (line) => lines.push(line), never);
    session.close();
    stop();
    expect({ ...result, lines }).toEqual({ code: 0, lines: ['Kubernetes v1.34.2'] });
  });

  it('that is lost during a command is a ConnectionError, not an exit code', async () => {
    const { node, target } = await startNode();
    const session = await SshSession.open(target, shellOptions(node).options, never);
    const onLine = () => node.cutConnections();
    const error = await rejection(session.run(['bash', '-s'], 'echo started; sleep 5', onLine, never));
    expect(error).toMatchObject({ name: 'ConnectionError', message: expect.stringContaining('k8s-node1') });
  });

  it('rejects with the reason of its signal when aborted', async () => {
    const { node, target } = await startNode();
    const session = await SshSession.open(target, shellOptions(node).options, never);
    const stop = new AbortController();
    const onLine = () => stop.abort(new Error('enough'));
    const error = await rejection(session.run(['bash', '-s'], 'echo started; sleep 5', onLine, stop.signal));
    expect(error.message).toBe('enough');
  });
});

describe('connecting', () => {
  it('to a port where nothing listens fails with the name of the node', async () => {
    const { node, target } = await startNode();
    node.ssh.refuse();
    expect(await rejection(SshSession.open(target, shellOptions(node).options, never))).toMatchObject({
      name: 'ConnectionError',
      message: expect.stringMatching(/^SSH to k8s-node1 \(127\.0\.0\.1\): .*ECONNREFUSED/),
    });
  });

  it('to a silent server ends at the time-out, and at once when aborted', async () => {
    const { node, target } = await startNode();
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const open = (connectTimeout: number, signal = never) =>
      rejection(SshSession.open(target, { ...shellOptions(node).options, port, connectTimeout }, signal));
    expect(await open(200)).toMatchObject({ name: 'ConnectionError' });
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('enough')), 100);
    const started = performance.now();
    expect((await open(10_000, stop.signal)).message).toBe('enough');
    expect(performance.now() - started).toBeLessThan(2_000);
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  it('with a key that is not accepted is blocked, with a hint', async () => {
    const { node, target } = await startNode();
    const privateKey = Buffer.from(generateKeyPair().privateKey);
    const error = await rejection(SshSession.open(target, shellOptions(node, { privateKey }).options, never));
    expect(error).toMatchObject({
      code: 'blocked',
      message: 'SSH to k8s-node1 (127.0.0.1): the key is not accepted for wizard',
      hint: expect.stringContaining('~wizard/.ssh/authorized_keys on k8s-node1'),
    });
    expect(`${error.stack}${error.hint}`).not.toContain('PRIVATE KEY');
  });
});

describe('the host key (F27)', () => {
  let lab: TestLab;
  beforeAll(async () => {
    lab = await startLab();
  });
  afterAll(() => lab.stop());

  const keys = (policy: 'pinned' | 'accept-new', known: Record<string, string> = {}, readOnly = false) =>
    loadHostKeys(connect(lab), testSettings({ ssh: { hostKeys: { policy, known } } }), readOnly);
  const remembered = () => lab.api.store.get('configmaps', 'k8s-upgrade', 'k8s-upgrade-known-hosts')?.data;

  it('that is pinned is accepted, whatever its comment', async () => {
    const { node, target } = await startNode();
    const hostKeys = pinned({ [node.name]: `${node.hostKey} root@k8s-node1` });
    (await SshSession.open(target, shellOptions(node, { hostKeys }).options, never)).close();
  });

  it('that has changed is blocked with both fingerprints, before anything is sent', async () => {
    const { node, target } = await startNode();
    const before = node.hostKey;
    node.changeHostKey();
    const hostKeys = await keys('accept-new', { [node.name]: before });
    const error = await rejection(SshSession.open(target, shellOptions(node, { hostKeys }).options, never));
    expect(error).toMatchObject({ code: 'blocked', hint: expect.stringContaining('ssh.hostKeys.known') });
    expect(error.message).toContain(`shows the host key ${fingerprint(node.hostKey)}`);
    expect(error.message).toContain(`the known one is ${fingerprint(before)}`);
    expect(node.ssh.executions).toEqual([]);
    expect(remembered()).toBeUndefined();
  });

  it('that is unknown is blocked under "pinned", with the setting to write', async () => {
    const { node, target } = await startNode();
    const hostKeys = await keys('pinned');
    const error = await rejection(SshSession.open(target, shellOptions(node, { hostKeys }).options, never));
    expect(error).toMatchObject({
      code: 'blocked',
      message: `node k8s-node1 shows the host key ${fingerprint(node.hostKey)}, but none is pinned for it`,
      hint: expect.stringContaining(`ssh.hostKeys.known.k8s-node1: "${node.hostKey}"`),
    });
    expect(remembered()).toBeUndefined();
  });

  it('that is new is remembered in the cluster under "accept-new", and no other is accepted later', async () => {
    const { node, target } = await startNode();
    const open = async (readOnly: boolean) => {
      const hostKeys = await keys('accept-new', {}, readOnly);
      (await SshSession.open(target, shellOptions(node, { hostKeys }).options, never)).close();
    };
    await open(true);
    expect(remembered()).toBeUndefined();
    await open(false);
    expect(remembered()).toEqual({ 'k8s-node1': node.hostKey });
    lab.api.store.modify('configmaps', 'k8s-upgrade', 'k8s-upgrade-known-hosts', (map) => {
      map.data = { ...map.data, 'k8s-node2': 'ssh-ed25519 AAAA' };
    });
    await open(false);
    node.changeHostKey();
    expect(await rejection(open(false))).toMatchObject({ code: 'blocked' });
    expect(Object.keys(remembered() ?? {})).toEqual(['k8s-node1', 'k8s-node2']);
  });
});

/** A proxy that delivers everything a node sends within 200 ms in one piece, as when the reader is busy. */
async function inOnePiece(to: number): Promise<{ port: number; stop: () => void }> {
  const sockets: Socket[] = [];
  const proxy = createServer((near) => {
    const far = dial(to, '127.0.0.1');
    sockets.push(near, far);
    let pieces: Buffer[] = [];
    far.on('data', (piece) => {
      if (pieces.push(piece) > 1) return;
      setTimeout(() => {
        near.write(Buffer.concat(pieces));
        pieces = [];
      }, 200);
    });
    near.pipe(far);
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const stop = () => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  };
  return { port: (proxy.address() as { port: number }).port, stop };
}
