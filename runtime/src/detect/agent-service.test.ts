import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { AgentService } from '../../../test/lab/services/agent-service.ts';
import type { HttpFaults } from '../../../test/lab/services/http.ts';
import { requestOf } from '../rollout/request.ts';
import { testSettings } from '../testing/cluster.ts';
import { rejection, temporaryFile } from '../testing/files.ts';
import { dispatchToAgent, NotDispatchedError, promptFor } from './agent-service.ts';

const token = 's3cr3t-t0k3n';
const request = requestOf({ target_version: '1.34.5', kind: 'patch' });
let service: AgentService;

beforeEach(async () => {
  service = await new AgentService({ token, submit: async () => ({ exitCode: 0, output: '' }) }).start();
});
afterEach(() => service.stop());

function dispatch(tokenText = token, longest = 5_400_500) {
  const settings = testSettings({
    dispatch: {
      agentService: { url: `${service.url}/`, tokenFile: temporaryFile(tokenText), maxBudgetUsd: 7 },
    },
  });
  return dispatchToAgent(settings.dispatch.agentService, request, longest, new AbortController().signal);
}

/** Everything that an error could print, including its causes. */
function everythingIn(error: Error): string {
  const parts: string[] = [];
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    parts.push(String(each.stack), JSON.stringify({ ...each, cause: undefined }));
  }
  return parts.join('\n');
}

describe('a dispatch to the agent service', () => {
  it('carries the prompt, the budget and as much time as a run may need (F2)', async () => {
    const id = await dispatch(`${token}\n`);
    expect(service.jobs.map((job) => job.id)).toEqual([id]);
    expect(service.jobs[0]?.request).toEqual({
      prompt:
        'Run the k8s-version-upgrade agent. Inputs: {"target_version":"1.34.5","kind":"patch","dry_run":false,"stages":"all"}',
      agent: '.claude/agents/k8s-version-upgrade',
      max_budget_usd: 7,
      timeout_seconds: 5_401,
    });
    expect(promptFor(request)).toBe(service.jobs[0]?.request.prompt);
  });

  const cases: [
    what: string,
    faults: HttpFaults & { queueFull?: boolean },
    secret: string,
    expected: object,
  ][] = [
    [
      'a wrong token',
      {},
      'wr0ng-t0k3n',
      { code: 'failed', hint: expect.stringContaining('api_bearer_token') },
    ],
    ['a full queue', { queueFull: true }, token, { code: 'held', message: expect.stringContaining('queue') }],
    ['403', { status: 403 }, token, { code: 'failed', hint: expect.stringContaining('api_bearer_token') }],
    ['an HTML page of a proxy', { body: '<html>' }, token, { code: 'failed', hint: 'Its answer: <html>' }],
    [
      '404',
      { status: 404, body: 'no such page' },
      token,
      { code: 'failed', hint: 'Its answer: no such page' },
    ],
  ];
  test.each(cases)(
    'certainly did not arrive with %s',
    async (_what, { queueFull = false, ...faults }, secret, expected) => {
      service.queueFull = queueFull;
      service.faults = faults;
      const error = await rejection(dispatch(secret));
      expect(error).toMatchObject(expected);
      expect(error).toBeInstanceOf(NotDispatchedError);
      expect(everythingIn(error)).not.toContain(secret);
    },
  );

  it('certainly did not arrive when the connection is refused', async () => {
    await service.stop();
    const error = await rejection(dispatch());
    expect(error).toBeInstanceOf(NotDispatchedError);
    expect(error).toMatchObject({ code: 'failed', message: expect.stringContaining('ECONNREFUSED') });
    expect(everythingIn(error)).not.toContain(token);
  });

  test.each([
    ['a cut connection', { reset: true }, 'failed', 'no answer'],
    ['500', { status: 500 }, 'failed', 'answered 500'],
    ['HTML', { status: 202, body: '<html>' }, 'badInput', 'the URL of the agent service'],
    ['another shape', { status: 202, body: '{"id":1}' }, 'badInput', 'the URL of the agent service'],
  ])('may have arrived with %s, and is sent once', async (_what, faults, code, message) => {
    service.faults = faults;
    const error = await rejection(dispatch());
    expect(error).not.toBeInstanceOf(NotDispatchedError);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(error.message).toContain('dispatch.agentService.url');
    expect(everythingIn(error)).not.toContain(token);
  });

  test.each([
    ['two lines', `${token}\nsecond`],
    ['a character that is invalid in a header', `${token}\u0007x`],
    ['a character beyond ASCII', `${token}\u20ac`],
    ['nothing', ' \n'],
  ])('refuses a token file with %s, without showing it', async (_what, text) => {
    const error = await rejection(dispatch(text));
    expect(error).toMatchObject({
      code: 'badInput',
      message: expect.stringMatching(/^dispatch\.agentService\.tokenFile: /),
    });
    expect(everythingIn(error)).not.toContain(token);
    expect(service.jobs).toEqual([]);
  });
});
