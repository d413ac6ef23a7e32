import { IncomingWebhook } from '@slack/webhook';
import pRetry from 'p-retry';
import { InputError } from '../errors.ts';
import { readSecret } from '../secret-file.ts';
import type { Settings } from '../settings/settings.ts';
import { describe } from './describe.ts';
import type { RunEvent, Sink } from './events.ts';

/**
 * Posts one message; again when Slack says that it did not take it. Rejects with a message that does not carry the webhook's
 * URL, which is a secret.
 *
 * @param insist again also when nothing was heard of it: it may then arrive twice, and is not lost.
 */
export type SlackPost = (text: string, insist?: boolean) => Promise<void>;

/** Slack takes one message a second. */
const retries = { retries: 2, minTimeout: 1_000 };

/** It has answered that it did not take the message, and may take it later. */
const isRefusal = (error: unknown): boolean => {
  const { statusCode } = error as { statusCode?: number };
  return statusCode !== undefined && (statusCode === 429 || statusCode >= 500);
};
/** It has answered, and will not take it at all. */
const isFinal = (error: unknown): boolean =>
  (error as { statusCode?: number }).statusCode !== undefined && !isRefusal(error);

/** @throws InputError when the webhook file is missing or holds no URL. Undefined when Slack is disabled. */
export function slackPost(settings: Settings['slack']): SlackPost | undefined {
  if (!settings.enabled) return undefined;
  const url = readSecret('slack.webhookFile', settings.webhookFile);
  if (!URL.canParse(url))
    throw new InputError('slack.webhookFile', settings.webhookFile, 'a file with a URL in it');
  const webhook = new IncomingWebhook(url, { timeout: settings.timeout });
  return async (text, insist = false) => {
    try {
      await pRetry(() => webhook.send({ text }), {
        ...retries,
        shouldRetry: ({ error }) => isRefusal(error) || (insist && !isFinal(error)),
      });
    } catch (error) {
      // The client's error carries the request, and with it the URL.
      const code = (error as { code?: string }).code ?? 'no code';
      throw new Error(`Slack did not take a message (${code})`);
    }
  };
}

const icons = {
  done: ':white_check_mark:',
  held: ':hourglass:',
  blocked: ':no_entry:',
  failed: ':x:',
} as const;

/** The text for Slack; undefined for what would only be noise there. */
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
      return event.phase === 'updating' ? undefined : text;
    case 'handed-off':
      return text;
    default:
      return undefined;
  }
}

/** @param prefix before every message, such as `[dry-run] `. */
export function slackSink(post: SlackPost, prefix = ''): Sink {
  return {
    name: 'slack',
    async handle(event) {
      const text = slackText(event);
      if (text !== undefined) await post(prefix + text, event.type === 'run-ended');
    },
  };
}
