import { request } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AgentService, inputsOf } from './agent-service.ts';
import type { HttpService } from './http.ts';
import { PackageRepository } from './packages.ts';
import { Prometheus, upgradeGates } from './prometheus.ts';
import { Pushgateway } from './pushgateway.ts';
import { Slack } from './slack.ts';

const running: HttpService[] = [];
async function started<S extends HttpService>(service: S): Promise<S> {
  running.push(service);
  await service.start();
  return service;
}
afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.stop()));
});

const post = (url: string, body: unknown, headers: Record<string, string> = {}, method = 'POST') =>
  fetch(url, { method, body: typeof body === 'string' ? body : JSON.stringify(body), headers });

/** Sends HEAD without following redirects; fetch does not report their location. */
function head(url: string): Promise<{ status: number | undefined; location: string | undefined }> {
  return new Promise((resolve, reject) => {
    request(url, { method: 'HEAD' }, (response) => {
      response.resume();
      resolve({ status: response.statusCode, location: response.headers.location });
    })
      .on('error', reject)
      .end();
  });
}

describe('PackageRepository', () => {
  let repository: PackageRepository;
  beforeEach(async () => {
    repository = await started(new PackageRepository());
    repository.publish('1.34.5', { revision: '1.2', date: new Date('2026-01-10T00:00:00Z') });
    repository.publish('1.34.2');
  });

  test('answers every request with a 302 to its CDN (F12)', async () => {
    for (const path of ['v1.34/deb/Release', 'v1.99/deb/Release', 'anything']) {
      const { status, location } = await head(`${repository.base}${path}`);
      expect(status).toBe(302);
      expect(location).toBe(`${repository.cdn.url}/repositories/isv:/kubernetes:/core:/stable:/${path}`);
    }
  });

  test('serves a stanza per package, release and architecture, and the files that they name', async () => {
    const packages = await (await fetch(`${repository.base}v1.34/deb/Packages`)).text();
    const stanzas = packages.trim().split('\n\n');
    expect(stanzas).toHaveLength(14);
    expect(stanzas.filter((s) => s.includes('Package: kubeadm\nVersion: 1.34.5-1.2\n'))).toHaveLength(2);
    const path = /^Filename: (.*kubeadm_1\.34\.5-1\.2_amd64\.deb)$/m.exec(packages)?.[1];
    const file = await fetch(`${repository.base}v1.34/deb/${path}`, { method: 'HEAD' });
    expect(file.status).toBe(200);
    expect(file.headers.get('last-modified')).toBe('Sat, 10 Jan 2026 00:00:00 GMT');
  });

  test('dates packages 60 days back by default', async () => {
    const file = await fetch(`${repository.base}v1.34/deb/amd64/kubelet_1.34.2-1.1_amd64.deb`);
    const age = Date.now() - Date.parse(file.headers.get('last-modified') ?? '');
    expect(age / 86_400_000).toBeCloseTo(60, 2);
  });

  test.each(['Release', 'InRelease', 'Release.key'])('serves %s', async (name) => {
    const answer = await fetch(`${repository.base}v1.34/deb/${name}`);
    expect(answer.status).toBe(200);
    expect(await answer.text()).toMatch(/isv:kubernetes|BEGIN PGP/);
  });

  test('refuses a missing minor with the configured status', async () => {
    expect((await fetch(`${repository.base}v1.35/deb/Release`)).status).toBe(403);
    repository.missingStatus = 404;
    expect((await fetch(`${repository.base}v1.35/deb/Release`)).status).toBe(404);
    expect((await fetch(`${repository.base}v1.34/deb/amd64/nothing.deb`)).status).toBe(404);
  });

  test('serves a web page, nothing or a truncated list if configured', async () => {
    const url = `${repository.base}v1.34/deb/Packages`;
    const whole = await (await fetch(url)).text();
    repository.nonsense = 'html';
    expect(await (await fetch(url)).text()).toMatch(/^<!DOCTYPE html>/);
    repository.nonsense = 'empty';
    expect(await (await fetch(url)).text()).toBe('');
    repository.nonsense = 'truncated';
    const part = await (await fetch(url)).text();
    expect(whole.startsWith(part) && part.length > 0 && part.length < whole.length).toBe(true);
  });
});

