import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { describeDifferences, differences } from './differences.ts';

const manifest = `
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: null
  annotations: {kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: "10.0.0.1:6443"}
  name: kube-apiserver
spec:
  containers:
  - command:
    - kube-apiserver
    - --authorization-mode=Node,RBAC
    - --secure-port=6443
    image: registry.k8s.io/kube-apiserver:v1.34.2
    livenessProbe: {failureThreshold: 8, httpGet: {path: /livez, port: probe-port}}
    name: kube-apiserver
    resources: {requests: {cpu: 250m}}
    volumeMounts:
    - {mountPath: /etc/kubernetes/pki, name: k8s-certs, readOnly: true}
  hostNetwork: true
  volumes:
  - {hostPath: {path: /etc/kubernetes/pki}, name: k8s-certs}
status: {}
`;

/** What kubeadm would change in the manifest above if it had been edited this way. */
const restoring = (edit: (text: string) => string): string => {
  const edited = edit(manifest);
  if (edited === manifest) throw new Error('the edit has changed nothing');
  return describeDifferences(differences('kube-apiserver', parse(edited), parse(manifest)));
};
const after = (line: string, more: string) => (text: string) => text.replace(line, `${line}\n${more}`);

describe('F35: what kubeadm would change in a manifest', () => {
  const name = '    name: kube-apiserver\n    resources';
  const cases: [what: string, edit: (text: string) => string, expected: string][] = [
    [
      'an image and its registry',
      (t) => t.replace('registry.k8s.io/kube-apiserver:v1.34.2', 'mirror:5000/a:v1'),
      '',
    ],
    ['flags in another order', (t) => t.replace(/(.*--auth.*\n)(.*--secure.*\n)/, '$2$1'), ''],
    [
      'a value in a word of its own',
      (t) => t.replace('--secure-port=6443', '--secure-port\n    - "6443"'),
      '',
    ],
    ['an empty block', after('  hostNetwork: true', '  hostAliases: []'), ''],
    [
      'a flag',
      after('    - --secure-port=6443', '    - --audit-log-maxage=7'),
      'drop kube-apiserver --audit-log-maxage',
    ],
    [
      'a flag in two words',
      after('    - --secure-port=6443', '    - --v\n    - "4"'),
      'drop kube-apiserver --v',
    ],
    [
      'flags in args',
      after('    image: registry.k8s.io/kube-apiserver:v1.34.2', '    args: [--v=4]'),
      'drop kube-apiserver --v',
    ],
    [
      'a flag a second time',
      after('    - --secure-port=6443', '    - --secure-port=6444'),
      'change kube-apiserver --secure-port',
    ],
    [
      'another value',
      (t) => t.replace('Node,RBAC', 'Node,RBAC,Webhook'),
      'change kube-apiserver --authorization-mode',
    ],
    [
      'a flag that was removed',
      (t) => t.replace('    - --secure-port=6443\n', ''),
      'add kube-apiserver --secure-port',
    ],
    [
      'a variable',
      after('    image: registry.k8s.io/kube-apiserver:v1.34.2', '    env: [{name: PIN, value: "1234"}]'),
      'drop kube-apiserver env',
    ],
    [
      'host aliases',
      after('  hostNetwork: true', '  hostAliases: [{ip: 10.0.0.9, hostnames: [oidc]}]'),
      'drop kube-apiserver hostAliases',
    ],
    [
      'a volume',
      after('  volumes:', '  - {hostPath: {path: /etc/audit}, name: audit}'),
      'drop kube-apiserver volumes.audit',
    ],
    [
      'a mount',
      after('    volumeMounts:', '    - {mountPath: /etc/audit, name: audit}'),
      'drop kube-apiserver volumeMounts./etc/audit',
    ],
    [
      'a path',
      (t) => t.replace('path: /etc/kubernetes/pki}, name', 'path: /srv/pki}, name'),
      'change kube-apiserver volumes.k8s-certs.hostPath.path',
    ],
    [
      'a limit',
      (t) => t.replace('{cpu: 250m}', '{cpu: 250m}, limits: {memory: 4Gi}'),
      'drop kube-apiserver resources.limits',
    ],
    ['a request', (t) => t.replace('250m', '2'), 'change kube-apiserver resources.requests.cpu 2 → 250m'],
    [
      'a probe',
      (t) => t.replace('failureThreshold: 8', 'failureThreshold: 30'),
      'change kube-apiserver livenessProbe.failureThreshold 30 → 8',
    ],
    [
      'a field of the pod',
      (t) => t.replace('hostNetwork: true', 'hostNetwork: true\n  dnsPolicy: ClusterFirstWithHostNet'),
      'drop kube-apiserver dnsPolicy',
    ],
    [
      'an annotation',
      (t) => t.replace('annotations: {', 'annotations: {scrape: yes, '),
      'drop kube-apiserver metadata.annotations.scrape',
    ],
    [
      'a sidecar before it',
      after('  containers:', '  - {name: kms, image: kms:0.3, command: [/kms]}'),
      'drop kube-apiserver containers.kms',
    ],
    [
      'an init container',
      after('  hostNetwork: true', '  initContainers: [{name: wait, image: wait:1}]'),
      'drop kube-apiserver initContainers',
    ],
    [
      'two at once',
      (t) =>
        t
          .replace('failureThreshold: 8', 'failureThreshold: 30')
          .replace(name, `    env: [{name: A}]\n${name}`),
      'drop kube-apiserver env and change kube-apiserver livenessProbe.failureThreshold 30 → 8',
    ],
  ];
  test.each(cases)('%s', (_what, edit, expected) => expect(restoring(edit)).toBe(expected));

  test('a value of a variable is never in the text', () => {
    const [found] = differences(
      'etcd',
      { spec: { containers: [{ name: 'etcd', env: [{ name: 'PIN', value: '1234' }] }] } },
      { spec: { containers: [{ name: 'etcd', env: [{ name: 'PIN', value: '5' }] }] } },
    );
    expect(found).toEqual({ name: 'etcd env.PIN.value', effect: 'change', values: '' });
  });
});

