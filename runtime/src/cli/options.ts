import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { parse as parseYaml } from 'yaml';
import { KubernetesClient } from '../cluster/client.ts';
import { loadKubeConfig } from '../cluster/kube-config.ts';
import { type ClusterReader, clusterReader } from '../cluster/reader.ts';
import { InputError } from '../errors.ts';
import { environment } from '../names.ts';
import { createLogger } from '../report/log.ts';
import { parseSettings, type Settings } from '../settings.ts';
import { parseInputs, requestOf, type UpgradeRequest } from '../upgrade/request.ts';
import { type Signals, watchSignals } from './signals.ts';

/** Options that every command takes. */
export interface CommonOptions {
  readonly settings: string;
  readonly kubeconfig?: string;
}

/** What to upgrade to: the JSON or the same as flags. */
export interface RequestOptions {
  readonly inputs?: string;
  readonly targetVersion?: string;
  readonly kind?: string;
  readonly stages?: string;
  readonly dryRun?: boolean;
}

const requestFlags = {
  targetVersion: '--target-version',
  kind: '--kind',
  stages: '--stages',
  dryRun: '--dry-run',
} as const;

/** The flags that were given, each of which says a part of the request. */
function flagsIn(options: RequestOptions): string[] {
  const keys = Object.keys(requestFlags) as (keyof typeof requestFlags)[];
  return keys.filter((key) => options[key] !== undefined).map((key) => requestFlags[key]);
}

/** Whether anything is asked for by name. */
export const isRequested = (options: RequestOptions): boolean =>
  options.inputs !== undefined || flagsIn(options).length > 0;

/** @throws UpgradeError (badInput) naming the field. */
export function readRequest(options: RequestOptions): UpgradeRequest {
  if (options.inputs !== undefined) {
    const [flag] = flagsIn(options);
    // Which of the two was meant is not for a program to guess that changes nodes.
    if (flag !== undefined) throw new InputError(flag, 'beside --inputs', 'either --inputs or flags');
    return parseInputs(options.inputs);
  }
  const { targetVersion, kind, stages, dryRun } = options;
  if (targetVersion === undefined)
    throw new InputError('--target-version', 'nothing', 'a release X.Y.Z, or --inputs');
  if (kind !== 'patch' && kind !== 'minor')
    throw new InputError('--kind', kind ?? 'nothing', 'patch or minor');
  return requestOf({
    target_version: targetVersion,
    kind,
    ...(stages !== undefined && { stages }),
    ...(dryRun && { dry_run: true }),
  });
}

/** @throws InputError when the file cannot be read or parsed, or a setting is wrong. */
export function readSettings(file: string): Settings {
  let document: unknown;
  try {
    document = parseYaml(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new InputError(
      '--settings',
      file,
      `a YAML or JSON file (${(error as Error).message.split('\n')[0]})`,
    );
  }
  return parseSettings(file, document);
}

/** What a command works with. Opened before anything else, so that bad input ends it first. */
export interface Session {
  readonly settings: Settings;
  readonly client: KubernetesClient;
  readonly cluster: ClusterReader;
  readonly logger: Logger;
  readonly signals: Signals;
  /** Identity of this process: the pod's name, or host and pid. */
  readonly process: string;
  /** The node under this process, inside the cluster. */
  readonly ownNode: string | undefined;
}

/**
 * How long a server that has not answered yet is tried, milliseconds. Where a person waits that is short; a pod may start while
 * the API server restarts, and its Job does not start it again for having failed. The kubelet tells every pod where the API server is.
 */
export const firstAnswer = (env: NodeJS.ProcessEnv, outage: number): number =>
  env.KUBERNETES_SERVICE_HOST === undefined ? Math.min(10_000, outage) : outage;

/** @param onStop what the first Ctrl-C does: `end` whatever is on its way, or let the command finish what it has begun. */
export function openSession(options: CommonOptions, onStop: 'end' | 'finish' = 'end'): Session {
  const settings = readSettings(options.settings);
  const kubeConfig = loadKubeConfig(options.kubeconfig);
  const signals = watchSignals(process);
  const { env } = process;
  const { terminal, color } = outputStyle();
  const logger = createLogger(terminal, color);
  const { apiRequest: requestTimeout, apiOutage: outage } = settings.timing;
  const client = new KubernetesClient(kubeConfig, {
    requestTimeout,
    outage,
    firstAnswer: firstAnswer(env, outage),
    signal: onStop === 'end' ? signals.stop : signals.kill,
    // Standard output is for what the command was asked for.
    onNotice: (notice) => (onStop === 'end' ? process.stderr.write(`${notice}\n`) : logger.warn(notice)),
  });
  return {
    settings,
    client,
    cluster: clusterReader(client, settings),
    logger,
    signals,
    process: env[environment.podName] ?? `${hostname()}-${process.pid}`,
    ownNode: env[environment.nodeName],
  };
}

/** How standard output is to be written: for a person or for a log collector. */
export function outputStyle(): { terminal: boolean; color: boolean } {
  const terminal = process.stdout.isTTY === true;
  return { terminal, color: terminal && !process.env.NO_COLOR };
}