describe('every service', () => {
  let slack: Slack;
  const send = () => post(slack.webhook, { text: 'x' });
  beforeEach(async () => {
    slack = await started(new Slack());
  });

  test('has the faults status, body, reset, redirect loop and latency', async () => {
    slack.faults = { status: 503 };
    expect((await send()).status).toBe(503);
    slack.faults = { body: '<html>' };
    expect(await (await send()).text()).toBe('<html>');
    slack.faults = { reset: true };
    await expect(send()).rejects.toThrow('fetch failed');
    slack.faults = { redirectLoop: true };
    await expect(send()).rejects.toMatchObject({ cause: { message: 'redirect count exceeded' } });
    slack.faults = { latencyMs: 120 };
    const start = Date.now();
    expect((await send()).status).toBe(200);
    expect(Date.now() - start).toBeGreaterThanOrEqual(118);
    expect(slack.messages).toHaveLength(1);
  });

  test('cuts open requests when it stops, and starts again on the same port', async () => {
    slack.faults = { latencyMs: 10_000 };
    const hanging = send();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { url } = slack;
    await Promise.all([expect(hanging).rejects.toThrow(), slack.stop()]);
    slack.faults = {};
    await slack.start();
    expect(slack.url).toBe(url);
    expect((await send()).status).toBe(200);
  });
});

describe('Prometheus', () => {
  let prometheus: Prometheus;
  const get = async (path: string) => (await fetch(`${prometheus.url}${path}`)).json();
  interface Rules {
    status: string;
    data: { groups: { name: string; rules: { name: string; state: string; alerts: unknown[] }[] }[] };
  }
  const rules = async (query = '?type=alert&rule_group[]=Upgrade%20Gates') =>
    (await get(`/api/v1/rules${query}`)) as Rules;
  beforeEach(async () => {
    prometheus = await started(new Prometheus());
  });

  test('has the twelve Upgrade Gates, all inactive', async () => {
    const { status, data } = await rules();
    expect(status).toBe('success');
    expect(data.groups.map(({ name }) => name)).toEqual(['Upgrade Gates']);
    expect(data.groups[0]?.rules.map(({ name }) => name)).toEqual(upgradeGates);
    expect(new Set(data.groups[0]?.rules.map(({ state }) => state))).toEqual(new Set(['inactive']));
    expect(upgradeGates).toHaveLength(12);
  });

  test('fires and clears an alert by name and labels', async () => {
    prometheus.fire('RecentNodeReboot', { node: 'k8s-node1' });
    prometheus.fire('RecentNodeReboot', { node: 'k8s-node2' });
    const firing = (await rules()).data.groups[0]?.rules.filter(({ state }) => state === 'firing');
    expect(firing?.map(({ name, alerts }) => [name, alerts.length])).toEqual([['RecentNodeReboot', 2]]);
    prometheus.clear('RecentNodeReboot', { node: 'k8s-node1' });
    expect(await get('/api/v1/alerts')).toMatchObject({
      status: 'success',
      data: { alerts: [{ state: 'firing', labels: { alertname: 'RecentNodeReboot', node: 'k8s-node2' } }] },
    });
    expect(() => prometheus.fire('NoSuchAlert')).toThrow('no rule NoSuchAlert');
  });

  test('filters rules by group and type', async () => {
    prometheus.groups.set('Other', ['Watchdog']);
    expect((await rules('?rule_group[]=Other')).data.groups.map(({ name }) => name)).toEqual(['Other']);
    expect((await rules('')).data.groups).toHaveLength(2);
    expect((await rules('?type=record')).data.groups).toEqual([]);
    expect((await rules('?type=nonsense')).status).toBe('error');
  });

  test('answers configured queries, and others with an empty vector', async () => {
    prometheus.setQuery('up', [{ labels: { job: 'node' }, value: 1 }]);
    expect(await get('/api/v1/query?query=up')).toMatchObject({
      data: { resultType: 'vector', result: [{ metric: { job: 'node' }, value: [expect.any(Number), '1'] }] },
    });
    expect(await get('/api/v1/query?query=down')).toMatchObject({ data: { result: [] } });
    expect(await get('/api/v1/query')).toMatchObject({ status: 'error', errorType: 'bad_data' });
    expect((await fetch(`${prometheus.url}/-/ready`)).status).toBe(200);
  });
});

