import { z } from 'zod';
import { InputError, UpgradeError } from '../errors.ts';
import { type HttpAnswer, httpRequest, parseJson } from '../http.ts';
import { inputsOf, type UpgradeRequest } from '../rollout/request.ts';
import { readSecret } from '../secret-file.ts';
import type { Settings } from '../settings/settings.ts';

/** A dispatch that certainly did not arrive: the same target may be dispatched again. */
export class NotDispatchedError extends UpgradeError {}

const acceptedSchema = z.object({ job_id: z.string(), status: z.string() });

/** The prompt, in the form that the agent's instructions expect. */
export const promptFor = (request: UpgradeRequest): string =>
  `Run the k8s-version-upgrade agent. Inputs: ${inputsOf(request)}`;

/**
 * Dispatches the upgrade to the agent service (`POST /execute`). Sends the request only once, because a
 * request without an answer may have arrived.
 *
 * @param longest how long the run may take, milliseconds.
 * @returns the service's job id.
 * @throws NotDispatchedError when the service certainly did not accept it; another UpgradeError when it may
 * have.
 */
export async function dispatchToAgent(
  settings: Settings['dispatch']['agentService'],
  request: UpgradeRequest,
  longest: number,
  signal: AbortSignal,
): Promise<string> {
  const url = `${settings.url.replace(/\/$/, '')}/execute`;
  const token = readToken(settings.tokenFile);
  const body = JSON.stringify({
    prompt: promptFor(request),
    agent: settings.agent,
    max_budget_usd: settings.maxBudgetUsd,
    timeout_seconds: Math.ceil(longest / 1000),
  });
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const setting = 'dispatch.agentService.url';
  const { timeout } = settings;
  const answer = await httpRequest({ url, setting, method: 'POST', headers, body, timeout, signal }).catch(
    (error) => {
      throw neverSent(error) ? new NotDispatchedError('failed', error.message, { cause: error }) : error;
    },
  );
  if (answer.status === 202)
    return parseJson(acceptedSchema, setting, url, answer.text, 'the agent service').job_id;
  throw refusal(url, answer);
}

/**
 * Reads the token. Refuses a value that is invalid in a header, because fetch would quote it in its error.
 *
 * @throws NotDispatchedError (badInput)
 */
export function readToken(file: string): string {
  const field = 'dispatch.agentService.tokenFile';
  try {
    const token = readSecret(field, file);
    if (/^[\x21-\x7e]+$/.test(token)) return token;
    throw new InputError(field, file, 'a file with one token of printable characters');
  } catch (error) {
    throw new NotDispatchedError('badInput', (error as Error).message);
  }
}

function refusal(url: string, { status, text }: HttpAnswer): NotDispatchedError {
  if (status === 429) {
    return new NotDispatchedError('held', `the queue of the agent service is full (${url})`, {
      hint: 'The next detection tries again.',
    });
  }
  const hint =
    status === 401 || status === 403
      ? 'Compare api_bearer_token in Vault with the agent service.'
      : `Its answer: ${text.slice(0, 200)}`;
  return new NotDispatchedError('failed', `the agent service refused the dispatch with ${status} (${url})`, {
    hint,
  });
}

function neverSent(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') return true;
  }
  return false;
}
