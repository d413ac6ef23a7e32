import type { RequestListener } from 'node:http';
import { describe, expect, it, test } from 'vitest';
import { serve } from '../testing/api.ts';
import { rejection } from '../testing/files.ts';
import type { KubernetesClient } from './client.ts';

const readNode = (client: KubernetesClient) =>
  client.call('read node one', () => client.core.readNode({ name: 'one' }));
const json = { 'content-type': 'application/json' };

describe('what answers and is no API server', () => {
  const page = '<html>Sign in</html>';
  const answers: [what: string, answer: RequestListener][] = [
    ['HTML', (_, to) => to.writeHead(200, { 'content-type': 'text/html' }).end(page)],
    ['HTML that says it is JSON', (_, to) => to.writeHead(200, json).end(page)],
    ['nothing', (_, to) => to.writeHead(200, json).end()],
    ['truncated JSON', (_, to) => to.writeHead(200, json).end('{"gitVersion":"v1.3')],
    ['other JSON', (_, to) => to.writeHead(200, json).end('{"hello":"world"}')],
    ['a list', (_, to) => to.writeHead(200, json).end('[]')],
    ['null', (_, to) => to.writeHead(200, json).end('null')],
    ['not found, in HTML', (_, to) => to.writeHead(404, { 'content-type': 'text/html' }).end(page)],
    ['not found, in its own JSON', (_, to) => to.writeHead(404, json).end('{"error":"nope"}')],
    ['a redirect loop', ({ url }, to) => to.writeHead(302, { location: url }).end()],
  ];
  const reads: [of: string, read: (client: KubernetesClient) => Promise<unknown>][] = [
    ['its version', (client) => client.serverVersion()],
    ['a node', (client) => readNode(client)],
    ['all nodes', (client) => client.call('list nodes', () => client.core.listNode())],
  ];
  describe.each(reads)('asked for %s', (_of, read) => {
    test.each(answers)('is bad input: %s', async (_what, answer) => {
      const { client, stop } = await serve(answer);
      const error = await rejection(read(client)).finally(stop);
      expect(error).toMatchObject({ code: 'badInput', message: expect.stringContaining('API server') });
    });
  });

  it('with an answer that breaks off is given up after a while', async () => {
    const options = { requestTimeout: 300, firstAnswer: 500 };
    const { client, stop } = await serve((_, response) => {
      response.writeHead(200, { ...json, 'content-length': '5000' }).write('{"items":[');
      setTimeout(() => response.destroy(), 20);
    }, options);
    const error = await rejection(client.serverVersion()).finally(stop);
    expect(error).toMatchObject({ code: 'failed', message: expect.stringContaining('no answer') });
  });

  it('is waited for once it has answered properly, as something in between that passes', async () => {
    let asked = 0;
    const { client, stop } = await serve((_, response) => {
      asked += 1;
      if (asked === 2) response.writeHead(200, { 'content-type': 'text/html' }).end(page);
      else response.writeHead(200, json).end('{"gitVersion":"v1.34.2"}');
    });
    expect(await client.serverVersion()).toBe('v1.34.2');
    expect(await client.serverVersion().finally(stop)).toBe('v1.34.2');
    expect(asked).toBe(3);
  });

  it('for too long after it has answered properly is a failure: something may have been changed', async () => {
    let known = true;
    const { client, stop } = await serve(
      (_, response) => {
        response.writeHead(200, json).end(known ? '{"gitVersion":"v1.34.2"}' : '{}');
        known = false;
      },
      { outage: 300 },
    );
    await client.serverVersion();
    expect(await rejection(client.serverVersion()).finally(stop)).toMatchObject({ code: 'failed' });
  });

  it('shows the certificate of somebody else: bad input, at once', async () => {
    const { client, stop } = await serve(() => {}, { outage: 60_000 }, false);
    const error = await rejection(client.serverVersion()).finally(stop);
    expect(error).toMatchObject({
      code: 'badInput',
      message: expect.stringContaining('certificate authority'),
    });
  });
});

describe('a server that has never answered', () => {
  const broken: RequestListener = (_, response) => response.writeHead(503, json).end('{}');

  it('is tried for as long as the first answer may take, and it is said once', async () => {
    const notices: string[] = [];
    const options = { firstAnswer: 700, outage: 60_000, onNotice: (text: string) => notices.push(text) };
    const { client, stop } = await serve(broken, options);
    expect(await rejection(client.serverVersion()).finally(stop)).toMatchObject({ status: 503 });
    expect(notices).toEqual([expect.stringMatching(/HTTP 503; trying again for up to 0\.7s$/)]);
  });

  it('is tried through a whole outage where nothing else is said', async () => {
    const from = performance.now() + 800;
    const { client, stop } = await serve((request, response) =>
      performance.now() < from
        ? broken(request, response as never)
        : response.writeHead(200, json).end('{"gitVersion":"v1.34.2"}'),
    );
    expect(await client.serverVersion().finally(stop)).toBe('v1.34.2');
  });
});