describe('Pushgateway', () => {
  let gateway: Pushgateway;
  const group = () => `${gateway.url}/metrics/job/k8s-version-upgrade`;
  const push = (method: string, body: string, url = group()) => post(url, body, {}, method);
  beforeEach(async () => {
    gateway = await started(new Pushgateway());
  });

  test('replaces the group on PUT, metrics of the same names on POST, and removes the group on DELETE', async () => {
    await push('PUT', '# TYPE a gauge\na 1\nb{kind="patch"} 2\nb{kind="minor"} 3\n');
    await push('POST', 'b{kind="patch"} 5\n');
    expect(gateway.value('a')).toBe(1);
    expect(gateway.value('b', { kind: 'patch', job: 'k8s-version-upgrade' })).toBe(5);
    expect(gateway.value('b', { kind: 'minor' })).toBeUndefined();
    await push('PUT', 'c 7\n');
    expect([gateway.value('a'), gateway.value('c')]).toEqual([undefined, 7]);
    expect((await push('DELETE', '')).status).toBe(202);
    expect(gateway.value('c')).toBeUndefined();
    expect(gateway.history.map(({ method }) => method)).toEqual(['PUT', 'POST', 'PUT', 'DELETE']);
  });

  test('separates groups by their labels', async () => {
    await push('PUT', 'a 1\n', `${group()}/instance/one`);
    await push('PUT', 'a 2\n', `${group()}/instance/two`);
    expect(gateway.value('a', { instance: 'two' })).toBe(2);
    expect(gateway.samples('a')).toHaveLength(2);
  });

  test('exposes all samples with the time of the push', async () => {
    await push('PUT', 'a{text="q\\"uote"} 1.5e9\n');
    const text = await (await fetch(`${gateway.url}/metrics`)).text();
    expect(text).toContain('a{instance="",text="q\\"uote",job="k8s-version-upgrade"} 1500000000\n');
    expect(text).toMatch(/^push_time_seconds\{instance="",job="k8s-version-upgrade"\} \d+(\.\d+)?$/m);
  });

  test.each([
    ['an invalid line', 'a one\n', 400],
    ['a missing last newline', 'a 1', 400],
  ])('refuses %s and keeps its samples', async (_what, body, status) => {
    await push('PUT', 'a 1\n');
    expect((await push('PUT', body)).status).toBe(status);
    expect(gateway.value('a')).toBe(1);
    expect((await push('PUT', 'a 1\n', `${gateway.url}/metrics/instance/x`)).status).toBe(404);
  });
});

describe('Slack', () => {
  test('accepts messages at its webhook and emits an event for each', async () => {
    const slack = await started(new Slack());
    const received: string[] = [];
    slack.events.on('message', ({ text }) => received.push(text));
    const answer = await post(slack.webhook, { text: 'hello', blocks: [] });
    expect([answer.status, await answer.text()]).toEqual([200, 'ok']);
    expect(received).toEqual(['hello']);
    expect((await post(slack.webhook, 'no json')).status).toBe(400);
    expect((await post(slack.webhook, {})).status).toBe(400);
    expect((await post(`${slack.url}/services/T000/B000/other`, { text: 'x' })).status).toBe(404);
    expect(slack.messages).toHaveLength(1);
  });
});

describe('AgentService', () => {
  const inputs = '{"target_version":"1.34.5","note":"a } in text","nested":{"dry_run":true}}';
  const prompt = `Run the k8s-version-upgrade agent. Inputs: ${inputs} Report {what} you did.`;
  const body = {
    prompt,
    agent: '.claude/agents/k8s-version-upgrade',
    max_budget_usd: 5,
    timeout_seconds: 60,
  };
  const authorization = { authorization: 'Bearer secret' };
  let submitted: string[];
  let agent: AgentService;
  const execute = (payload: unknown = body, headers: Record<string, string> = authorization) =>
    post(`${agent.url}/execute`, payload, headers);
  beforeEach(async () => {
    submitted = [];
    agent = await started(
      new AgentService({
        token: 'secret',
        submit: async (text) => {
          submitted.push(text);
          return { exitCode: 3, output: 'blocked' };
        },
      }),
    );
  });

  test('submits the inputs of the prompt and reports the job', async () => {
    const ended = new Promise((resolve) => agent.events.once('ended', resolve));
    const answer = await execute();
    expect(answer.status).toBe(202);
    const { job_id, status } = (await answer.json()) as { job_id: string; status: string };
    expect(status).toBe('queued');
    await ended;
    expect(submitted).toEqual([inputs]);
    const job = await fetch(`${agent.url}/jobs/${job_id}`, { headers: authorization });
    expect(await job.json()).toMatchObject({ job_id, status: 'failed', exit_code: 3, output: 'blocked' });
    agent.forget();
    expect((await fetch(`${agent.url}/jobs/${job_id}`, { headers: authorization })).status).toBe(404);
  });

  test('refuses what the real service refuses (F3)', async () => {
    expect((await execute(body, {})).status).toBe(401);
    expect((await execute(body, { authorization: 'Bearer other' })).status).toBe(401);
    expect((await execute({ agent: 'x' })).status).toBe(422);
    expect((await execute('no json')).status).toBe(422);
    expect((await execute({ ...body, timeout_seconds: -1 })).status).toBe(422);
    agent.queueFull = true;
    expect((await execute()).status).toBe(429);
    expect((await fetch(`${agent.url}/jobs`, { headers: authorization })).status).toBe(404);
    const remove = await fetch(`${agent.url}/jobs/1`, { method: 'DELETE', headers: authorization });
    expect(remove.status).toBe(405);
    expect(submitted).toEqual([]);
  });

  test('finds the inputs in a prompt, or undefined', () => {
    expect(inputsOf(prompt)).toBe(inputs);
    expect(inputsOf('Inputs: {"cut":')).toBeUndefined();
    expect(inputsOf('no inputs')).toBeUndefined();
  });
});
