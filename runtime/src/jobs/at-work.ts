import type { KubernetesClient } from '../cluster/client.ts';
import { readHolder } from '../cluster/lease.ts';
import { timeOf } from '../cluster/nodes.ts';
import type { ReleaseSource } from '../gates/gate.ts';
import { annotationKeys } from '../names.ts';
import { minorOf, type Release } from '../release.ts';
import { type InFlight, inFlightOf } from '../rollout/journal.ts';
import type { Settings } from '../settings/settings.ts';
import { isActive, listLegs, newestPods, untakenDue, untakenReason } from './job.ts';
import { isLost, lostText } from './stranded.ts';
import { untakenText } from './unscheduled.ts';

/** What the namespace and the Jobs say of a rollout. */
export interface Rollout {
  /** Of the namespace, by which a change after this reading is noticed. */
  readonly version: string | undefined;
  readonly inFlight: InFlight | undefined;
  /** `X.Y.Z RFC3339 PROCESS` of the last dispatch. */
  readonly dispatched: string | undefined;
  /** Who is at it right now, in words. */
  readonly busy: string | undefined;
  /** Why the leg that should be at it is not: no node takes it, or its node is gone, and that does not pass by itself. */
  readonly untaken: string | undefined;
  /** Job of the leg that should be at it, while it has no pod: there may be none for a moment, or somebody keeps it from being made. */
  readonly podless: string | undefined;
  /** When the last leg was created, epoch milliseconds. */
  readonly lastLegAt: number | undefined;
}

export async function readRollout(client: KubernetesClient, settings: Settings): Promise<Rollout> {
  const { namespace, annotationPrefix, timing } = settings;
  const [{ metadata }, holder, legs, pods] = await Promise.all([
    client.call(`read namespace ${namespace}`, () => client.core.readNamespace({ name: namespace })),
    readHolder(client, namespace),
    listLegs(client, namespace),
    newestPods(client, namespace),
  ]);
  const annotations = metadata?.annotations ?? {};
  const leg = legs.find(isActive);
  const name = leg?.metadata?.name ?? '';
  const pod = pods.get(name);
  const due = untakenDue(pod, timing.unschedulable);
  const hangs = due !== undefined && Date.now() >= due;
  const atWork = holder !== undefined && !holder.expired;
  const gone = !atWork && isLost(pod) ? lostText(namespace, name, pod) : undefined;
  let busy: string | undefined;
  if (atWork) busy = `${holder.identity} has been at work since ${holder.since}`;
  else if (leg) busy = `Job ${name} has not ended`;
  return {
    version: metadata?.resourceVersion,
    inFlight: inFlightOf(annotations, annotationPrefix),
    dispatched: annotations[annotationKeys(annotationPrefix).dispatched],
    busy,
    untaken: hangs ? untakenText(namespace, name, untakenReason(pod)) : gone,
    podless: leg && !leg.spec?.suspend && pod === undefined && !atWork ? name : undefined,
    lastLegAt: timeOf(legs[0]?.metadata?.creationTimestamp),
  };
}

/**
 * What the rollout in flight goes to. One that nothing runs and no repository has was mistyped: there is nothing to finish.
 *
 * @param running everything that nodes and API server run.
 */
export async function targetInFlight(
  { inFlight }: Rollout,
  running: readonly Release[],
  repository: ReleaseSource,
): Promise<Release | undefined> {
  const target = inFlight?.target;
  if (target === undefined || running.includes(target)) return target;
  const minor = minorOf(target);
  const published = (await repository.hasMinor(minor)) ? await repository.packages(minor) : [];
  return published.some(({ release }) => release === target) ? target : undefined;
}
