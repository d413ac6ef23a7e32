import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { bodyOf, HttpService, send } from './http.ts';

/** A message that Slack accepted. */
export interface SlackMessage {
  /** Empty when the message has only blocks. */
  readonly text: string;
  /** The whole payload, with blocks and attachments. */
  readonly payload: Readonly<Record<string, unknown>>;
  /** Unix milliseconds. */
  readonly at: number;
}

const path = '/services/T000/B000/XXXX';

/** Slack, with one incoming webhook. */
export class Slack extends HttpService {
  /** All accepted messages, oldest first. */
  readonly messages: SlackMessage[] = [];
  /** `message` for each {@link SlackMessage} as it arrives. */
  readonly events = new EventEmitter<{ message: [SlackMessage] }>();

  /** URL of the webhook, as in the Secret. */
  get webhook(): string {
    return `${this.url}${path}`;
  }

  protected override async answer(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
  ): Promise<void> {
    if (url.pathname !== path) return send(response, 404, 'no_service');
    if (request.method !== 'POST') return send(response, 405, 'method_not_allowed');
    const payload = parse(await bodyOf(request));
    if (payload === undefined) return send(response, 400, 'invalid_payload');
    if (typeof payload.text !== 'string' && !Array.isArray(payload.blocks)) {
      return send(response, 400, 'no_text');
    }
    const message = { text: String(payload.text ?? ''), payload, at: Date.now() };
    this.messages.push(message);
    this.events.emit('message', message);
    send(response, 200, 'ok');
  }
}

function parse(body: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
