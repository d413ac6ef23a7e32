import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { now, type Store } from '../store.ts';
import type { Container, Pod } from '../types.ts';
import { ContainerLog } from './log.ts';
import { podField, realPaths, writeVolumes } from './volumes.ts';

interface Credentials {
  readonly token: string;
  readonly kubeconfig: string;
}

/** Options of {@link PodRunner}. */
export interface RunnerOptions {
  /** Files of a pod are in `pods/<uid>/` below it. */
  readonly dir: string;
  /** Where pods, ConfigMaps and Secrets are read. */
  readonly store: Pick<Store, 'get'>;
  /** URL of the API server, at which pods find it. */
  readonly url: () => string;
  /** CA certificate for the volume of the service account, PEM. */
  readonly caPem: string;
  /** Image prefix → entrypoint. Only pods with such an image run as processes. */
  readonly entrypoints: Readonly<Record<string, readonly string[]>>;
  /** Environment of every process; the container's own variables take precedence. */
  readonly extraEnv: Readonly<Record<string, string>>;
  /** Creates a token and a kubeconfig for the pod's service account. */
  readonly credentials: (namespace: string, serviceAccount: string) => Credentials | Promise<Credentials>;
  /** Makes a token invalid. */
  readonly revoke: (token: string) => void;
}

/** How a container ended. */
export interface Exit {
  /** Exit code of the container: 128 + n after signal n. */
  readonly code: number;
  readonly reason: 'Completed' | 'Error' | 'OOMKilled' | 'StartError';
  /** RFC 3339. */
  readonly startedAt: string;
  /** The termination message: the end of the log of a container that failed, where that is asked for. */
  readonly message?: string;
}

interface Running {
  readonly child: ChildProcess;
  oom: boolean;
}

const clusterDns = fileURLToPath(new URL('cluster-dns.cjs', import.meta.url));

const signals = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
} as const;

/** Runs containers as processes on this machine. There is no mount namespace: paths are rewritten instead. */
export class PodRunner {
  /** Nodes whose pods cannot resolve the cluster's names. */
  readonly withoutDns = new Set<string>();
  readonly #options: RunnerOptions;
  readonly #running = new Map<string, Running>();
  readonly #logs = new Map<string, ContainerLog[]>();
  readonly #tokens = new Map<string, string>();
  #stopped = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
    process.once('exit', this.#killAll);
  }