describe('F35: what kubeadm would change in the configuration of a kubelet', () => {
  const common = {
    kind: 'KubeletConfiguration',
    syncFrequency: '0s',
    memorySwap: {},
    clusterDNS: ['10.96.0.10'],
  };
  const cases: [what: string, now: object, then: object, expected: string][] = [
    ['a value', { maxPods: 250 }, { maxPods: 110 }, 'change kubelet maxPods 250 → 110'],
    ['a value that the ConfigMap does not have', { maxPods: 250 }, {}, 'drop kubelet maxPods 250'],
    ['a value that only the ConfigMap has', {}, { maxPods: 250 }, 'add kubelet maxPods 250'],
    ['a threshold', { evictionHard: { 'memory.available': '1Gi' } }, {}, 'drop kubelet evictionHard'],
    [
      'one of several thresholds',
      { evictionHard: { a: '10%', b: '5%' } },
      { evictionHard: { a: '10%' } },
      'drop kubelet evictionHard.b 5%',
    ],
    ['a switch', { serializeImagePulls: false }, {}, 'drop kubelet serializeImagePulls false'],
    ['a list', { clusterDNS: ['169.254.20.10'] }, {}, 'change kubelet clusterDNS'],
    ['the same duration', { syncFrequency: '90s' }, { syncFrequency: '1m30s' }, ''],
    ['values as good as none', { shutdownGracePeriod: '0s', logging: { a: {} } }, {}, ''],
    [
      'a text',
      { staticPodURLHeader: { Authorization: ['Bearer abc'] } },
      {},
      'drop kubelet staticPodURLHeader',
    ],
  ];
  test.each(cases)('%s', (_what, now, then, expected) => {
    const found = differences('kubelet', { ...common, ...now }, { ...common, ...then });
    expect(describeDifferences(found)).toBe(expected);
  });
});
