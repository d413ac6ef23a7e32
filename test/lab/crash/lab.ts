import { annotationKeys, objectNames } from '../../../runtime/src/names.ts';
import type { SettingsInput } from '../../../runtime/src/settings/settings.ts';
import { stateOf } from '../../scenarios/observe.ts';
import { labNodes, threeControlPlanes } from '../cluster.ts';
import { Lab, type LabOptions } from '../lab.ts';
import type { CallRecord } from './points.ts';

/** An upgrade to interrupt: of which cluster, from which release to which. */
export interface Course {
  /** How `CRASH` names it. */
  readonly name: 'patch' | 'minor' | 'ha';
  /** The release to upgrade to, `1.34.5`. */
  readonly target: string;
  /** The `kind` of the run's inputs. */
  readonly kind: 'patch' | 'minor';
  /** The cluster. */
  readonly lab: LabOptions;
  /**
   * Node → seconds that installing packages and each step of kubeadm take there. @default 0 on other nodes
   */
  readonly slow: Readonly<Record<string, { readonly kubeadm: number; readonly 'apt-install'?: number }>>;
  /**
   * A node that a person has cordoned before the run, and that has the mark of a rollout before; it must stay
   * cordoned (F11, F47).
   */
  readonly cordonedByPerson?: string;
  /** Whether a spread may select this call. */
  readonly isOfInterest: (record: CallRecord) => boolean;
}

/**
 * A control plane and three workers, one of them cordoned by a person; a run takes two Jobs. On the slow
 * nodes a new executor starts before the script has ended, and finds kubeadm running; on the others kubeadm
 * has finished.
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
  cordonedByPerson: 'k8s-node3',
  isOfInterest: () => true,
};

/**
 * For the stages that a patch skips: a new repository on every node, and an old containerd on the control
 * plane.
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

/** Three control-plane nodes, the first of which is upgraded differently from the others, and two workers. */
const ha: Course = {
  name: 'ha',
  target: '1.34.5',
  kind: 'patch',
  lab: { release: '1.34.2', published: ['1.34.2', '1.34.5'], nodes: threeControlPlanes },
  slow: { 'k8s-master': { kubeadm: 0.2 }, 'k8s-master2': { kubeadm: 0.3 } },
  isOfInterest: ({ phase }) => phase === 'master' || phase.startsWith('k8s-master'),
};

/** By the name that `CRASH` uses. */
export const courses = { patch, minor, ha } as const;

/** Whether the text is the name of a course. */
export const isCourseName = (text: string | undefined): text is Course['name'] =>
  text !== undefined && text in courses;

/** The inputs of the course's run, as JSON for `--inputs`. */
export const inputsOf = ({ target, kind }: Course): string =>
  JSON.stringify({ target_version: target, kind });

/**
 * Starts the course's cluster in a lab with short timeouts.
 *
 * @param change of the lab's settings. @default none
 * @param lease `timing.lease`. @default '2s'
 */
export async function startLab(
  course: Course,
  change = (base: SettingsInput): SettingsInput => base,
  lease = '2s',
): Promise<Lab> {
  const lab = await Lab.start({
    ...course.lab,
    settings: (base) => ({
      ...change(base),
      // A killed executor's lease must expire before the next one resumes.
      timing: { ...base.timing, lease, apiRequest: '2s' },
      gates: { ...base.gates, alertWait: '10s' },
      drain: { ...base.drain, timeout: '20s', evictionRetry: '100ms' },
      prometheus: { ...base.prometheus, url: base.prometheus.url, timeout: '2s' },
      pushgateway: { ...base.pushgateway, url: base.pushgateway.url, timeout: '2s' },
      slack: { ...base.slack, timeout: '2s' },
    }),
  });
  if (course.cordonedByPerson !== undefined)
    lab.api.store.modify('nodes', undefined, course.cordonedByPerson, (node) => {
      node.spec = { ...node.spec, unschedulable: true };
      const mark = { [annotationKeys('viktorbarzin.me').cordoned]: '2026-01-04T12:00:00.000Z' };
      node.metadata.annotations = { ...node.metadata.annotations, ...mark };
    });
  for (const [name, { kubeadm, 'apt-install': install = 0 }] of Object.entries(course.slow)) {
    lab.node(name).setDuration('kubeadm', kubeadm);
    lab.node(name).setDuration('apt-install', install);
  }
  lab.cordons.length = 0;
  return lab;
}

/** The cluster at this moment. Synchronous, so that nothing changes while a call is held up. */
export const clusterOf = ({ api: { store } }: Lab): ReturnType<typeof stateOf> =>
  stateOf(
    store.list('nodes'),
    store.get('namespaces', undefined, objectNames.namespace),
    store.get('leases', objectNames.namespace, objectNames.lease),
  );
