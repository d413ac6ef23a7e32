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
import { InputError, UpgradeError } from '../errors.ts';
import { pause, timeLimit, within } from '../wait.ts';
import { asForeign, assertApiObject, isNoAnswer, isUntrusted } from './api-answer.ts';
import { ApiError } from './api-error.ts';
import { isReady } from './api-ready.ts';
import { Outage } from './outage.ts';

/** Options of a {@link KubernetesClient}. */
export interface ClientOptions {
  /** Time limit of one request, milliseconds. */
  readonly requestTimeout: number;
  /** How long to retry while the API server is away or overloaded, milliseconds. */
  readonly outage: number;
  /** The same until the API server has answered for the first time, milliseconds. @default outage */
  readonly firstAnswer?: number;
  /** Aborts requests and retries. */
  readonly signal: AbortSignal;
  /** Called when a first request is retried, and when the API server answers again. @default none */
  readonly onNotice?: (notice: string) => void;
}

/** Called before each write; throws when this process must no longer write. */
type WriteGuard = () => Promise<void>;

/** Leases are excluded because the guard itself writes one. */
const isGuarded = (method: string, url: string) =>
  method !== 'GET' && !url.includes('/leases') && !url.includes('dryRun=All');

/** Request option for a merge patch, in which null deletes a key. */
export const mergePatch = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

/**
 * The official client, plus a time limit on each request, errors as {@link ApiError}, retries, and a guard in
 * front of every write. Send requests through {@link call}.
 */
export class KubernetesClient {
  /** Nodes, pods, namespaces, ConfigMaps, events. */
  readonly core: CoreV1Api;
  /** Deployments, StatefulSets and DaemonSets. */
  readonly apps: AppsV1Api;
  /** Jobs and CronJobs. */
  readonly batch: BatchV1Api;
  /** PodDisruptionBudgets. */
  readonly policy: PolicyV1Api;
  /** Leases. */
  readonly coordination: CoordinationV1Api;
  /** The cluster and its credentials, for watches. */
  readonly kubeConfig: KubeConfig;
  /** The options it was created with. */
  readonly options: ClientOptions;
  #guard: WriteGuard = async () => {};
  #reached = false;
  readonly #outage: Outage;
  #agent: { readonly identity: string; readonly agent: HttpsAgent } | undefined;

  constructor(kubeConfig: KubeConfig, options: ClientOptions) {
    this.kubeConfig = kubeConfig;
    this.options = options;
    this.#outage = new Outage(options.onNotice ?? (() => {}));
    const configuration = this.#configuration();
    this.core = new CoreV1Api(configuration);
    this.apps = new AppsV1Api(configuration);
    this.batch = new BatchV1Api(configuration);
    this.policy = new PolicyV1Api(configuration);
    this.coordination = new CoordinationV1Api(configuration);
  }

  /** Awaits `guard` before each write from now on; if it throws, nothing is sent. Replaces the last guard. */
  guardWrites(guard: WriteGuard): void {
    this.#guard = guard;
  }

  /** The API server's gitVersion, such as `v1.34.2`. @throws as {@link call} does. */
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
   * Sends a request and retries errors that may pass: no answer, 429 (after `Retry-After`), 5xx, and 401 and
   * 403 from a server that is not ready. A retried write may already have taken effect, so send only
   * idempotent writes.
   *
   * @param what names the request in error messages: `read node k8s-node1`.
   * @param signal ends the retries early; a request already sent is awaited.
   * @throws ApiError when refused; UpgradeError (failed) when there is no answer for the whole outage;
   *   InputError when the server is not a Kubernetes API server.
   */
  async call<T>(what: string, request: () => Promise<T>, signal = this.options.signal): Promise<T> {
    const { outage, firstAnswer = outage } = this.options;
    const patience = this.#reached ? outage : firstAnswer;
    const wait = within(patience, signal);
    const tracked = this.#outage.track();
    try {
      const answer = await pRetry(() => this.#attempt(what, request), {
        retries: Number.MAX_SAFE_INTEGER,
        maxRetryTime: patience,
        minTimeout: 100,
        factor: 2,
        maxTimeout: 5_000,
        randomize: true,
        signal,
        onFailedAttempt: async ({ error }) => {
          tracked.failed(error, patience);
          if (error instanceof ApiError && error.retryAfter !== undefined)
            await pause(error.retryAfter, wait);
        },
      });
      tracked.ended(true);
      return answer;
    } catch (error) {
      tracked.ended(error instanceof ApiError && error.final);
      throw error;
    }
  }

  /**
   * An API server that has just started answers 401 or 403 until it has loaded credentials and RBAC roles
   * (kubernetes/kubernetes#65785). A refusal is final only from a server that is ready. As it may have become
   * ready just after refusing, the request is then sent once more.
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
    // A truncated body neither ends nor fails, and the time limit alone does not keep the process alive.
    const alive = setInterval(() => {}, 60_000);
    try {
      const answer = await request().catch((error) => {
        throw asForeign(error);
      });
      assertApiObject(answer);
      this.#reached = true;
      return answer;
    } finally {
      clearInterval(alive);
    }
  }

  /** Translates an error; an AbortError means that it must not be retried. */
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
        this.#wrong(cause, "one whose certificate the kubeconfig's certificate authority has signed"),
      );
    if (isNoAnswer(cause))
      return new UpgradeError('failed', `${what}: no answer from the API server (${cause.message})`, {
        cause,
      });
    const foreign = this.#wrong(cause, 'a Kubernetes API server');
    if (!this.#reached) return new AbortError(foreign);
    // The API server has answered before, so this is temporary, such as the error page of a proxy.
    return new UpgradeError('failed', `${what}: ${foreign.message}`, { cause });
  }

  #wrong({ message }: Error, allowed: string): InputError {
    const server = this.kubeConfig.getCurrentCluster()?.server ?? 'none';
    return new InputError(`API server ${server}`, message.slice(0, 120), allowed);
  }

  /**
   * The library creates an agent for every request, which costs a TLS handshake each. Keeps one agent for as
   * long as the credentials stay the same. The agent of a proxy is returned unchanged.
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
