import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { UserRef } from './auth/tokens.ts';
import { LabApi, type LabApiOptions } from './lab-api.ts';
import type { Status } from './status.ts';
import type { Change } from './store.ts';
import type { KubeObject, Pod, Stored } from './types.ts';

/** A lab API in a temporary directory, for the tests beside this file. */
export interface TestLab {
  readonly api: LabApi;
  /** The temporary directory. */
  readonly dir: string;
  /** Stops the lab and removes the directory. */
  readonly stop: () => Promise<void>;
}

/** Starts a lab with short timings. The image `lab/sh` runs its arguments with bash. */
export async function startTestLab(options: Partial<LabApiOptions> = {}): Promise<TestLab> {
  const dir = await mkdtemp(join(tmpdir(), 'lab-api-'));
  const timings = { podStart: 20, podStop: 20, podRun: 50, jobBackoff: 50, ...options.timings };
  const entrypoints = { 'lab/sh': ['/bin/bash', '-c'] };
  const api = await LabApi.start({ dir, version: '1.34.2', entrypoints, ...options, timings });
  const stop = async () => {
    await api.stop();
    await rm(dir, { recursive: true, force: true });
  };
  return { api, dir, stop };
}

/** Sends one request. Resolves with the decoded body for every status code. */
export function call(
  api: LabApi,
  method: string,
  path: string,
  body?: unknown,
  user: UserRef = 'admin',
): Promise<Status> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      Authorization: `Bearer ${api.token(user)}`,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(text),
    };
    const sent = request(`${api.url}${path}`, { method, headers, ca: api.caPem }, (response) => {
      let answer = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        answer += chunk;
      });
      response.on('end', () => resolve(JSON.parse(answer)));
    });
    sent.on('error', reject).end(text);
  });
}

export const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
if (!hasKubectl) console.log('kubectl is not on this machine: its contract tests are skipped');

/** How kubectl ended. */
export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs kubectl until it exits, 20 seconds at most. Never rejects. */
export function kubectl(kubeconfig: string, ...args: string[]): Promise<Output> {
  return new Promise((resolve) => {
    const env = { ...process.env, KUBECONFIG: kubeconfig, HOME: join(kubeconfig, '..') };
    execFile('kubectl', args, { env, timeout: 20_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, stdout, stderr });
    });
  });
}

/** Runs kubectl until its output contains `text`, then stops it. */
export function kubectlUntil(kubeconfig: string, text: string, ...args: string[]) {
  const env = { ...process.env, KUBECONFIG: kubeconfig, HOME: join(kubeconfig, '..') };
  const child = spawn('kubectl', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let seen = '';
  const waiting: { text: string; resolve: (output: string) => void }[] = [];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    seen += chunk;
    for (const w of waiting) if (seen.includes(w.text)) w.resolve(seen);
  });
  const until = (wanted: string) =>
    new Promise<string>((resolve) => {
      if (seen.includes(wanted)) resolve(seen);
      else waiting.push({ text: wanted, resolve });
    });
  return { until, done: until(text).finally(() => child.kill()) };
}

/** Resolves with the object once it satisfies `test`, now or after a change. Rejects after `timeout` ms. */
export function eventually(
  { store }: LabApi,
  resource: string,
  name: string,
  test: (object: Stored, type: Change['type'] | 'NOW') => boolean,
  timeout = 10_000,
): Promise<Stored> {
  return new Promise((resolve, reject) => {
    const now = (store.list(resource) as Stored[]).find((o) => o.metadata.name === name);
    if (now !== undefined && test(now, 'NOW')) {
      resolve(now);
      return;
    }
    const timer = setTimeout(() => {
      stop();
      const last = (store.list(resource) as Stored[]).find((o) => o.metadata.name === name);
      reject(new Error(`timed out waiting for ${resource}/${name}: ${JSON.stringify(last?.status)}`));
    }, timeout);
    const stop = store.subscribe(({ resource: changed, object, type }) => {
      if (changed !== resource || object.metadata.name !== name || !test(object, type)) return;
      clearTimeout(timer);
      stop();
      resolve(object);
    });
  });
}

/** Calls `find` now and after every change, and resolves with the first result that is not undefined. */
export function until<T>({ store }: LabApi, find: () => T | undefined): Promise<T> {
  return new Promise((resolve) => {
    const check = () => {
      const found = find();
      if (found === undefined) return;
      stop();
      resolve(found);
    };
    const stop = store.subscribe(check);
    check();
  });
}

/** Resolves when the container has logged `text`, for example once its signal handlers are installed. */
export function untilLogged({ runner }: LabApi, pod: Pod, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const log = runner.log(pod, 'main');
    if (log === undefined) {
      reject(new Error(`${pod.metadata.name} has no log`));
      return;
    }
    if (log.text().includes(text)) resolve();
    log.follow((line) => {
      if (line?.text.includes(text) === true) resolve();
    });
  });
}

/** A Ready node that pods can be scheduled to. */
export const testNode = (name: string, extra: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  spec: { ...extra },
  status: {
    conditions: [{ type: 'Ready', status: 'True' }],
    nodeInfo: { kubeletVersion: 'v1.34.2' },
    addresses: [{ type: 'InternalIP', address: '127.0.1.1' }],
  },
});

export const namespace = (name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name },
});

/** A Job whose only container runs `script` with bash. */
export function testJob(name: string, script: string, spec: object = {}, podSpec: object = {}): KubeObject {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: 'jobs' },
    spec: {
      ...spec,
      template: {
        spec: {
          restartPolicy: 'Never',
          containers: [{ name: 'main', image: 'lab/sh:1', args: [script] }],
          ...podSpec,
        },
      },
    },
  };
}
