import type { KubeObject, PolicyRule } from '../types.ts';

const rbac = 'rbac.authorization.k8s.io';
const labels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
const annotations = { 'rbac.authorization.kubernetes.io/autoupdate': 'true' };

const clusterRole = (name: string, rules: PolicyRule[]): KubeObject => ({
  apiVersion: `${rbac}/v1`,
  kind: 'ClusterRole',
  metadata: { name, labels, annotations },
  rules,
});

const toGroups = (role: string, ...groups: string[]): KubeObject => ({
  apiVersion: `${rbac}/v1`,
  kind: 'ClusterRoleBinding',
  metadata: { name: role, labels, annotations },
  roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
  subjects: groups.map((name) => ({ apiGroup: rbac, kind: 'Group', name })),
});

const read = ['get', 'list', 'watch'];
const write = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const workloads: PolicyRule[] = [
  {
    apiGroups: [''],
    resources: ['configmaps', 'events', 'persistentvolumeclaims', 'pods', 'services', 'serviceaccounts'],
    verbs: read,
  },
  { apiGroups: [''], resources: ['namespaces', 'pods/log', 'pods/status'], verbs: read },
  {
    apiGroups: ['apps'],
    resources: ['deployments', 'replicasets', 'daemonsets', 'statefulsets'],
    verbs: read,
  },
  { apiGroups: ['batch'], resources: ['jobs', 'cronjobs'], verbs: read },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: read },
];
const changes: PolicyRule[] = [
  {
    apiGroups: [''],
    resources: [
      'configmaps',
      'events',
      'persistentvolumeclaims',
      'pods',
      'pods/eviction',
      'secrets',
      'services',
    ],
    verbs: write,
  },
  {
    apiGroups: ['apps'],
    resources: ['deployments', 'deployments/scale', 'replicasets', 'daemonsets', 'statefulsets'],
    verbs: write,
  },
  { apiGroups: ['batch'], resources: ['jobs', 'cronjobs'], verbs: write },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: write },
];
const discovery = ['/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*'];
const health = ['/healthz', '/livez', '/readyz', '/version', '/version/'];

/** Those default roles and bindings of kube-apiserver that clients rely on. */
export const defaultRoles: readonly KubeObject[] = [
  clusterRole('cluster-admin', [
    { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
    { nonResourceURLs: ['*'], verbs: ['*'] },
  ]),
  clusterRole('system:discovery', [{ nonResourceURLs: [...discovery, ...health], verbs: ['get'] }]),
  clusterRole('system:public-info-viewer', [{ nonResourceURLs: health, verbs: ['get'] }]),
  clusterRole('system:basic-user', [
    {
      apiGroups: ['authorization.k8s.io'],
      resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
      verbs: ['create'],
    },
    { apiGroups: ['authentication.k8s.io'], resources: ['selfsubjectreviews'], verbs: ['create'] },
  ]),
  clusterRole('view', workloads),
  clusterRole('edit', [...workloads, ...changes]),
  toGroups('cluster-admin', 'system:masters'),
  toGroups('system:discovery', 'system:authenticated'),
  toGroups('system:public-info-viewer', 'system:authenticated', 'system:unauthenticated'),
  toGroups('system:basic-user', 'system:authenticated'),
];
