import { annotationKeys, jobLabels, metrics, objectNames } from '../../../runtime/src/names.ts';
import type { RunEvent } from '../../../runtime/src/report/events.ts';
import { cordonedNodes, kubeadmOverlaps, type NodeState, slackEnds } from '../../scenarios/observe.ts';
import type { Job, Node } from '../api/index.ts';
import type { Lab } from '../lab.ts';
import { type Course, clusterOf } from './lab.ts';
import type { Point, Strike } from './points.ts';

const keys = annotationKeys('viktorbarzin.me');

/** Records what the end state does not show. Create it before the run starts. */
export class Witness {
  /** The events of the Jobs, in the order of their logs. */
  readonly events: RunEvent[] = [];
  readonly #soaked = new Set<string>();

  readonly #nodes: readonly string[];

  constructor(lab: Lab, { lab: { nodes = [] } }: Course) {
    this.#nodes = nodes.map(({ name }) => name);
    lab.api.store.subscribe(({ resource, object }) => {
      if (resource !== 'nodes') return;
      const node = object as Node;
      const { name, annotations = {} } = node.metadata;
      if (annotations[keys.soaking] !== undefined) this.#soaked.add(name);
    });
    lab.events.on('run-event', (event) => this.events.push(event));
  }

  /** Nodes whose soak never started. */
  get unsoaked(): string[] {
    return this.#nodes.filter((name) => !this.#soaked.has(name));
  }
}

/** What is wrong after a run of all stages; empty when nothing is. */
export function wrongAfterRun(
  lab: Lab,
  { target, cordonedByPerson }: Course,
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
  for (const node of nodes) wrong.push(...wrongOfNode(node, target, cordonedByPerson));
  check(lab.api.version === target, `the API server answers ${lab.api.version}`);
  for (const key of Object.values(keys))
    check(namespace[key] === undefined, `the namespace still has ${key}=${namespace[key]}`);
  // An expired lease is wrong, too: it was not released, and the next run had to wait for its expiry.
  check(lease === '', `the lease is held by ${lease}`);
  const twice = cordonedNodes(lab.cordons).filter((name, i, all) => all.indexOf(name) !== i);
  check(twice.length === 0, `drained twice: ${twice.join(', ')}`);
  const again = drainedAgain(witness.events);
  check(again.length === 0, `drained again after it was finished: ${again.join(', ')}`);
  const changed = lab.cordons.filter((one) => one.node === cordonedByPerson);
  check(changed.length === 0, `the cordon of ${cordonedByPerson}, which a person set, was changed`);
  check(
    kubeadmOverlaps(lab).length === 0,
    `kubeadm upgrade on two nodes at once: ${kubeadmOverlaps(lab).join(', ')}`,
  );
  check(witness.unsoaked.length === 0, `without a soak: ${witness.unsoaked.join(', ')}`);
  check(lab.pushgateway.value(metrics.inFlight.name) === 0, 'the in-flight gauge is not 0');
  lab.invariants.check(lab.api.requests.all);
  // Removes them, so that the lab does not report them again when it stops.
  wrong.push(...lab.invariants.broken.splice(0));
  wrong.push(...wrongMessages(lab, struck), ...wrongJobs(lab), ...forbidden(lab));
  return wrong;
}

/**
 * What is wrong with a node after a run.
 *
 * @param cordonedByPerson the node that must stay cordoned.
 */
export function wrongOfNode(node: NodeState, target: string, cordonedByPerson: string | undefined): string[] {
  const { name, release, unschedulable, annotations } = node;
  const wrong = Object.values(keys)
    .filter((key) => key in annotations)
    .map((key) => `${name} still has ${key}`);
  if (release !== target) wrong.push(`${name} is at ${release}`);
  if (unschedulable !== (name === cordonedByPerson))
    wrong.push(`${name} is ${unschedulable ? '' : 'not '}cordoned`);
  return wrong;
}

/**
 * Nodes whose drain started again although nothing was left to do there; an existing cordon does not show
 * that. Draining again is right only when the process was killed between the script and the uncordon: never
 * in the same process, and never after the node was uncordoned.
 */
export function drainedAgain(events: readonly RunEvent[]): string[] {
  const finished = new Set<string>();
  const updated = new Set<string>();
  const again: string[] = [];
  for (const event of events) {
    if (event.type === 'run-started') updated.clear();
    if (event.type !== 'node') continue;
    const { node, phase } = event;
    if (phase === 'draining' && (finished.has(node) || updated.has(node))) again.push(node);
    if (phase === 'updated') updated.add(node);
    if (phase === 'soaking' || phase === 'done') finished.add(node);
  }
  return again;
}

/**
 * Exactly one completion message is right. Two are allowed when the process died after Slack accepted the
 * first and before the end of the rollout was recorded.
 */
function wrongMessages(lab: Lab, struck: Strike | undefined): string[] {
  const ends = slackEnds(lab, 'done').length;
  const wrong =
    ends === 1 || (ends === 2 && struck?.endWasReported === true) ? [] : [`${ends} completion messages`];
  // A process that dies after releasing the lease leaves no trace of that, so the next one reports the end,
  // too.
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

/** Every different request that was refused with 403. */
export function forbidden(lab: Lab): string[] {
  const refused = lab.api.requests.all.filter((request) => request.status === 403);
  const texts = refused.map(({ user, verb, resource, name }) => `403: ${user} ${verb} ${resource}/${name}`);
  return [...new Set(texts)];
}
