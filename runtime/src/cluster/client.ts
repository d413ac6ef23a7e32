import type { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import {
  ApiException,
  AppsV1Api,
  BatchV1Api,
  type Configuration,
  CoordinationV1Api,
  CoreV1Api,
  createConfiguration,
  type KubeConfig,
  PatchStrategy,
  PolicyV1Api,
  ServerConfiguration,
  setHeaderOptions,
  VersionApi,
} from '@kubernetes/client-node';
import pRetry, { AbortError } from 'p-retry';
import { formatDuration } from '../duration.ts';
import { InputError, UpgradeError } from '../errors.ts';
import { pause, timeLimit, within } from '../wait.ts';
import { asForeign, assertApiObject, isNoAnswer, isUntrusted } from './api-answer.ts';
import { ApiError } from './api-error.ts';
import { isReady } from './api-ready.ts';

export interface ClientOptions {
  /** One request, milliseconds. */
  readonly requestTimeout: number;
  /** How long to go on trying while the API server is away or overloaded, milliseconds. */
  readonly outage: number;
  /** The same until it has answered for the first time, where nobody would start the program again. @default outage */
  readonly firstAnswer?: number;
  readonly signal: AbortSignal;
  /** Told that it waits for the API server. */
  readonly onNotice?: (notice: string) => void;
}

/** Run before each write; throws when this process may no longer write. */
type WriteGuard = () => Promise<void>;

/** Leases are how the guard itself keeps its right to write. */
const isGuarded = (method: string, url: string) =>
  method !== 'GET' && !url.includes('/leases') && !url.includes('dryRun=All');

/** Merge patches: null deletes a key. */
export const mergePatch = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

/**
 * The official client with what every caller here needs: a time limit on each request, errors translated
 * once, one way of retrying, and a guard in front of every write.
 */
export class KubernetesClient {
  readonly core: CoreV1Api;
  readonly apps: AppsV1Api;
  readonly batch: BatchV1Api;
  readonly policy: PolicyV1Api;
  readonly coordination: CoordinationV1Api;
  readonly kubeConfig: KubeConfig;
  readonly options: ClientOptions;
  #guard: WriteGuard = async () => {};
  #reached = false;
  #waiting = false;
  #agent: { readonly identity: string; readonly agent: HttpsAgent } | undefined;

  constructor(kubeConfig: KubeConfig, options: ClientOptions) {
    this.kubeConfig = kubeConfig;
    this.options = options;
    const configuration = this.#configuration();
    this.core = new CoreV1Api(configuration);
    this.apps = new AppsV1Api(configuration);
    this.batch = new BatchV1Api(configuration);
    this.policy = new PolicyV1Api(configuration);
    this.coordination = new CoordinationV1Api(configuration);
  }

  /** From now on `guard` is asked before each write. */
  guardWrites(guard: WriteGuard): void {
    this.#guard = guard;
  }

  /** The API server's gitVersion, such as `v1.34.2`. */
  async serverVersion(): Promise<string> {
    const info = await this.call('read the version of the API server', () =>
      new VersionApi(this.#configuration()).getCode(),
    );
    if (typeof info.gitVersion !== 'string') {
      throw new InputError('API server', JSON.stringify(info).slice(0, 80), 'a Kubernetes /version document');
    }
    return info.gitVersion;
  }

  /**
   * Sends a request and retries what passes by itself: no answer, 429 (waiting as `Retry-After` says), 5xx, and 401 and 403 of a
   * server that is not ready.
   * A retried write may already have taken effect, so only idempotent writes go through here.
   *
   * @param what for the error message: `read node k8s-node1`.
   * @param signal ends the retries early; what is on its way is waited for.
   * @throws ApiError for any other answer; InputError when what answers is no Kubernetes API server.
   */
  async call<T>(what: string, request: () => Promise<T>, signal = this.options.signal): Promise<T> {
    const { outage, firstAnswer = outage } = this.options;
    const patience = this.#reached ? outage : firstAnswer;
    const wait = within(patience, signal);
    return pRetry(() => this.#attempt(what, request), {
      retries: Number.MAX_SAFE_INTEGER,
      maxRetryTime: patience,
      minTimeout: 100,
      factor: 2,
      maxTimeout: 5_000,
      randomize: true,
      signal,
      onFailedAttempt: async ({ error }) => {
        this.#reportWaiting(error, patience);
        if (error instanceof ApiError && error.retryAfter !== undefined) await pause(error.retryAfter, wait);
      },
    });
  }

  /**
   * A server that has just started refuses everything until it has read the roles, in the same words as for good, and may not yet
   * know who asks (kubernetes/kubernetes#65785). Only one that says it is ready has refused for good; it may have become so
   * between the refusal and the question, hence once more.
   */
  async #attempt<T>(what: string, request: () => Promise<T>): Promise<T> {
    try {
      return await this.#send(request);
    } catch (error) {
      if (!isRefusal(error)) throw this.#translate(what, error);
      this.options.signal.throwIfAborted();
      const signal = timeLimit(this.options.requestTimeout, this.options.signal);
      if (!(await isReady(this.kubeConfig, error.code === 401, signal))) throw new ApiError(what, error);
    }
    try {
      return await this.#send(request);
    } catch (error) {
      throw this.#translate(what, error);
    }
  }

  async #send<T>(request: () => Promise<T>): Promise<T> {
    // A body that breaks off neither ends nor fails, and its time limit alone would not keep the process from ending.
    const alive = setInterval(() => {}, 60_000);
    try {
      const answer = await request().catch((error) => {
        throw asForeign(error);
      });
      assertApiObject(answer);
      this.#reached = true;
      this.#waiting = false;
      return answer;
    } finally {
      clearInterval(alive);
    }
  }

  /** Once, until it answers again. */
  #reportWaiting(error: Error, patience: number): void {
    if (!this.#waiting) {
      this.options.onNotice?.(`${error.message}; trying again for up to ${formatDuration(patience)}`);
    }
    this.#waiting = true;
  }

  /** Wrapped in AbortError: do not try again. */
  #translate(what: string, error: unknown): Error {
    this.options.signal.throwIfAborted();
    if (error instanceof UpgradeError) return new AbortError(error);
    if (error instanceof ApiException) {
      const translated = new ApiError(what, error);
      if (error.code < 500) this.#reached = true;
      return translated.final ? new AbortError(translated) : translated;
    }
    const cause = error instanceof Error ? error : new Error(String(error));
    if (!this.#reached && isUntrusted(cause))
      return new AbortError(
        this.#wrong(cause, "one that the kubeconfig's certificate authority vouches for"),
      );
    if (isNoAnswer(cause))
      return new UpgradeError('failed', `${what}: no answer from the API server (${cause.message})`, {
        cause,
      });
    const nonsense = this.#wrong(cause, 'a Kubernetes API server');
    if (!this.#reached) return new AbortError(nonsense);
    // Once it has answered properly, this is something in between that passes, such as a proxy's page.
    return new UpgradeError('failed', `${what}: ${nonsense.message}`, { cause });
  }

  #wrong({ message }: Error, allowed: string): InputError {
    const server = this.kubeConfig.getCurrentCluster()?.server ?? 'none';
    return new InputError(`API server ${server}`, message.slice(0, 120), allowed);
  }

  /**
   * The library makes an agent, and with it a TLS handshake, for every request. One is kept for as long as the credentials in it
   * are the same; one for a proxy is left as it is.
   */
  #keepAlive(agent: HttpAgent | HttpsAgent | undefined): HttpAgent | HttpsAgent | undefined {
    if (agent?.constructor !== HttpsAgent) return agent;
    const { options } = agent as HttpsAgent;
    const identity = [options.ca, options.cert, options.key, options.servername].map(String).join();
    if (this.#agent?.identity !== identity) {
      this.#agent?.agent.destroy();
      this.#agent = { identity, agent: new HttpsAgent({ ...options, keepAlive: true }) };
    }
    return this.#agent.agent;
  }

  #configuration(): Configuration {
    const server = this.kubeConfig.getCurrentCluster()?.server;
    if (!server)
      throw new InputError(
        'kubeconfig',
        'no cluster in its current context',
        'a context that names a cluster',
      );
    return createConfiguration({
      baseServer: new ServerConfiguration(server, {}),
      authMethods: { default: this.kubeConfig },
      promiseMiddleware: [
        {
          pre: async (request) => {
            if (isGuarded(request.getHttpMethod().toString(), request.getUrl())) await this.#guard();
            const agent = this.#keepAlive(request.getAgent());
            if (agent !== undefined) request.setAgent(agent);
            request.setSignal(timeLimit(this.options.requestTimeout, this.options.signal));
            return request;
          },
          post: async (response) => response,
        },
      ],
    });
  }
}

const isRefusal = (error: unknown): error is ApiException<unknown> =>
  error instanceof ApiException && (error.code === 401 || error.code === 403);
