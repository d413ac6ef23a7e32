import { annotationKeys, jobLabels, metrics, objectNames } from '../../../runtime/src/names.ts';
import type { RunEvent } from '../../../runtime/src/report/events.ts';
import { cordonedNodes, kubeadmOverlaps, type NodeState, slackEnds } from '../../scenarios/observe.ts';
import type { Job, Node } from '../api/index.ts';
import type { Lab } from '../lab.ts';
import { type Course, clusterOf } from './lab.ts';
import type { Point, Strike } from './points.ts';

const keys = annotationKeys('viktorbarzin.me');

/** What cannot be read from the end state; started before the run. */
export class Witness {
  /** What the Jobs have reported, in the order of their logs. */
  readonly events: RunEvent[] = [];
  readonly #soaked = new Set<string>();

  readonly #workers: readonly string[];

  constructor(lab: Lab, { lab: { nodes = [] } }: Course) {
    this.#workers = nodes.filter(({ role }) => role === 'worker').map(({ name }) => name);
    lab.api.store.subscribe(({ resource, object }) => {
      if (resource !== 'nodes') return;
      const node = object as Node;
      const { name, annotations = {} } = node.metadata;
      if (annotations[keys.soaking] !== undefined) this.#soaked.add(name);
    });
    lab.events.on('run-event', (event) => this.events.push(event));
  }

  /** Workers whose soak never started. */
  get unsoaked(): string[] {
    return this.#workers.filter((name) => !this.#soaked.has(name));
  }
}

/** What is not as it must be after a run of all stages; empty when everything is. */
export function wrongAfterRun(
  lab: Lab,
  { target, cordonedByHand }: Course,
  witness: Witness,
  exitCode: number,
  point: Point | undefined,
  struck: Strike | undefined,
): string[] {
  const { nodes, namespace, lease } = clusterOf(lab);
  const wrong: string[] = [];
  const check = (holds: boolean, what: string) => {
    if (!holds) wrong.push(what);
  };
  check(point === undefined || struck !== undefined, 'the point was never reached');
  check(exitCode === 0, `submit ended with exit code ${exitCode}`);
  for (const node of nodes) wrong.push(...wrongOfNode(node, target, cordonedByHand));
  check(lab.api.version === target, `the API server answers ${lab.api.version}`);
  for (const key of Object.values(keys))
    check(namespace[key] === undefined, `the namespace still has ${key}=${namespace[key]}`);
  // Also one that has run out: it was left to its time, and whoever comes next has to wait for that.
  check(lease === '', `the lease is held by ${lease}`);
  const twice = cordonedNodes(lab.cordons).filter((name, i, all) => all.indexOf(name) !== i);
  check(twice.length === 0, `drained twice: ${twice.join(', ')}`);
  const again = drainedAgain(witness.events);
  check(again.length === 0, `drained again after it was through: ${again.join(', ')}`);
  const lifted = lab.cordons.filter((one) => one.node === cordonedByHand);
  check(lifted.length === 0, `somebody's cordon of ${cordonedByHand} was changed`);
  check(kubeadmOverlaps(lab).length === 0, `kubeadm upgrade at once: ${kubeadmOverlaps(lab).join(', ')}`);
  check(witness.unsoaked.length === 0, `without a soak: ${witness.unsoaked.join(', ')}`);
  check(lab.pushgateway.value(metrics.inFlight.name) === 0, 'the in-flight gauge is not 0');
  lab.invariants.check(lab.api.requests.all);
  // Taken, so that the lab stops without saying them again.
  wrong.push(...lab.invariants.broken.splice(0));
  wrong.push(...wrongMessages(lab, struck), ...wrongJobs(lab), ...forbidden(lab));
  return wrong;
}

/** @param cordonedByHand the node that is to stay cordoned. */
export function wrongOfNode(node: NodeState, target: string, cordonedByHand: string | undefined): string[] {
  const { name, release, unschedulable, annotations } = node;
  const wrong = Object.values(keys)
    .filter((key) => key in annotations)
    .map((key) => `${name} still has ${key}`);
  if (release !== target) wrong.push(`${name} is at ${release}`);
  if (unschedulable !== (name === cordonedByHand))
    wrong.push(`${name} is ${unschedulable ? '' : 'not '}cordoned`);
  return wrong;
}

/**
 * Nodes whose drain was started once more although nothing was left to do there, which a cordon that is still
 * in place does not show. Who is killed between the script and the lifted cordon has to look again; a process
 * that lives has not, and a node that was given back is through for good. /
 */
export function drainedAgain(events: readonly RunEvent[]): string[] {
  const through = new Set<string>();
  const updated = new Set<string>();
  const again: string[] = [];
  for (const event of events) {
    if (event.type === 'run-started') updated.clear();
    if (event.type !== 'node') continue;
    const { node, phase } = event;
    if (phase === 'draining' && (through.has(node) || updated.has(node))) again.push(node);
    if (phase === 'updated') updated.add(node);
    if (phase === 'soaking' || phase === 'done') through.add(node);
  }
  return again;
}

/**
 * Exactly one completion message; two where nobody can know whether there was one: Slack took it and the
 * process died before the end of the rollout was written down. /
 */
function wrongMessages(lab: Lab, struck: Strike | undefined): string[] {
  const ends = slackEnds(lab, 'done').length;
  const wrong =
    ends === 1 || (ends === 2 && struck?.endWasReported === true) ? [] : [`${ends} completion messages`];
  // Once the lease is released, nothing tells that the process did not come to its own end.
  const again = lab.slack.messages.filter(({ text }) => /: done: every node is at \S+ already/.test(text));
  if (again.length > 0 && struck?.what.startsWith('update leases/') !== true)
    wrong.push('the end was reported again');
  return wrong;
}

function wrongJobs(lab: Lab): string[] {
  const jobs = lab.api.store
    .list('jobs', objectNames.namespace)
    .filter((job) => job.metadata.labels?.[jobLabels.run]);
  const has = (job: Job, type: string) =>
    job.status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false;
  return jobs.flatMap((job) => {
    if (has(job, 'Complete')) return [];
    return [`Job ${job.metadata.name} ${has(job, 'Failed') ? 'failed' : 'has not ended'}`];
  });
}

export function forbidden(lab: Lab): string[] {
  const refused = lab.api.requests.all.filter((request) => request.status === 403);
  const texts = refused.map(({ user, verb, resource, name }) => `403: ${user} ${verb} ${resource}/${name}`);
  return [...new Set(texts)];
}
