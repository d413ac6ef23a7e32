import type { RequestListener } from 'node:http';
import { describe, expect, it, test } from 'vitest';
import { serve } from '../testing/api.ts';
import { rejection } from '../testing/files.ts';
import type { KubernetesClient } from './client.ts';

const readNode = (client: KubernetesClient) =>
  client.call('read node one', () => client.core.readNode({ name: 'one' }));
const json = { 'content-type': 'application/json' };

describe('a server that is not an API server', () => {
  const page = '<html>Sign in</html>';
  const answers: [what: string, answer: RequestListener][] = [
    ['HTML', (_, to) => to.writeHead(200, { 'content-type': 'text/html' }).end(page)],
    ['HTML labelled as JSON', (_, to) => to.writeHead(200, json).end(page)],
    ['an empty body', (_, to) => to.writeHead(200, json).end()],
    ['truncated JSON', (_, to) => to.writeHead(200, json).end('{"gitVersion":"v1.3')],
    ['other JSON', (_, to) => to.writeHead(200, json).end('{"hello":"world"}')],
    ['a list', (_, to) => to.writeHead(200, json).end('[]')],
    ['null', (_, to) => to.writeHead(200, json).end('null')],
    ['not found, in HTML', (_, to) => to.writeHead(404, { 'content-type': 'text/html' }).end(page)],
    ['not found, in its own JSON', (_, to) => to.writeHead(404, json).end('{"error":"nope"}')],
    ['a redirect loop', ({ url }, to) => to.writeHead(302, { location: url }).end()],
  ];
  const reads: [what: string, read: (client: KubernetesClient) => Promise<unknown>][] = [
    ['its version', (client) => client.serverVersion()],
    ['a node', (client) => readNode(client)],
    ['all nodes', (client) => client.call('list nodes', () => client.core.listNode())],
  ];
  describe.each(reads)('queried for %s', (_read, read) => {
    test.each(answers)('is bad input when it answers %s', async (_what, answer) => {
      const { client, stop } = await serve(answer);
      const error = await rejection(read(client)).finally(stop);
      expect(error).toMatchObject({ code: 'badInput', message: expect.stringContaining('API server') });
    });
  });

  it('that breaks off its answer fails the request after the time for a first answer', async () => {
    const options = { requestTimeout: 300, firstAnswer: 500 };
    const { client, stop } = await serve((_, response) => {
      response.writeHead(200, { ...json, 'content-length': '5000' }).write('{"items":[');
      setTimeout(() => response.destroy(), 20);
    }, options);
    const error = await rejection(client.serverVersion()).finally(stop);
    expect(error).toMatchObject({ code: 'failed', message: expect.stringContaining('no answer') });
  });

  it('is retried once the API server has answered before: a proxy may answer for a while', async () => {
    let requests = 0;
    const { client, stop } = await serve((_, response) => {
      requests += 1;
      if (requests === 2) response.writeHead(200, { 'content-type': 'text/html' }).end(page);
      else response.writeHead(200, json).end('{"gitVersion":"v1.34.2"}');
    });
    expect(await client.serverVersion()).toBe('v1.34.2');
    expect(await client.serverVersion().finally(stop)).toBe('v1.34.2');
    expect(requests).toBe(3);
  });

  it('is a failure, not bad input, if an API server answered before: something may have been changed', async () => {
    let isFirst = true;
    const { client, stop } = await serve(
      (_, response) => {
        response.writeHead(200, json).end(isFirst ? '{"gitVersion":"v1.34.2"}' : '{}');
        isFirst = false;
      },
      { outage: 300 },
    );
    await client.serverVersion();
    expect(await rejection(client.serverVersion()).finally(stop)).toMatchObject({ code: 'failed' });
  });

  it('is bad input at once when its certificate is not the one of the kubeconfig', async () => {
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

  it('is retried for as long as the first answer may take, with one notice', async () => {
    const notices: string[] = [];
    const options = { firstAnswer: 700, outage: 60_000, onNotice: (text: string) => notices.push(text) };
    const { client, stop } = await serve(broken, options);
    expect(await rejection(client.serverVersion()).finally(stop)).toMatchObject({ status: 503 });
    expect(notices).toEqual([expect.stringMatching(/HTTP 503; trying again for up to 0\.7s$/)]);
  });

  it('is retried for a whole outage by default', async () => {
    const from = performance.now() + 800;
    const { client, stop } = await serve((request, response) =>
      performance.now() < from
        ? broken(request, response as never)
        : response.writeHead(200, json).end('{"gitVersion":"v1.34.2"}'),
    );
    expect(await client.serverVersion().finally(stop)).toBe('v1.34.2');
  });
});
