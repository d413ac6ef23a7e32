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
import { rolloutAnnotations } from '../rollout/node-annotations.ts';
import { parseSettings, type Settings } from '../settings/settings.ts';
import { type Signals, watchSignals } from './signals.ts';

/** Options of every command that works on a cluster. */
export interface CommonOptions {
  /** Path of the settings file. */
  readonly settings: string;
  /** Path of a kubeconfig. @default $KUBECONFIG, ~/.kube/config, or the pod's service account */
  readonly kubeconfig?: string;
}

/** Reads the settings file. @throws UpgradeError (badInput) when it cannot be read, or a setting is wrong. */
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

/** What a command works with. Opened before anything else, so that bad input ends the command first. */
export interface Session {
  /** The parsed settings. */
  readonly settings: Settings;
  /** Client for the cluster. */
  readonly client: KubernetesClient;
  /** Reader that uses this client. */
  readonly cluster: ClusterReader;
  /** Logs to standard output. */
  readonly logger: Logger;
  /** SIGTERM and SIGINT as abort signals. */
  readonly signals: Signals;
  /** `POD_NAME`, or `host-pid` where that is not set. */
  readonly processName: string;
  /** `NODE_NAME`, on which this process runs; undefined outside a Job of a run. */
  readonly ownNode: string | undefined;
}

/**
 * How long to retry an API server that has not answered yet, milliseconds. Short outside a pod, as a person
 * waits. A pod waits for a whole outage: it may start while the API server restarts, and its Job does not
 * retry a failure. The kubelet sets KUBERNETES_SERVICE_HOST in every pod.
 */
export const firstAnswer = (env: NodeJS.ProcessEnv, outage: number): number =>
  env.KUBERNETES_SERVICE_HOST === undefined ? Math.min(10_000, outage) : outage;

/**
 * Reads the settings and the kubeconfig and creates the client, without any request.
 *
 * @param onStop what the first signal does to requests to the API server: `end` aborts them; with `finish`
 *   only a second signal does, so that the command can clean up.
 * @throws UpgradeError (badInput) when the settings or the kubeconfig are wrong.
 */
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
    // Commands that print a result keep standard output for it.
    onNotice: (notice) => (onStop === 'end' ? process.stderr.write(`${notice}\n`) : logger.warn(notice)),
  });
  return {
    settings,
    client,
    cluster: clusterReader(client, settings, () => rolloutAnnotations(client, settings)),
    logger,
    signals,
    processName: env[environment.podName] ?? `${hostname()}-${process.pid}`,
    ownNode: env[environment.nodeName],
  };
}

/** Whether standard output is a terminal, and whether it may have colors (NO_COLOR). */
export function outputStyle(): { terminal: boolean; color: boolean } {
  const terminal = process.stdout.isTTY === true;
  return { terminal, color: terminal && !process.env.NO_COLOR };
}
