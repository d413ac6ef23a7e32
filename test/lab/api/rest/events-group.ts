import type { KubeObject } from '../types.ts';

/** Fields whose names differ between the core group, where Events are stored, and `events.k8s.io/v1`. */
const names: readonly (readonly [core: string, group: string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
];

function renamed(object: KubeObject, apiVersion: string, from: 0 | 1): KubeObject {
  const to = from === 0 ? 1 : 0;
  const map = new Map(names.map((pair) => [pair[from], pair[to]]));
  const fields = Object.entries(object).map(([field, value]) => [map.get(field) ?? field, value]);
  return { ...Object.fromEntries(fields), apiVersion };
}

/** Converts a core Event to `events.k8s.io/v1`. */
export const toEventsGroup = (event: KubeObject): KubeObject => renamed(event, 'events.k8s.io/v1', 0);
/** Converts an Event of `events.k8s.io/v1` to the core group. */
export const toCoreEvent = (event: KubeObject): KubeObject => renamed(event, 'v1', 1);
