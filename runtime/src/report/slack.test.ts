import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { Slack } from '../../../test/lab/services/slack.ts';
import { testSettings } from '../testing/cluster.ts';
import { rejection, temporaryFile } from '../testing/files.ts';
import { slackPost } from './slack.ts';

let slack: Slack;
beforeEach(async () => {
  slack = await new Slack().start();
});
afterEach(() => slack.stop());

const open = (webhookFile: string, enabled = true) =>
  slackPost(testSettings({ slack: { webhookFile, enabled, timeout: '1s' } }).slack);

/** Posts through a new webhook file. */
async function post(text: string, webhook = slack.webhook): Promise<void> {
  const send = open(temporaryFile(`${webhook}\n`));
  if (send === undefined) throw new Error('Slack is off');
  await send(text);
}

describe('Slack', () => {
  it('receives the text', async () => {
    await post('hello\n  - one <two>');
    expect(slack.messages.map((message) => message.payload)).toEqual([{ text: 'hello\n  - one <two>' }]);
  });

  test.each([
    ['refuses', () => ({ status: 404, body: 'no_service' }), undefined],
    ['fails', () => ({ status: 500 }), undefined],
    ['cuts the connection', () => ({ reset: true }), undefined],
    ['is slow', () => ({ latencyMs: 2_000 }), undefined],
    ['does not listen', () => ({}), 'http://127.0.0.1:1/services/T000/B000/SECRET'],
    ['has a URL of another protocol', () => ({}), 'gopher://127.0.0.1/services/T000/B000/SECRET'],
  ])(
    "that %s causes an error without the webhook's URL, which is a secret",
    async (_what, faults, webhook) => {
      slack.faults = faults();
      const error = await rejection(post('x', webhook));
      expect(error.message).toMatch(/^Slack did not accept a message \(\w+\)$/);
      const everything = `${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`;
      expect(everything).not.toContain('services/T000');
      expect(everything).not.toContain(webhook ?? slack.webhook);
    },
  );

  test.each([
    ['refuses for now', { status: 429 }, false],
    ['fails', { status: 500 }, false],
    ['cuts the connection of a message that must arrive', { reset: true }, true],
  ])('that %s receives the message again', async (_what, faults, insist) => {
    slack.faults = faults;
    setTimeout(() => {
      slack.faults = {};
    }, 300);
    await open(temporaryFile(slack.webhook))?.('again', insist);
    expect(slack.messages.map(({ text }) => text)).toEqual(['again']);
  });

  test.each([
    ['a message that may have arrived', { reset: true }, false],
    ['a message that it refused permanently', { status: 404 }, true],
  ])('does not receive %s again', async (_what, faults, insist) => {
    slack.faults = faults;
    setTimeout(() => {
      slack.faults = {};
    }, 300);
    await expect(open(temporaryFile(slack.webhook))?.('once', insist)).rejects.toThrow(
      'Slack did not accept',
    );
    expect(slack.messages).toEqual([]);
  });

  it('needs no webhook file when it is disabled', () => {
    expect(open('/nonexistent', false)).toBeUndefined();
  });

  test.each([
    ['missing', '/nonexistent/webhook', 'a file that can be read (ENOENT)'],
    ['a directory', '/', 'a file that can be read (EISDIR)'],
  ])('refuses a webhook file that is %s', (_what, file, message) => {
    expect(() => open(file)).toThrow(`slack.webhookFile: "${file}" is not allowed; expected ${message}`);
  });

  test.each([
    ['empty', '\n', 'a file that is not empty'],
    ['no URL', 'T000-SECRET', 'a file that contains a URL'],
  ])('refuses a webhook file that is %s, without showing it', (_what, text, message) => {
    const file = temporaryFile(text);
    expect(() => open(file)).toThrow(message);
    expect(() => open(file)).not.toThrow('SECRET');
  });
});
