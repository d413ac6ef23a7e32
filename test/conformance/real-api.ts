import type { KubernetesObject } from '@kubernetes/client-node';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import type { AllowedBy } from '../lab/api/auth/rbac.ts';
import type { UserRef } from '../lab/api/auth/tokens.ts';
import { collectionOf, Rest } from '../lab/api/contract/rest.ts';
import type { RequestRecord } from '../lab/api/request-log.ts';
import { apiVersionOf, type Resource, resourceNamed } from '../lab/api/resources.ts';
import { same } from '../lab/api/store.ts';
import type { KubeObject, Node, Stored, TypeOf } from '../lab/api/types.ts';
import type { ApiServer, StartApi } from '../lab/api-server.ts';
import { controlPlaneImages } from '../lab/cluster-system.ts';
import { Lab, type LabOptions } from '../lab/lab.ts';
import type { LabNode, NodeHooks } from '../lab/nodes/node.ts';
import { until } from '../lab/waits.ts';
import { identities } from './control-plane.ts';
import { deploy } from './deployment.ts';
import { HollowNodes, retried } from './hollow-nodes.ts';
import { OrderedView } from './ordered-view.ts';
import { PodSources } from './pod-sources.ts';
import { type AuditEvent, RealCluster } from './real-cluster.ts';

/** The lab with a real control plane in its middle. */
export const startRealLab = (options: LabOptions = {}): Promise<Lab<LabNode, RealApi>> =>
  Lab.startOn(startRealApi, options);

const startRealApi: StartApi<RealApi> = ({ release, entrypoints }) => RealApi.start(release, entrypoints);

/**
 * How long nothing may have changed until the controllers count as having given up on what is not complete.
 * Milliseconds.
 */
const quiet = 5_000;

/** A real control plane and the nodes' kubelets, hollow ones, as the API server of a lab. */
export class RealApi implements ApiServer {
  readonly cluster: RealCluster;
  /** As an administrator of the lab's own, whose requests {@link requestLog} leaves out. */
  readonly rest: Rest;
  readonly view: OrderedView;
  readonly #hollow: HollowNodes;
  readonly #sources: PodSources;
  #version: string;
  #restart: Promise<void> = Promise.resolve();

  private constructor(
    cluster: RealCluster,
    token: string,
    release: string,
    entrypoints: Readonly<Record<string, readonly string[]>>,
  ) {
    this.cluster = cluster;
    this.#version = release;
    const { url, caPem } = cluster;
    this.rest = new Rest({ url, caPem, token });
    this.view = new OrderedView(this.rest);
    this.#sources = new PodSources(cluster, this.rest, entrypoints);
    this.#hollow = new HollowNodes(this.rest, this.#sources);
  }

  static async start(
    release: string,
    entrypoints: Readonly<Record<string, readonly string[]>>,
  ): Promise<RealApi> {
    const cluster = await RealCluster.start({ version: release });
    const api = new RealApi(cluster, await cluster.token('lab'), release, entrypoints);
    await api.view.start();
    return api;
  }

  get url(): string {
    return this.cluster.url;
  }

  get version(): string {
    return this.#version;
  }

  kubeconfig(user: UserRef): Promise<string> {
    return this.cluster.kubeconfig(user);
  }

  /** A real API server takes longer for everything, and is away for as long as it takes to start. */
  settings(base: SettingsInput): SettingsInput {
    return {
      ...base,
      drain: { ...base.drain, timeout: '3m' },
      timing: {
        ...base.timing,
        soak: '500ms',
        controlPlaneSoak: '500ms',
        lease: '30s',
        nodeReady: '60s',
        apiOutage: '90s',
        apiRequest: '20s',
        unschedulable: '30s',
      },
    };
  }

  get<R extends string>(
    resource: R,
    namespace: string | undefined,
    name: string,
  ): Promise<TypeOf<R> | undefined> {
    return retried(() => this.rest.find(pathOf(resourceNamed(resource), namespace, name)));
  }

  async list<R extends string>(resource: R, namespace?: string): Promise<TypeOf<R>[]> {
    const path = pathOf(resourceNamed(resource), namespace);
    return (await retried(() => this.rest.get(path))).items;
  }

  async apply(objects: readonly KubeObject[]): Promise<void> {
    for (const object of objects) await this.#applyOne(asSent(object));
  }

