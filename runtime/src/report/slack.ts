import { IncomingWebhook } from '@slack/webhook';
import pRetry from 'p-retry';
import { InputError } from '../errors.ts';
import { readSecret } from '../secret-file.ts';
import type { Settings } from '../settings/settings.ts';
import { describe } from './describe.ts';
import type { NodePhase, RunEvent, Sink } from './events.ts';

/**
 * Posts one message, and again when Slack refuses it for now. Rejects with an error that does not contain the
 * webhook's URL, which is a secret.
 *
 * @param insist whether to post again when there was no answer, too. The message may then arrive twice, but
 * is not lost.
 */
export type SlackPost = (text: string, insist?: boolean) => Promise<void>;

/** Slack accepts one message a second. */
const retries = { retries: 2, minTimeout: 1_000 };

/** Slack has refused the message, but may accept it later. */
const isRefusal = (error: unknown): boolean => {
  const { statusCode } = error as { statusCode?: number };
  return statusCode !== undefined && (statusCode === 429 || statusCode >= 500);
};
/** Slack has refused the message permanently. */
const isFinal = (error: unknown): boolean =>
  (error as { statusCode?: number }).statusCode !== undefined && !isRefusal(error);

/**
 * Opens the webhook; undefined when Slack is disabled.
 *
 * @throws InputError when its file is missing or has no URL.
 */
export function slackPost(settings: Settings['slack']): SlackPost | undefined {
  if (!settings.enabled) return undefined;
  const url = readSecret('slack.webhookFile', settings.webhookFile);
  if (!URL.canParse(url))
    throw new InputError('slack.webhookFile', settings.webhookFile, 'a file that contains a URL');
  const webhook = new IncomingWebhook(url, { timeout: settings.timeout });
  return async (text, insist = false) => {
    try {
      await pRetry(() => webhook.send({ text }), {
        ...retries,
        shouldRetry: ({ error }) => isRefusal(error) || (insist && !isFinal(error)),
      });
    } catch (error) {
      // The client's error contains the request, and so the URL.
      const code = (error as { code?: string }).code ?? 'no code';
      throw new Error(`Slack did not accept a message (${code})`);
    }
  };
}

const icons = {
  done: ':white_check_mark:',
  held: ':hourglass:',
  blocked: ':no_entry:',
  failed: ':x:',
} as const;

/** Phases of a node that are not posted. */
const quiet: ReadonlySet<NodePhase> = new Set([
  'preparing',
  'prepared',
  'running-kubeadm',
  'ran-kubeadm',
  'updating',
]);

/** The text for Slack; undefined for events that are not posted. */
export function slackText(event: RunEvent): string | undefined {
  const text = describe(event);
  switch (event.type) {
    case 'run-started':
      return `:arrow_up: Kubernetes: ${text}`;
    case 'run-ended':
      return event.repeated ? undefined : `${icons[event.outcome]} Kubernetes ${event.target}: ${text}`;
    case 'waiting':
    case 'notice':
      return `:warning: ${text}`;
    case 'stage-done':
      return `:heavy_check_mark: ${text}`;
    case 'snapshot':
      return `:floppy_disk: ${text}`;
    case 'node':
      return quiet.has(event.phase) ? undefined : text;
    case 'handed-off':
      return text;
    default:
      return undefined;
  }
}

/** Posts events to Slack. @param prefix put before every message, such as `[dry-run] `. */
export function slackSink(post: SlackPost, prefix = ''): Sink {
  return {
    name: 'slack',
    async handle(event) {
      const text = slackText(event);
      if (text !== undefined) await post(prefix + text, event.type === 'run-ended');
    },
  };
}
