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
import { marksReader } from '../rollout/node-marks.ts';
import { parseSettings, type Settings } from '../settings/settings.ts';
import { type Signals, watchSignals } from './signals.ts';

/** Options that every command takes. */
export interface CommonOptions {
  readonly settings: string;
  readonly kubeconfig?: string;
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
  readonly processName: string;
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
    cluster: clusterReader(client, settings, marksReader(settings.annotationPrefix)),
    logger,
    signals,
    processName: env[environment.podName] ?? `${hostname()}-${process.pid}`,
    ownNode: env[environment.nodeName],
  };
}

/** How standard output is to be written: for a person or for a log collector. */
export function outputStyle(): { terminal: boolean; color: boolean } {
  const terminal = process.stdout.isTTY === true;
  return { terminal, color: terminal && !process.env.NO_COLOR };
}