  async #applyOne(object: KubeObject): Promise<void> {
    const path = `${collectionOf(object)}/${object.metadata?.name}`;
    const current: Stored | undefined = await this.rest.find(path);
    if (current === undefined) await this.rest.ok('POST', collectionOf(object), object);
    else {
      const metadata = { ...current.metadata, ...object.metadata };
      await this.rest.ok('PUT', path, { ...object, metadata });
    }
    // Without its default account a namespace takes no pods.
    if (object.kind === 'Namespace')
      await this.rest.eventually(
        `/api/v1/namespaces/${object.metadata?.name}/serviceaccounts/default`,
        (found) => found !== undefined,
      );
  }

  async modify<R extends string>(
    resource: R,
    namespace: string | undefined,
    name: string,
    change: (object: TypeOf<R>) => void,
  ): Promise<void> {
    const path = pathOf(resourceNamed(resource), namespace, name);
    for (;;) {
      const current: Stored | undefined = await this.rest.find(path);
      if (current === undefined) return;
      const next = structuredClone(current);
      change(next as unknown as TypeOf<R>);
      const codes = [await this.#put(path, current, next, false), await this.#put(path, current, next, true)];
      if (!codes.includes(409)) return;
    }
  }

  /** Writes the object, or only its status, if that is another. */
  async #put(path: string, current: Stored, next: Stored, ofStatus: boolean): Promise<number> {
    const part = ({ status, ...others }: Stored) => (ofStatus ? status : others);
    if (same(part(current), part(next))) return 200;
    const { resourceVersion: _, ...metadata } = next.metadata;
    const body = ofStatus ? { ...next, metadata } : next;
    const answer = await this.rest.send('PUT', ofStatus ? `${path}/status` : path, body);
    if (answer.code < 300 || answer.code === 409) return answer.code;
    throw new Error(`PUT ${path}: ${answer.code} ${JSON.stringify(answer.body)}`);
  }

  async remove(resource: string, namespace: string | undefined, name: string): Promise<void> {
    const path = pathOf(resourceNamed(resource), namespace, name);
    const options = { gracePeriodSeconds: 0, propagationPolicy: 'Background' };
    await this.rest.ok('DELETE', path, options);
    await this.rest.eventually(path, (found) => found === undefined);
  }

  deploy(objects: readonly KubernetesObject[]): Promise<void> {
    return deploy(this.rest, objects as unknown as KubeObject[]);
  }

  join(node: KubeObject): Promise<void> {
    return this.#hollow.add(node);
  }

  async leave(name: string): Promise<Node> {
    const node: Node = await this.rest.get(`/api/v1/nodes/${name}`);
    this.#hollow.leave(name);
    await this.remove('nodes', undefined, name);
    for (const { metadata, spec } of await this.list('pods'))
      if (spec?.nodeName === name)
        await this.remove('pods', metadata.namespace, metadata.name).catch(() => undefined);
    return node;
  }

  hooks(name: string): NodeHooks {
    const inBackground = (work: Promise<unknown>) =>
      void work.catch((error) => console.error(`hooks of ${name}:`, error));
    return {
      // Of a control-plane node it is last: kubeadm waits for the static pods that it has replaced.
      onKubeletRestart: (release, containerd) =>
        inBackground(this.#restart.then(() => this.#hollow.restarted(name, release, containerd))),
      onContainerd: (version) =>
        inBackground(this.#hollow.report(name, { containerRuntimeVersion: `containerd://${version}` })),
      onControlPlaneUpgraded: (release) => inBackground(this.#replaceControlPlane(name, release)),
      onAddOnUpgraded: (addOn, image) => inBackground(this.#replaceAddOn(addOn, image)),
      onReboot: (phase) => inBackground(this.#hollow.power(name, phase === 'up')),
    };
  }

  /** The static pods' manifests have changed: the API server goes and comes back as another release. */
  async #replaceControlPlane(node: string, release: string): Promise<void> {
    await this.setVersion(release);
    for (const [component, image] of controlPlaneImages(release)) {
      const containers = [{ name: component, image }];
      const path = `/api/v1/namespaces/kube-system/pods/${component}-${node}`;
      await retried(() => this.rest.patch(path, { spec: { containers } }, 'strategic'));
    }
  }

  async #replaceAddOn(name: string, image: string): Promise<void> {
    const resource = name === 'coredns' ? 'deployments' : 'daemonsets';
    const path = `/apis/apps/v1/namespaces/kube-system/${resource}/${name}`;
    const template = { spec: { containers: [{ name, image }] } };
    await retried(() => this.rest.patch(path, { spec: { template } }, 'strategic'));
  }

  setVersion(release: string): Promise<void> {
    this.#version = release;
    // One restart at a time.
    this.#restart = this.#restart.then(() => this.cluster.restartServer(release));
    return this.#restart;
  }

  killPod(name: string): boolean {
    return this.#sources.runner.kill(name, 'SIGKILL');
  }

  /** From the audit log. */
  async requestLog(): Promise<RequestRecord[]> {
    const isRecorded = (event: AuditEvent) =>
      !isOfCluster(event.user.username) &&
      (event.responseStatus?.code !== 403 || !this.cluster.wasStarting(event));
    return (await this.cluster.auditEvents()).filter(isRecorded).map(recordOf);
  }

  async settled(): Promise<void> {
    const isDone = async () =>
      (await this.#isComplete().catch(() => false)) || Date.now() - this.view.changedAt > quiet;
    await until('the controllers have nothing left to do', isDone);
    await this.caughtUp();
  }

  /** Every workload is as it was asked for, and every budget knows its pods. */
  async #isComplete(): Promise<boolean> {
    const pods = await this.list('pods');
    if (!pods.every(({ status }) => ['Running', 'Succeeded', 'Failed'].includes(status?.phase ?? '')))
      return false;
    const observed = (one: Stored) =>
      one.metadata.generation ===
      (one.status as { observedGeneration?: number } | undefined)?.observedGeneration;
    const [deployments, sets, daemons, budgets] = await Promise.all([
      this.list('deployments'),
      this.list('statefulsets'),
      this.list('daemonsets'),
      this.list('poddisruptionbudgets'),
    ]);
    return (
      [...deployments, ...sets, ...daemons, ...budgets].every((one) => observed(one as Stored)) &&
      [...deployments, ...sets].every(
        ({ spec, status }) => (status?.readyReplicas ?? 0) === spec?.replicas,
      ) &&
      daemons.every(({ status }) => status?.numberReady === status?.desiredNumberScheduled) &&
      budgets.every(({ status }) => status?.currentHealthy === status?.expectedPods)
    );
  }

  caughtUp(): Promise<void> {
    return this.view.caughtUp();
  }

  async stop(): Promise<void> {
    await this.#restart.catch(() => undefined);
    this.view.stop();
    this.#hollow.stop();
    await this.#sources.runner.stop();
    await this.cluster.stop();
  }
}

/** What a client may send: not when it was made, and not how it is. */
function asSent({ status: _, ...object }: KubeObject): KubeObject {
  const { creationTimestamp: __, uid: ___, resourceVersion: ____, ...metadata } = object.metadata ?? {};
  return { ...object, metadata };
}

function pathOf(resource: Resource, namespace: string | undefined, name?: string): string {
  const base = resource.group === '' ? '/api/v1' : `/apis/${apiVersionOf(resource)}`;
  const scope = resource.namespaced && namespace !== undefined ? `/namespaces/${namespace}` : '';
  return `${base}${scope}/${resource.name}${name === undefined ? '' : `/${name}`}`;
}

/** The parts of the cluster itself, and what stands for the nodes. */
const isOfCluster = (user: string): boolean =>
  user === identities.lab.name ||
  user.startsWith('system:serviceaccount:kube-system:') ||
  (user.startsWith('system:') && !user.startsWith('system:serviceaccount:'));

function recordOf(event: AuditEvent): RequestRecord {
  const { objectRef: { apiGroup = '', resource = '', subresource = '', namespace = '', name = '' } = {} } =
    event;
  return {
    time: new Date(event.requestReceivedTimestamp),
    user: event.user.username,
    verb: event.verb,
    group: apiGroup,
    ...{ resource, subresource, namespace, name },
    path: event.requestURI,
    dryRun:
      event.requestObject === undefined
        ? event.requestURI.includes('dryRun=All')
        : event.requestObject.dryRun?.includes('All') === true,
    status: event.responseStatus?.code ?? 0,
    allowedBy: allowedBy(event),
  };
}

/**
 * From words such as `RBAC: allowed by RoleBinding "b/apps" of Role "r" to ServiceAccount "s/k8s-upgrade"`.
 */
function allowedBy({ annotations = {} }: AuditEvent): AllowedBy | undefined {
  if (annotations['authorization.k8s.io/decision'] !== 'allow') return undefined;
  const reason = annotations['authorization.k8s.io/reason'] ?? '';
  const [, role, name = ''] = /of (ClusterRole|Role) "([^"]+)"/.exec(reason) ?? [];
  if (role === undefined) return { role: 'superuser', namespace: '', name: 'system:masters', rule: -1 };
  const [, namespace = ''] = /RoleBinding "[^"/]+\/([^"]+)" of Role/.exec(reason) ?? [];
  return { role: role as AllowedBy['role'], namespace, name, rule: -1 };
}
