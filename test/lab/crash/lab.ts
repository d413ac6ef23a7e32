import { objectNames } from '../../../runtime/src/names.ts';
import type { SettingsInput } from '../../../runtime/src/settings/settings.ts';
import { stateOf } from '../../scenarios/observe.ts';
import { labNodes, threeControlPlanes } from '../cluster.ts';
import { Lab, type LabOptions } from '../lab.ts';
import type { CallRecord } from './points.ts';

/** An upgrade to be interrupted: which cluster, from what to what. */
export interface Course {
  readonly name: 'patch' | 'minor' | 'ha';
  readonly target: string;
  readonly kind: 'patch' | 'minor';
  readonly lab: LabOptions;
  /** Seconds that the package manager and each step of kubeadm take there; nothing on the other nodes. */
  readonly slow: Readonly<Record<string, { readonly kubeadm: number; readonly 'apt-install'?: number }>>;
  /** A node cordoned by a person before the run, and to stay so (F11). */
  readonly cordonedByHand?: string;
  /** The calls that a spread is taken of. */
  readonly isOfInterest: (record: CallRecord) => boolean;
}

/**
 * A control plane and three workers, one of them out of service; a run takes two Jobs. On the slow nodes a
 * new executor is there before the script has ended, and meets kubeadm at work; on the others it finds it
 * done. /
 */
const patch: Course = {
  name: 'patch',
  target: '1.34.5',
  kind: 'patch',
  lab: { release: '1.34.2', published: ['1.34.2', '1.34.5'], nodes: labNodes.slice(0, 4) },
  slow: {
    'k8s-master': { kubeadm: 0.4, 'apt-install': 0.3 },
    'k8s-node2': { kubeadm: 1.5, 'apt-install': 0.3 },
  },
  cordonedByHand: 'k8s-node3',
  isOfInterest: () => true,
};

/**
 * The stages that a patch skips: a new repository on every node, and containerd of the control plane, which
 * is behind.
 */
const minor: Course = {
  name: 'minor',
  target: '1.35.3',
  kind: 'minor',
  lab: {
    release: '1.34.5',
    published: ['1.34.5', '1.35.3'],
    nodes: labNodes.slice(0, 3),
    containerd: { 'k8s-master': '2.0.5' },
  },
  slow: { 'k8s-master': { kubeadm: 0.3 } },
  isOfInterest: ({ phase }) => phase === 'repo' || phase === 'containerd',
};

/** Three control-plane nodes, of which the first is upgraded otherwise than the others, and two workers. */
const ha: Course = {
  name: 'ha',
  target: '1.34.5',
  kind: 'patch',
  lab: { release: '1.34.2', published: ['1.34.2', '1.34.5'], nodes: threeControlPlanes },
  slow: { 'k8s-master': { kubeadm: 0.2 }, 'k8s-master2': { kubeadm: 0.3 } },
  isOfInterest: ({ phase }) => phase === 'master' || phase.startsWith('k8s-master'),
};

export const courses = { patch, minor, ha } as const;

export const isCourseName = (text: string | undefined): text is Course['name'] =>
  text !== undefined && text in courses;

export const inputsOf = ({ target, kind }: Course): string =>
  JSON.stringify({ target_version: target, kind });

export async function startLab(
  course: Course,
  change = (base: SettingsInput): SettingsInput => base,
  lease = '2s',
): Promise<Lab> {
  const lab = await Lab.start({
    ...course.lab,
    settings: (base) => ({
      ...change(base),
      // A killed executor's lease has to run out before the next one continues.
      timing: { ...base.timing, lease, apiRequest: '2s' },
      gates: { ...base.gates, alertWait: '10s' },
      drain: { ...base.drain, timeout: '20s', evictionRetry: '100ms' },
      prometheus: { ...base.prometheus, url: base.prometheus.url, timeout: '2s' },
      pushgateway: { ...base.pushgateway, url: base.pushgateway.url, timeout: '2s' },
      slack: { ...base.slack, timeout: '2s' },
    }),
  });
  if (course.cordonedByHand !== undefined)
    lab.api.store.modify('nodes', undefined, course.cordonedByHand, (node) => {
      node.spec = { ...node.spec, unschedulable: true };
    });
  for (const [name, { kubeadm, 'apt-install': install = 0 }] of Object.entries(course.slow)) {
    lab.node(name).setDuration('kubeadm', kubeadm);
    lab.node(name).setDuration('apt-install', install);
  }
  lab.cordons.length = 0;
  return lab;
}

/** The cluster at this moment: while a call is struck nothing may happen in between. */
export const clusterOf = ({ api: { store } }: Lab): ReturnType<typeof stateOf> =>
  stateOf(
    store.list('nodes'),
    store.get('namespaces', undefined, objectNames.namespace),
    store.get('leases', objectNames.namespace, objectNames.lease),
  );
