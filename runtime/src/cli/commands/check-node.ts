import { randomUUID } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import pRetry from 'p-retry';
import { UpgradeError } from '../../errors.ts';

/** Options of `check-node`. */
export interface CheckNodeOptions {
  /** Where the ephemeral volume is mounted. */
  readonly directory: string;
  /** File with the CA certificate of the API server, PEM. */
  readonly caFile: string;
}

/** A name that every cluster's DNS has, in each search path. kubeadm's certificates have it, too. */
const serverName = 'kubernetes.default.svc';

/** Time limit of one attempt, milliseconds. */
const attemptLimit = 5_000;

type Check = (options: CheckNodeOptions, env: NodeJS.ProcessEnv) => Promise<void>;

/** What every pod needs of its node, and what it means that it is missing. */
const checks: readonly [missing: string, check: Check][] = [
  ['cannot write to an ephemeral volume', writesVolume],
  [`cannot resolve ${serverName}`, async () => void (await lookup(serverName))],
  ['cannot reach the API server through its Service', reachesServer],
];

/**
 * `k8s-upgrade check-node`: tries, from within a pod, what every pod needs of its node. Each check is tried
 * a few times, as the network of a node that has just started may be late; then the Job starts another pod.
 *
 * @throws UpgradeError (failed) naming what does not work.
 */
export async function checkNodeCommand(options: CheckNodeOptions): Promise<void> {
  const failures = await Promise.all(
    checks.map(async ([missing, check]) => {
      try {
        await pRetry(() => check(options, process.env), { retries: 3, minTimeout: 500 });
        return undefined;
      } catch (error) {
        return `${missing}: ${(error as Error).message}`;
      }
    }),
  );
  const found = failures.filter((failure) => failure !== undefined);
  if (found.length > 0) throw new UpgradeError('failed', found.join('; '));
}

async function writesVolume({ directory }: CheckNodeOptions): Promise<void> {
  const file = join(directory, 'check-node');
  const text = randomUUID();
  await writeFile(file, text, { flush: true });
  if ((await readFile(file, 'utf8')) !== text) throw new Error(`${file} does not hold what was written`);
  await rm(file);
}

/** Any answer but an error of the server will do: without a token it may be 401. */
async function reachesServer({ caFile }: CheckNodeOptions, env: NodeJS.ProcessEnv): Promise<void> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  const sent = request({
    ...{ host, port, servername: serverName, path: '/version', ca: await readFile(caFile) },
    agent: false,
    signal: AbortSignal.timeout(attemptLimit),
  }).end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  answer.resume();
  const { statusCode = 0 } = answer;
  if (statusCode >= 500) throw new Error(`${host}:${port} answers ${statusCode}`);
}
