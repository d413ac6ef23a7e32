import { type Resource, resourceNamed } from '../resources.ts';
import { forbidden, notFound } from '../status.ts';
import type { Store } from '../store.ts';
import type { Pod, Stored } from '../types.ts';

/** NamespaceLifecycle: the namespace must exist and not be terminating. @throws StatusError 404 or 403 */
export function checkNamespace(store: Store, r: Resource, namespace: string | undefined, name: string): void {
  if (!r.namespaced || namespace === undefined) return;
  const found = store.get('namespaces', undefined, namespace);
  if (found === undefined) throw notFound(resourceNamed('namespaces'), namespace);
  if (found.status?.phase !== 'Terminating') return;
  throw forbidden(
    r,
    name,
    `unable to create new content in namespace ${namespace} because it is being terminated`,
    [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ],
  );
}

/** The admission plug-ins that the lab needs. @throws StatusError 403 or 404 */
export function admit(store: Store, r: Resource, object: Stored): void {
  const { namespace, name } = object.metadata;
  checkNamespace(store, r, namespace, name);
  if (r.name !== 'pods') return;
  admitServiceAccount(store, r, object as Pod);
  admitPriority(store, r, object as Pod);
}

/** ServiceAccount: the account must exist; mounts its token. */
function admitServiceAccount(store: Store, r: Resource, pod: Pod): void {
  const { namespace, name, annotations } = pod.metadata;
  if (pod.spec === undefined || annotations?.['kubernetes.io/config.mirror'] !== undefined) return;
  pod.spec.serviceAccountName ??= 'default';
  const account = store.get('serviceaccounts', namespace, pod.spec.serviceAccountName);
  if (account === undefined) {
    const missing = `${namespace}/${pod.spec.serviceAccountName}`;
    throw forbidden(
      r,
      name,
      `error looking up service account ${missing}: serviceaccount "${pod.spec.serviceAccountName}" not found`,
    );
  }
  if ((pod.spec.automountServiceAccountToken ?? account.automountServiceAccountToken) === false) return;
  mountToken(pod);
}

/** Priority: the class must exist; sets the pod's priority from it. */
function admitPriority(store: Store, r: Resource, { metadata, spec }: Pod): void {
  const name = spec?.priorityClassName ?? '';
  if (spec === undefined || name === '') return;
  const found = store.get('priorityclasses', undefined, name);
  if (found === undefined) throw forbidden(r, metadata.name, `no PriorityClass with name ${name} was found`);
  spec.priority = Number(found.value);
  spec.preemptionPolicy = String(found.preemptionPolicy ?? 'PreemptLowerPriority');
}

const tokenDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

function mountToken(pod: Pod): void {
  const spec = pod.spec;
  if (spec === undefined || (spec.volumes ?? []).some((v) => v.name.startsWith('kube-api-access-'))) return;
  const volume = `kube-api-access-${Math.random().toString(36).slice(2, 7)}`;
  spec.volumes = [
    ...(spec.volumes ?? []),
    {
      name: volume,
      projected: {
        defaultMode: 0o644,
        sources: [
          { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
          { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
          {
            downwardAPI: {
              items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
            },
          },
        ],
      },
    },
  ];
  for (const container of spec.containers ?? []) {
    const mounts = container.volumeMounts ?? [];
    if (mounts.some((m) => m.mountPath === tokenDirectory)) continue;
    container.volumeMounts = [...mounts, { name: volume, readOnly: true, mountPath: tokenDirectory }];
  }
}
