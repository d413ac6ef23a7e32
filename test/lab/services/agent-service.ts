import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { bodyOf, HttpService, type HttpServiceOptions, sendJson } from './http.ts';

const executeRequest = z.object({
  prompt: z.string().min(1),
  agent: z.string().min(1),
  max_budget_usd: z.number().positive().optional(),
  timeout_seconds: z.int().positive().optional(),
});

export type ExecuteRequest = z.infer<typeof executeRequest>;

/** A job of the agent service. */
export interface AgentJob {
  /** Its `job_id`. */
  readonly id: string;
  /** The body of its `/execute` request. */
  readonly request: ExecuteRequest;
  /** `failed` when the exit code is not 0. */
  status: 'queued' | 'running' | 'completed' | 'failed';
  /** Exit code of {@link Submit}; undefined until it has ended. */
  exitCode?: number;
  /** Output of {@link Submit}; undefined until it has ended. */
  output?: string;
}

/** Stands in for the agent: runs `k8s-upgrade submit --inputs JSON`. */
export type Submit = (inputs: string) => Promise<{ exitCode: number; output: string }>;

/** Options of {@link AgentService}. */
export interface AgentServiceOptions extends HttpServiceOptions {
  /** Bearer token that clients must send. */
  readonly token: string;
  /** Called for each job with the inputs of its prompt. */
  readonly submit: Submit;
}

/**
 * The agent service: `POST /execute` and `GET /jobs/{id}` with a bearer token, nothing else (F3). Jobs are
 * kept in memory; {@link AgentService.forget} drops them, as a restart does.
 */
export class AgentService extends HttpService {
  /** All jobs, oldest first. */
  readonly jobs: AgentJob[] = [];
  /** `ended` for each {@link AgentJob} whose agent has returned. */
  readonly events = new EventEmitter<{ ended: [AgentJob] }>();
  /** Makes the service answer `/execute` with 429. */
  queueFull = false;
  readonly #options: AgentServiceOptions;

  constructor(options: AgentServiceOptions) {
    super(options);
    this.#options = options;
  }

  /** Drops all jobs. */
  forget(): void {
    this.jobs.length = 0;
  }

  protected override async answer(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
  ): Promise<void> {
    if (url.pathname === '/health') return sendJson(response, 200, { status: 'ok' });
    if (request.headers.authorization !== `Bearer ${this.#options.token}`) {
      return sendJson(response, 401, { detail: 'Invalid or missing bearer token' });
    }
    const id = /^\/jobs\/([^/]+)$/.exec(url.pathname)?.[1];
    if (id !== undefined) return this.#show(request, response, id);
    if (url.pathname !== '/execute') return sendJson(response, 404, { detail: 'Not Found' });
    if (request.method !== 'POST') return sendJson(response, 405, { detail: 'Method Not Allowed' });
    await this.#accept(request, response);
  }

  #show(request: IncomingMessage, response: ServerResponse, id: string): void {
    const job = this.jobs.find((candidate) => candidate.id === id);
    if (request.method !== 'GET') sendJson(response, 405, { detail: 'Method Not Allowed' });
    else if (job === undefined) sendJson(response, 404, { detail: 'Job not found' });
    else {
      sendJson(response, 200, {
        job_id: job.id,
        status: job.status,
        agent: job.request.agent,
        exit_code: job.exitCode ?? null,
        output: job.output ?? null,
      });
    }
  }

  async #accept(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parsed = executeRequest.safeParse(parseJson(await bodyOf(request)));
    if (!parsed.success) return sendJson(response, 422, { detail: parsed.error.issues });
    if (this.queueFull) return sendJson(response, 429, { detail: 'Queue is full' });
    const job: AgentJob = { id: randomUUID(), request: parsed.data, status: 'queued' };
    this.jobs.push(job);
    sendJson(response, 202, { job_id: job.id, status: 'queued' });
    setImmediate(() => void this.#work(job));
  }

  async #work(job: AgentJob): Promise<void> {
    job.status = 'running';
    const inputs = inputsOf(job.request.prompt);
    try {
      const ended =
        inputs === undefined
          ? { exitCode: 2, output: 'the prompt has no Inputs: {…}' }
          : await this.#options.submit(inputs);
      Object.assign(job, ended, { status: ended.exitCode === 0 ? 'completed' : 'failed' });
    } catch (error) {
      Object.assign(job, { status: 'failed', exitCode: 1, output: String(error) });
    }
    this.events.emit('ended', job);
  }
}

/** The JSON object after `Inputs:` in a prompt; undefined when there is none. */
export function inputsOf(prompt: string): string | undefined {
  const start = /Inputs:\s*(?=\{)/.exec(prompt);
  if (start === null) return undefined;
  const text = prompt.slice(start.index + start[0].length);
  for (let end = text.indexOf('}'); end >= 0; end = text.indexOf('}', end + 1)) {
    const candidate = text.slice(0, end + 1);
    if (parseJson(candidate) !== undefined) return candidate;
  }
  return undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
