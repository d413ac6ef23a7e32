import { statSync } from 'node:fs';
import { join } from 'node:path';
import { assembledScripts } from '../../../runtime/node-scripts.mjs';
import { annotationKeys } from '../../../runtime/src/names.ts';
import { slackEnds } from '../../scenarios/observe.ts';
import type { Call, CallGate, Interference } from '../call-gate.ts';
import type { Lab } from '../lab.ts';
import { clusterOf } from './lab.ts';
import { Owners } from './owners.ts';
import { type CallRecord, isPart, isStatus, matches, type Point, type Strike } from './points.ts';

const keys = annotationKeys('viktorbarzin.me');

/** Longer than every request timeout in the lab's settings. Milliseconds. */
const silenceMs = 4_000;

/**
 * How many bytes of a script arrive. It is sent as base64; the launcher follows and starts it with its last
 * line.
 */
function scriptBytes(what: string, part: 'half' | 'most'): number {
  const name = /^start (\w+) /.exec(what)?.[1] ?? 'update_k8s';
  const sizeOf = (script: string) => statSync(join(assembledScripts, `${script}.sh`)).size;
  const payload = Math.ceil(sizeOf(name) / 3) * 4;
  return part === 'half' ? Math.round(payload / 2) : payload + sizeOf('detach') - 60;
}

/** Numbers the calls of the lab's pods, and interferes with one of them as a {@link Point} says. */
export class CallCounter implements CallGate {
  /** Every call so far, in order of arrival. */
  readonly records: CallRecord[] = [];
  /** The call that was hit; undefined until then. */
  struck: Strike | undefined;
  /** How far the run is, such as `k8s-node2 draining`. */
  phase = 'start';
  readonly #lab: Lab;
  readonly #point: Point | undefined;
  readonly #owners: Owners;
  readonly #open = new WeakMap<Call, CallRecord>();
  readonly #connections = new Map<number, CallRecord>();
  readonly #times = new Map<string, number>();

  /**
   * Starts to count.
   *
   * @param cronJob only calls of pods of this CronJob's Jobs count.
   * @param point the call to interfere with. @default none
   */
  constructor(lab: Lab, cronJob: string, point?: Point) {
    this.#lab = lab;
    this.#point = point;
    const counts = ([, pod]: [number, string]) => pod.startsWith(`${cronJob}-`);
    this.#owners = new Owners(() => new Map([...lab.api.runner.processes()].filter(counts)));
    this.#install(this);
  }

  /** Stops counting; every call passes. */
  stop(): void {
    this.#install(undefined);
  }

  #install(gate: CallGate | undefined): void {
    const { api, nodes, packages, prometheus, pushgateway, slack, agentService } = this.#lab;
    api.faults.gate = gate;
    for (const node of nodes.values()) node.ssh.gate = gate;
    for (const service of [packages, prometheus, pushgateway, slack, agentService]) service.gate = gate;
  }

  /** Counts the call. */
  arrived(call: Call): Interference | undefined {
    const owner = this.#owners.of(call.port);
    if (owner === undefined) return undefined;
    const what = call.what
      .replace(/^create pods\/\S+\/eviction/, 'create pods/*/eviction')
      .replace(/(\S+\/T\S+\/B).*/, '$1')
      .replace(/(k8s-version-(?:upgrade|check)-)\S+/, '$1*');
    const nth = (this.#times.get(what) ?? 0) + 1;
    this.#times.set(what, nth);
    const n = this.records.length + 1;
    const record: CallRecord = { n, what, nth, phase: this.phase, processName: owner.name };
    this.records.push(record);
    if (call.kind === 'ssh') this.#connections.set(call.port, record);
    else this.#open.set(call, record);
    return this.#strike(record, 'before');
  }

  /** Interferes before the answer when the point says `after`. */
  answering(call: Call): ReturnType<CallGate['answering']> {
    const record = call.kind === 'ssh' ? this.#connections.get(call.port) : this.#open.get(call);
    const how = record && this.#strike(record, 'after');
    return typeof how === 'object' && !('silenceMs' in how) ? undefined : how;
  }

  #strike(record: CallRecord, moment: Point['moment']): Interference | undefined {
    const point = this.#point;
    if (point === undefined || this.struck !== undefined) return undefined;
    if (point.moment !== moment || !matches(point, record)) return undefined;
    const endWasReported =
      slackEnds(this.#lab, 'done').length > 0 && keys.inFlight in clusterOf(this.#lab).namespace;
    this.struck = { ...record, endWasReported };
    if (point.action === 'silence') return { silenceMs };
    if (isPart(point.action)) return { afterBytes: scriptBytes(record.what, point.action) };
    if (isStatus(point.action))
      return point.action === '429' ? { status: 429, retryAfter: 1 } : { status: 500 };
    if (point.action === 'kill') this.#lab.api.runner.kill(record.processName, 'SIGKILL');
    return 'cut';
  }
}