  /** Whether the pod's containers run as processes. */
  runs(pod: Pod): boolean {
    return pod.spec?.containers.some((c) => this.#entrypoint(c.image) !== undefined) === true;
  }

  /**
   * Starts one container and resolves when it has ended. `onStart` is called once the process runs.
   * @throws MissingVolumeSource when a mounted ConfigMap or Secret does not exist
   */
  async run(pod: Pod, container: Container, onStart: () => void): Promise<Exit> {
    const directory = join(this.#options.dir, 'pods', pod.metadata.uid);
    const log = new ContainerLog();
    const { args, env } = await this.#prepare(pod, container, directory);
    if (!this.#isWanted(pod)) return { code: 137, reason: 'Error', startedAt: now() };
    const attempt = this.#addLog(pod, container.name, log);
    const file = createWriteStream(join(directory, 'logs', `${container.name}-${attempt}.log`), {
      mode: 0o600,
    });
    const startedAt = now();
    const [command = '', ...rest] = args;
    const child = spawn(command, rest, {
      env,
      cwd: directory,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const running = { child, oom: false };
    this.#running.set(key(pod, container.name), running);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        log.append(text);
        file.write(text);
      });
    }
    child.once('spawn', onStart);
    // Child processes that are left are killed with the container, as in a PID namespace.
    child.once('exit', () => killGroup(child, 'SIGKILL'));
    const [code, failure] = await ended(child);
    this.#running.delete(key(pod, container.name));
    if (failure !== undefined) log.append(`${failure}\n`);
    log.end();
    file.end();
    const reason =
      failure !== undefined ? 'StartError' : running.oom ? 'OOMKilled' : code === 0 ? 'Completed' : 'Error';
    const saysWhy = container.terminationMessagePolicy === 'FallbackToLogsOnError' && code !== 0;
    return { code, reason, startedAt, ...(saysWhy && { message: log.text().slice(-2048) }) };
  }

  /**
   * Signals the pod's processes; with `oom` the exit is reported as OOMKilled. Returns false when none runs.
   */
  kill(podName: string, signal: keyof typeof signals = 'SIGKILL', options: { oom?: boolean } = {}): boolean {
    const found = [...this.#running].filter(([k]) => k.split('/')[1] === podName);
    for (const [, running] of found) {
      running.oom = options.oom === true;
      killGroup(running.child, signal);
    }
    return found.length > 0;
  }

  /** Process ID → name of its pod. */
  processes(): Map<number, string> {
    const named = [...this.#running].map(
      ([k, { child }]) => [child.pid ?? 0, k.split('/')[1] ?? ''] as const,
    );
    return new Map(named);
  }

  /** The log of the container's current run, or of its previous one. */
  log(pod: Pod, container: string, previous = false): ContainerLog | undefined {
    return this.#logs.get(key(pod, container))?.at(previous ? -2 : -1);
  }

  /** Revokes the token of a removed pod and deletes its logs and volumes. May be called twice. */
  async forget(pod: Pod): Promise<void> {
    const token = this.#tokens.get(pod.metadata.uid);
    if (token !== undefined) this.#options.revoke(token);
    this.#tokens.delete(pod.metadata.uid);
    for (const { name } of pod.spec?.containers ?? []) this.#logs.delete(key(pod, name));
    await rm(join(this.#options.dir, 'pods', pod.metadata.uid, 'volumes'), { recursive: true, force: true });
  }

  /** Kills all processes and waits until they have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    process.removeListener('exit', this.#killAll);
    const ends = [...this.#running.values()].map(({ child }) => ended(child));
    this.#killAll();
    await Promise.all(ends);
  }

  readonly #killAll = (): void => {
    for (const { child } of this.#running.values()) killGroup(child, 'SIGKILL');
  };

  /** False when the pod was removed or the lab stopped while the volumes were written. */
  #isWanted({ metadata: { namespace, name, uid } }: Pod): boolean {
    const current = this.#options.store.get('pods', namespace, name);
    return (
      !this.#stopped && current?.metadata.uid === uid && current.metadata.deletionTimestamp === undefined
    );
  }

  #entrypoint(image: string | undefined): readonly string[] | undefined {
    const prefix = Object.keys(this.#options.entrypoints).find((p) => image?.startsWith(p) === true);
    return prefix === undefined ? undefined : this.#options.entrypoints[prefix];
  }

  async #prepare(pod: Pod, container: Container, directory: string) {
    await mkdir(join(directory, 'logs'), { recursive: true, mode: 0o700 });
    const { namespace = '' } = pod.metadata;
    const account = await this.#options.credentials(namespace, pod.spec?.serviceAccountName ?? 'default');
    this.#replaceToken(pod, account.token);
    const { store, caPem } = this.#options;
    const mounts = await writeVolumes(
      { store, pod, caPem, token: account.token },
      join(directory, 'volumes'),
      container.name,
    );
    const kubeconfig = join(directory, 'kubeconfig');
    await writeFile(kubeconfig, account.kubeconfig, { mode: 0o600 });
    const own = containerEnv(store, pod, container);
    const { hostname, port } = new URL(this.#options.url());
    const env = {
      PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
      HOME: directory,
      HOSTNAME: pod.metadata.name,
      KUBECONFIG: kubeconfig,
      // The kubelet sets these in every pod.
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
      NODE_OPTIONS: `--require=${clusterDns}`,
      LAB_DNS: this.withoutDns.has(pod.spec?.nodeName ?? '') ? 'down' : 'up',
      ...this.#options.extraEnv,
      ...Object.fromEntries(Object.entries(own).map(([k, v]) => [k, realPaths(v, mounts)])),
    };
    const command = container.command ?? this.#entrypoint(container.image) ?? [];
    const args = [...command, ...(container.args ?? [])].map((a) => realPaths(expand(a, own), mounts));
    return { args, env };
  }

  #replaceToken(pod: Pod, token: string): void {
    const old = this.#tokens.get(pod.metadata.uid);
    if (old !== undefined) this.#options.revoke(old);
    this.#tokens.set(pod.metadata.uid, token);
  }

  #addLog(pod: Pod, container: string, log: ContainerLog): number {
    const logs = this.#logs.get(key(pod, container)) ?? [];
    logs.push(log);
    this.#logs.set(key(pod, container), logs);
    return logs.length - 1;
  }
}

const key = (pod: Pod, container: string): string => `${pod.metadata.uid}/${pod.metadata.name}/${container}`;

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Already gone.
  }
}

function ended(child: ChildProcess): Promise<[number, string | undefined]> {
  if (child.exitCode !== null) return Promise.resolve([child.exitCode, undefined]);
  return new Promise((resolve) => {
    child.once('error', (error) => resolve([128, error.message]));
    child.once('close', (code, signal) => {
      resolve([code ?? 128 + (signals[signal as keyof typeof signals] ?? 9), undefined]);
    });
  });
}

/** Expands `$(NAME)` from the container's environment; `$$(NAME)` becomes `$(NAME)`. */
function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$(\$?)\(([A-Za-z_][\w.-]*)\)/g, (whole, escaped: string, name: string) =>
    escaped === '$' ? whole.slice(1) : (env[name] ?? whole),
  );
}

function containerEnv(store: Pick<Store, 'get'>, pod: Pod, container: Container): Record<string, string> {
  const result: Record<string, string> = {};
  for (const { name, value, valueFrom } of container.env ?? []) {
    const namespace = pod.metadata.namespace;
    const secret = valueFrom?.secretKeyRef;
    const config = valueFrom?.configMapKeyRef;
    if (valueFrom?.fieldRef !== undefined) result[name] = podField(pod, valueFrom.fieldRef.fieldPath);
    else if (secret !== undefined) {
      const data = store.get('secrets', namespace, secret.name ?? '')?.data?.[secret.key];
      if (data !== undefined) result[name] = Buffer.from(data, 'base64').toString();
    } else if (config !== undefined) {
      const data = store.get('configmaps', namespace, config.name ?? '')?.data?.[config.key];
      if (data !== undefined) result[name] = data;
    } else result[name] = expand(value ?? '', result);
  }
  return result;
}
