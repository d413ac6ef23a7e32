/**
 * What is done to a call: its program is killed, or the call goes wrong. `half` and `most` are for scripts
 * that are sent to a node: the connection breaks off when that much of it has arrived. /
 */
export const deeds = ['kill', '500', '429', 'reset', 'silence', 'half', 'most'] as const;
export type Deed = (typeof deeds)[number];
/** `before` the call has any effect, or `after` it took effect and before its answer arrives. */
export type Moment = 'before' | 'after';

/** One call of a run and what is done to it. */
export interface Point {
  /** The n-th call of the run, or the nth of those that are called `what`. Both count from 1. */
  readonly call: { readonly n: number } | { readonly what: string; readonly nth: number };
  readonly moment: Moment;
  readonly deed: Deed;
}

/** A call of a program, numbered. */
export interface CallRecord {
  readonly n: number;
  /** Without what is random in it. */
  readonly what: string;
  /** Which one of those with the same `what`. */
  readonly nth: number;
  /** How far the run was, by its own log: `workers k8s-node2 draining`. */
  readonly phase: string;
  readonly process: string;
}

/** The call that it happened to. */
export interface Strike extends CallRecord {
  /** Slack had the completion message, and the rollout was still marked as in flight. */
  readonly endWasReported: boolean;
}

export const matches = (point: Point, record: CallRecord): boolean =>
  'n' in point.call
    ? point.call.n === record.n
    : point.call.what === record.what && point.call.nth === record.nth;

/** `17:after`, `patch nodes/k8s-node2#1:before:reset`: what {@link parsePoint} reads. */
export function pointText({ call, moment, deed }: Point): string {
  const place = 'n' in call ? String(call.n) : `${call.what}#${call.nth}`;
  return `${place}:${moment}${deed === 'kill' ? '' : `:${deed}`}`;
}

/** Undefined for anything that {@link pointText} would not write. */
export function parsePoint(text: string): Point | undefined {
  const [, place = '', moment, deed = 'kill'] = /^(.+?):(before|after)(?::(\w+))?$/.exec(text) ?? [];
  if (moment !== 'before' && moment !== 'after') return undefined;
  if (!isDeed(deed) || (moment === 'after' && isBeforehand(deed))) return undefined;
  if (/^\d+$/.test(place)) return { call: { n: Number(place) }, moment, deed };
  const [, what, nth] = /^(.+)#(\d+)$/.exec(place) ?? [];
  if (what === undefined) return undefined;
  return { call: { what, nth: Number(nth) }, moment, deed };
}

const isDeed = (text: string): text is Deed => (deeds as readonly string[]).includes(text);
/** An answer instead of the effect. */
export const isStatus = (deed: Deed): deed is '500' | '429' => deed === '500' || deed === '429';
/** The connection breaks off on the way there. */
export const isPart = (deed: Deed): deed is 'half' | 'most' => deed === 'half' || deed === 'most';
const isBeforehand = (deed: Deed): boolean => isStatus(deed) || isPart(deed);

/** A like call well before this one; the first stays as it is. */
export function earlier(point: Point): Point {
  if ('n' in point.call || point.call.nth === 1) return point;
  return { ...point, call: { ...point.call, nth: Math.ceil(point.call.nth * 0.8) - 1 || 1 } };
}

/** Calls of one sort are alike in what a crash there can leave behind. */
export function sortOf({ what }: CallRecord): string {
  if (what.startsWith('connect ')) return 'ssh connection';
  if (/ on \S+$/.test(what)) return what.replace(/ on \S+$/, ' over ssh');
  if (/^(GET|POST|PUT) /.test(what)) return what.split('/')[0] ?? what;
  if (what.includes('leases')) return what.split('/')[0] ?? what;
  const [verb = '', path = ''] = what.split(' ');
  const [resource = '', , subresource] = path.split('/');
  return [verb, resource, subresource].filter(Boolean).join(' ');
}

/**
 * A spread of a run's calls: as many of each sort as of any other, from its whole length, before and after in
 * turn. Rare sorts, such as the creation of the next Job, are thus taken whole and frequent ones sampled. /
 */
export function spread(records: readonly CallRecord[], count: number): Point[] {
  const sorts = new Map<string, Point[]>();
  for (const record of records) {
    const { what, nth } = record;
    const both = (['before', 'after'] as const).map((moment) => ({
      call: { what, nth },
      moment,
      deed: 'kill' as const,
    }));
    sorts.set(sortOf(record), [...(sorts.get(sortOf(record)) ?? []), ...both]);
  }
  const quotas = quotasOf(
    [...sorts.values()].map((points) => points.length),
    count,
  );
  return [...sorts.values()].flatMap((points, i) => sample(points, quotas[i] ?? 0));
}

/** Every way in which a call goes wrong. */
const wrongs: readonly Pick<Point, 'moment' | 'deed'>[] = [
  { moment: 'before', deed: '500' },
  { moment: 'after', deed: 'reset' },
  { moment: 'before', deed: '429' },
  { moment: 'after', deed: 'silence' },
  { moment: 'before', deed: 'reset' },
  { moment: 'before', deed: 'silence' },
];

/** The same calls with something else done to them, one after the other. */
export function asFaults(points: readonly Point[]): Point[] {
  return points.map(({ call }, i) => ({
    call,
    moment: 'before',
    deed: 'reset',
    ...wrongs[i % wrongs.length],
  }));
}

/**
 * Each call in every way that it can go wrong. Over SSH no status is answered: there a connection breaks off
 * or is silent.
 */
export function eachFault(records: readonly CallRecord[]): Point[] {
  return records.flatMap(({ what, nth }) =>
    wrongs
      .filter(({ deed }) => !isStatus(deed) || !isOverSsh(what))
      .map(({ moment, deed }) => ({ call: { what, nth }, moment, deed })),
  );
}

const isOverSsh = (what: string): boolean => what.startsWith('connect ') || / on \S+$/.test(what);

/** Shares `count` out evenly; what a small group cannot use goes to the others. */
function quotasOf(sizes: readonly number[], count: number): number[] {
  const quotas = sizes.map(() => 0);
  let left = Math.min(
    count,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  for (let i = 0; left > 0; i = (i + 1) % sizes.length) {
    if ((quotas[i] ?? 0) >= (sizes[i] ?? 0)) continue;
    quotas[i] = (quotas[i] ?? 0) + 1;
    left -= 1;
  }
  return quotas;
}

/** Evenly from the whole list, its ends among them; of one alone, the last. */
function sample<T>(list: readonly T[], count: number): T[] {
  const step = (list.length - 1) / Math.max(1, count - 1);
  return Array.from({ length: count }, (_, i) => list[list.length - 1 - Math.round(i * step)])
    .filter((one) => one !== undefined)
    .reverse();
}
