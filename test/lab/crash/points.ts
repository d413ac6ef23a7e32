/**
 * What happens to a call: its process is killed, or the call fails. `half` and `most` are for scripts that
 * are sent to a node: the connection breaks off when that much has arrived.
 */
export const actions = ['kill', '500', '429', 'reset', 'silence', 'half', 'most'] as const;
/** One of {@link actions}. */
export type Action = (typeof actions)[number];
/** `before` the call has any effect; or `after` it took effect, but before its answer arrives. */
export type Moment = 'before' | 'after';

/** One call of a run, and what happens to it. */
export interface Point {
  /** The n-th call of the run, or the nth of the calls named `what`. Both count from 1. */
  readonly call: { readonly n: number } | { readonly what: string; readonly nth: number };
  /** When it happens. */
  readonly moment: Moment;
  /** What happens. */
  readonly action: Action;
}

/** A call of a program, numbered. */
export interface CallRecord {
  /** From 1, in order of arrival. */
  readonly n: number;
  /** The call in a few words, without its random parts. */
  readonly what: string;
  /** Its number among those with the same `what`, from 1. */
  readonly nth: number;
  /** How far the run was by its events, such as `workers` or `k8s-node2 draining`. */
  readonly phase: string;
  /** The pod that made the call. */
  readonly processName: string;
}

/** The call that was hit. */
export interface Strike extends CallRecord {
  /** Slack already had the completion message, while the rollout was still annotated as in flight. */
  readonly endWasReported: boolean;
}

/** Whether the point means this call. */
export const matches = (point: Point, record: CallRecord): boolean =>
  'n' in point.call
    ? point.call.n === record.n
    : point.call.what === record.what && point.call.nth === record.nth;

/** The text that {@link parsePoint} reads: `17:after`, `patch nodes/k8s-node2#1:before:reset`. */
export function pointText({ call, moment, action }: Point): string {
  const place = 'n' in call ? String(call.n) : `${call.what}#${call.nth}`;
  return `${place}:${moment}${action === 'kill' ? '' : `:${action}`}`;
}

/** @returns undefined for anything that {@link pointText} does not write. */
export function parsePoint(text: string): Point | undefined {
  const [, place = '', moment, action = 'kill'] = /^(.+?):(before|after)(?::(\w+))?$/.exec(text) ?? [];
  if (moment !== 'before' && moment !== 'after') return undefined;
  if (!isAction(action) || (moment === 'after' && happensOnlyBefore(action))) return undefined;
  if (/^\d+$/.test(place)) return { call: { n: Number(place) }, moment, action };
  const [, what, nth] = /^(.+)#(\d+)$/.exec(place) ?? [];
  if (what === undefined) return undefined;
  return { call: { what, nth: Number(nth) }, moment, action };
}

const isAction = (text: string): text is Action => (actions as readonly string[]).includes(text);
/** The call is answered with an error and has no effect. */
export const isStatus = (action: Action): action is '500' | '429' => action === '500' || action === '429';
/** The connection breaks off while the script is being sent. */
export const isPart = (action: Action): action is 'half' | 'most' => action === 'half' || action === 'most';
const happensOnlyBefore = (action: Action): boolean => isStatus(action) || isPart(action);

/** A call of the same name a fifth earlier in the run; the first one stays as it is. */
export function earlier(point: Point): Point {
  if ('n' in point.call || point.call.nth === 1) return point;
  return { ...point, call: { ...point.call, nth: Math.ceil(point.call.nth * 0.8) - 1 || 1 } };
}

/** The sort of a call. A crash at one leaves behind the same as at any other of its sort. */
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
 * Kill points spread over a run: the same number of each sort of call, over its whole length, before and
 * after. So rare sorts, such as creating the next Job, are complete and frequent ones sampled.
 */
export function spread(records: readonly CallRecord[], count: number): Point[] {
  const sorts = new Map<string, Point[]>();
  for (const record of records) {
    const { what, nth } = record;
    const both = (['before', 'after'] as const).map((moment) => ({
      call: { what, nth },
      moment,
      action: 'kill' as const,
    }));
    sorts.set(sortOf(record), [...(sorts.get(sortOf(record)) ?? []), ...both]);
  }
  const quotas = quotasOf(
    [...sorts.values()].map((points) => points.length),
    count,
  );
  return [...sorts.values()].flatMap((points, i) => sample(points, quotas[i] ?? 0));
}

/** Every way in which a call fails. */
const failures: readonly Pick<Point, 'moment' | 'action'>[] = [
  { moment: 'before', action: '500' },
  { moment: 'after', action: 'reset' },
  { moment: 'before', action: '429' },
  { moment: 'after', action: 'silence' },
  { moment: 'before', action: 'reset' },
  { moment: 'before', action: 'silence' },
];

/** The same calls, failing in each way in turn. */
export function asFaults(points: readonly Point[]): Point[] {
  return points.map(({ call }, i) => ({
    call,
    moment: 'before',
    action: 'reset',
    ...failures[i % failures.length],
  }));
}

/**
 * Each call in every way that it can fail. SSH has no status: its connections only break off or are silent.
 */
export function eachFault(records: readonly CallRecord[]): Point[] {
  return records.flatMap(({ what, nth }) =>
    failures
      .filter(({ action }) => !isStatus(action) || !isOverSsh(what))
      .map(({ moment, action }) => ({ call: { what, nth }, moment, action })),
  );
}

const isOverSsh = (what: string): boolean => what.startsWith('connect ') || / on \S+$/.test(what);

/** Divides `count` evenly; what a small group cannot use goes to the others. */
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

/**
 * `count` items evenly from the list, with the first and the last. A single one is from its second half:
 * nodes are upgraded there, and a shorter run comes to it, too.
 */
function sample<T>(list: readonly T[], count: number): T[] {
  if (count === 1) return list.slice(Math.round((list.length - 1) * (2 / 3))).slice(0, 1);
  const step = (list.length - 1) / Math.max(1, count - 1);
  return Array.from({ length: count }, (_, i) => list[list.length - 1 - Math.round(i * step)])
    .filter((one) => one !== undefined)
    .reverse();
}
