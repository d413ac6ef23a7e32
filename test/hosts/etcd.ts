import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { pki } from './etcd-pki.ts';
import type { Host } from './host.ts';

/** One key of etcd, as in etcd's JSON: key and value in base64. */
export interface EtcdKey {
  readonly key: string;
  readonly value: string;
  readonly create_revision: number;
  readonly mod_revision: number;
  readonly version: number;
}

interface Range {
  readonly header: { readonly revision: number };
  readonly kvs?: readonly EtcdKey[];
}

/** Access to a host's etcd, with the client certificate of kubeadm's health check. */
export class Etcd {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  /** Resolves when etcd is healthy. @throws Error after 30 seconds */
  async ready(port = 2379): Promise<void> {
    for (const deadline = Date.now() + 30_000; ; await sleep(100)) {
      try {
        await this.#ctl(port, 'endpoint', 'health');
        return;
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
  }

  /** Writes `count` keys as an API server would: some are written twice, some deleted again. */
  async fill(count: number): Promise<void> {
    const keys = Array.from({ length: count }, (_, n) => `/registry/configmaps/default/c${n}`);
    const put = (key: string) => `put ${key} "${randomBytes(450).toString('base64')}"`;
    await this.#transact(keys.map(put));
    await this.#transact(keys.filter((_, n) => n % 7 === 0).map(put));
    await this.#transact(keys.filter((_, n) => n % 11 === 3).map((key) => `del ${key}`));
  }

  /** Runs operations in transactions of 100; etcd allows 128. */
  async #transact(operations: readonly string[]): Promise<void> {
    for (let n = 0; n < operations.length; n += 100) {
      this.#host.write('/root/transaction', `\n${operations.slice(n, n + 100).join('\n')}\n\n\n`);
      const command = `chroot /var/lib/containerd/etcd etcdctl ${flags(2379).join(' ')} txn </root/transaction`;
      await this.#host.exec('bash', '-euc', command);
    }
  }

  /** All keys in order, and the current revision. */
  async keys(port = 2379): Promise<{ revision: number; keys: readonly EtcdKey[] }> {
    const text = await this.#ctl(port, 'get', '', '--prefix', '-w', 'json');
    const { header, kvs = [] } = JSON.parse(text) as Range;
    return { revision: header.revision, keys: kvs };
  }

  /**
   * Restores a snapshot on the host into a second etcd beside the running one, and returns its contents. The
   * second etcd is stopped again.
   */
  async restored(snapshot: string): Promise<{ revision: number; keys: readonly EtcdKey[] }> {
    const { name } = this.#host;
    const container = '/var/lib/containerd/etcd';
    await this.#host.exec('cp', snapshot, `${container}/snapshot.db`);
    const peers = [`--name=${name}`, `--initial-cluster=${name}=https://127.0.0.1:12380`];
    const restore = ['snapshot', 'restore', '/snapshot.db', '--data-dir=/restored', ...peers];
    const advertised = '--initial-advertise-peer-urls=https://127.0.0.1:12380';
    await this.#host.exec('chroot', container, 'etcdctl', ...restore, advertised);
    const etcd = this.#host.spawn('chroot', container, 'etcd', '--data-dir=/restored', ...peers, ...serving);
    try {
      await this.ready(12379);
      return await this.keys(12379);
    } finally {
      // pkill fails if that etcd has exited by itself; the error being thrown says more.
      await this.#host.exec('pkill', '-f', 'data-dir=/restored').catch(() => undefined);
      etcd.kill();
    }
  }

  #ctl(port: number, ...words: string[]): Promise<string> {
    return this.#host.exec('chroot', '/var/lib/containerd/etcd', 'etcdctl', ...flags(port), ...words);
  }
}

const flags = (port: number): string[] => [
  `--endpoints=https://127.0.0.1:${port}`,
  `--cacert=${pki}/ca.crt`,
  `--cert=${pki}/healthcheck-client.crt`,
  `--key=${pki}/healthcheck-client.key`,
];

const serving = [
  '--listen-client-urls=https://127.0.0.1:12379',
  '--advertise-client-urls=https://127.0.0.1:12379',
  '--listen-peer-urls=https://127.0.0.1:12380',
  `--cert-file=${pki}/server.crt`,
  `--key-file=${pki}/server.key`,
  `--trusted-ca-file=${pki}/ca.crt`,
  '--client-cert-auth',
  `--peer-cert-file=${pki}/peer.crt`,
  `--peer-key-file=${pki}/peer.key`,
  `--peer-trusted-ca-file=${pki}/ca.crt`,
];
