import type { IncomingMessage, ServerResponse } from 'node:http';
import { bodyOf, HttpService, send } from './http.ts';
import type { Labels } from './prometheus.ts';

/** One request that changed a group. */
export interface Push {
  readonly method: 'PUT' | 'POST' | 'DELETE';
  /** Labels of the group, including `job`. */
  readonly grouping: Labels;
  /** The metrics, in the text format. */
  readonly body: string;
  /** When it arrived, in Unix milliseconds. */
  readonly at: number;
}

interface Sample {
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

interface Group {
  readonly grouping: Labels;
  samples: Sample[];
  pushedAt: number;
}

/**
 * Pushgateway: `PUT` replaces the group, `POST` the metrics of the same names, `DELETE` removes the group.
 */
export class Pushgateway extends HttpService {
  /** Every accepted push, oldest first. */
  readonly history: Push[] = [];
  readonly #groups = new Map<string, Group>();

  /** Value of the first of {@link samples}; undefined when there is none. */
  value(name: string, labels: Labels = {}): number | undefined {
    return this.samples(name, labels)[0]?.value;
  }

  /** All samples with this name and at least these labels. Grouping labels are included. */
  samples(name: string, labels: Labels = {}): Sample[] {
    const all = [...this.#groups.values()].flatMap(({ grouping, samples }) =>
      samples.map((sample) => ({ ...sample, labels: { ...sample.labels, ...grouping } })),
    );
    return all.filter(
      (sample) =>
        sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    );
  }

  protected override async answer(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
  ): Promise<void> {
    if (url.pathname === '/metrics' && request.method === 'GET') {
      return send(response, 200, this.#exposition(), { 'content-type': 'text/plain; version=0.0.4' });
    }
    if (url.pathname === '/-/ready') return send(response, 200, 'OK');
    const grouping = groupingOf(url.pathname);
    const { method } = request;
    if (grouping === undefined) return send(response, 404, '404 page not found\n');
    if (method !== 'PUT' && method !== 'POST' && method !== 'DELETE') {
      return send(response, 405, 'Method Not Allowed\n');
    }
    const body = await bodyOf(request);
    const samples = parseExposition(body);
    if (typeof samples === 'string') return send(response, 400, `text format parsing error: ${samples}\n`);
    this.history.push({ method, grouping, body, at: Date.now() });
    this.#change(method, grouping, samples);
    send(response, method === 'DELETE' ? 202 : 200, '');
  }

  #change(method: Push['method'], grouping: Labels, samples: Sample[]): void {
    const key = JSON.stringify(Object.entries(grouping).sort());
    if (method === 'DELETE') {
      this.#groups.delete(key);
      return;
    }
    const names = new Set(samples.map(({ name }) => name));
    const before = method === 'POST' ? (this.#groups.get(key)?.samples ?? []) : [];
    const kept = before.filter(({ name }) => !names.has(name));
    this.#groups.set(key, { grouping, samples: [...kept, ...samples], pushedAt: Date.now() / 1000 });
  }

  #exposition(): string {
    const lines = [...this.#groups.values()].flatMap(({ grouping, samples, pushedAt }) => [
      ...samples.map(({ name, labels, value }) => line(name, { ...labels, ...grouping }, value)),
      line('push_time_seconds', grouping, pushedAt),
    ]);
    return `${lines.join('\n')}\n`;
  }
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries({ instance: '', ...labels }).map(([key, v]) => `${key}="${quoted(v)}"`);
  return `${name}{${pairs.join(',')}} ${value}`;
}

const quoted = (text: string) => text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');

/** The grouping labels in `/metrics/job/J/label/value…`; undefined for any other path. */
function groupingOf(path: string): Labels | undefined {
  const parts = path.split('/').slice(1).map(decodeURIComponent);
  const [metrics, ...pairs] = parts;
  if (metrics !== 'metrics' || pairs[0] !== 'job' || pairs.length % 2 !== 0 || !pairs[1]) return undefined;
  return Object.fromEntries(
    Array.from({ length: pairs.length / 2 }, (_, i) => [pairs[2 * i] ?? '', pairs[2 * i + 1] ?? '']),
  );
}

/** Returns the samples, or the first invalid line, for which Pushgateway refuses the whole push. */
function parseExposition(text: string): Sample[] | string {
  if (text !== '' && !text.endsWith('\n')) return 'unexpected end of input stream';
  const samples: Sample[] = [];
  for (const each of text.split('\n').filter((l) => l.trim() !== '' && !l.startsWith('#'))) {
    const [, name, , inner = '', value = ''] =
      /^([a-zA-Z_:][\w:]*)(\{(.*)\})?\s+(\S+)\s*$/.exec(each.trim()) ?? [];
    if (name === undefined || Number.isNaN(Number(value))) return each;
    samples.push({ name, labels: parseLabels(inner), value: Number(value) });
  }
  return samples;
}

function parseLabels(text: string): Labels {
  const pairs = text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g);
  return Object.fromEntries(
    [...pairs].map(([, key = '', value = '']) => [
      key,
      value.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c)),
    ]),
  );
}
