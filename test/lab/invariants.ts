import semver from 'semver';
import { annotationKeys, jobLabels, objectNames } from '../../runtime/src/names.ts';
import type { RequestRecord } from './api/index.ts';
import type { Node, Pod } from './api/types.ts';
import type { ApiServer } from './api-server.ts';

const controlPlaneLabel = 'node-role.kubernetes.io/control-plane';

/**
 * What holds at every moment in every lab, whatever is played there: no node is drained while the running Job
 * runs on it (F1), of several control-plane nodes never two are down at once, no kubelet becomes newer than
 * the API server or changes on a node that is not cordoned, and no program of the pipeline asks for what its
 * roles do not allow (F30).
 */
export class Invariants {
  /** What did not hold, in words; a lab that stops with one of these fails. */
  readonly broken: string[] = [];
  readonly #noted = new Set<string>();
  readonly #api: ApiServer;
  readonly #keys: ReturnType<typeof annotationKeys>;

  constructor(api: ApiServer, annotationPrefix: string) {
    this.#api = api;
    this.#keys = annotationKeys(annotationPrefix);
    api.view.subscribe(({ resource, object, before }) => {
      if (resource === 'nodes') this.#nodeChanged(object as Node, before as Node | undefined);
      if (resource === 'pods') this.#podChanged(object as Pod, before as Pod | undefined);
    });
  }

  /** Reads what has been requested so far; may be called again. */
  check(requests: readonly RequestRecord[]): void {
    for (const request of requests) this.#checkRequest(request);
  }

  /** A request that a role allows may still be refused with 403: an eviction in a namespace that is going. */
  #checkRequest({
    user,
    verb,
    resource,
    subresource,
    namespace,
    name,
    status,
    allowedBy,
  }: RequestRecord): void {
    if (status !== 403 || allowedBy !== undefined || !programs.includes(user)) return;
    const what = [resource, name, subresource].filter(Boolean).join('/');
    this.#note(`${user.split(':').at(-1)} may not ${verb} ${what}${namespace && ` in ${namespace}`}`);
  }

  #nodeChanged(node: Node, before: Node | undefined): void {
    const { name } = node.metadata;
    const kubelet = releaseOf(node);
    if (before !== undefined && kubelet !== releaseOf(before) && semver.gt(kubelet, this.#api.version))
      this.#note(`${name} goes to ${kubelet}, and the API server is at ${this.#api.version}`);
    if (before !== undefined && kubelet !== releaseOf(before) && node.spec?.unschedulable !== true)
      this.#note(`the kubelet of ${name} goes to ${kubelet} while the node serves`);
    const began = [this.#keys.cordoned, this.#keys.unfinished].some(
      (key) => key in annotationsOf(node) && !(key in annotationsOf(before)),
    );
    if (!began) return;
    this.#drained(name, 'its cordon');
    if (!isControlPlane(node)) return;
    const others = this.#api.view
      .list('nodes')
      .filter((one) => isControlPlane(one) && one.metadata.name !== name);
    const down = others.filter((one) => this.#isDown(one)).map((one) => one.metadata.name);
    if (down.length > 0) this.#note(`${name} is taken down while ${down.join(', ')} is`);
  }

  /** By the pod and not by the request: once that is answered, another pod may have the name. */
  #podChanged(pod: Pod, before: Pod | undefined): void {
    const node = pod.spec?.nodeName;
    if (node === undefined || !isEvicted(pod) || (before !== undefined && isEvicted(before))) return;
    this.#drained(node, `the eviction of ${pod.metadata.namespace}/${pod.metadata.name}`);
  }

  #drained(node: string, by: string): void {
    for (const { metadata } of this.#runningJob().filter((pod) => pod.spec?.nodeName === node))
      this.#note(`${node} is drained (${by}) under ${metadata.name}`);
  }

  /**
   * The pods of the running Job: the last one of the run that holds the lease. An earlier one has handed over
   * and only ends.
   */
  #runningJob(): Pod[] {
    const { view } = this.#api;
    const lease = view.get('leases', objectNames.namespace, objectNames.lease);
    const run = lease?.spec?.holderIdentity?.split('/')[0];
    if (!run) return [];
    const jobNumberOf = (labels: Readonly<Record<string, string>> = {}) =>
      Number(labels[jobLabels.number] ?? 0);
    const jobs = view
      .list('jobs', objectNames.namespace)
      .filter((job) => job.metadata.labels?.[jobLabels.run] === run);
    const last = Math.max(...jobs.map((job) => jobNumberOf(job.metadata.labels)));
    return view
      .list('pods', objectNames.namespace)
      .filter(
        ({ metadata }) => metadata.labels?.[jobLabels.run] === run && jobNumberOf(metadata.labels) === last,
      )
      .filter(({ status }) => status?.phase !== 'Succeeded' && status?.phase !== 'Failed');
  }

  #isDown(node: Node): boolean {
    const ready = node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
    return this.#isInProgress(annotationsOf(node)) || ready !== true;
  }

  /** What a rollout before the one in flight left does not count (F47). */
  #isInProgress(annotations: Readonly<Record<string, string>>): boolean {
    const { cordoned, changed, unfinished, inFlight } = this.#keys;
    const namespace = this.#api.view.get('namespaces', undefined, objectNames.namespace);
    const started = namespace?.metadata.annotations?.[inFlight];
    if (started === undefined) return cordoned in annotations || unfinished in annotations;
    const isChanged = Date.parse(annotations[changed] ?? '') >= Date.parse(started);
    return annotations[cordoned] === started || (isChanged && unfinished in annotations);
  }

  #note(what: string): void {
    if (!this.#noted.has(what)) this.broken.push(what);
    this.#noted.add(what);
  }
}

const isEvicted = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status }) => type === 'DisruptionTarget' && status === 'True') ?? false;
const programs: readonly string[] = [
  objectNames.detectorServiceAccount,
  objectNames.executorServiceAccount,
  objectNames.submitterServiceAccount,
].map((account) => `system:serviceaccount:${objectNames.namespace}:${account}`);
const annotationsOf = (node: Node | undefined): Readonly<Record<string, string>> =>
  node?.metadata.annotations ?? {};
const releaseOf = ({ status }: Node): string => status?.nodeInfo?.kubeletVersion.replace(/^v/, '') ?? '0.0.0';
const isControlPlane = ({ metadata }: Node): boolean => controlPlaneLabel in (metadata.labels ?? {});
