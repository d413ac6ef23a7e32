import type { V1Container, V1Pod } from '@kubernetes/client-node';
import { expect, it } from 'vitest';
import { probesOf } from './probes.ts';

const pod = (...containers: Partial<V1Container>[]): V1Pod => ({
  spec: { containers: containers.map((one, index) => ({ name: `c${index}`, ...one })) },
  status: { podIP: '10.0.0.1' },
});
const get = (change: object = {}) => ({
  httpGet: { host: '127.0.0.1', port: 10_259, path: '/readyz', scheme: 'HTTPS', ...change },
});

it.each<[string, V1Pod, readonly string[] | undefined]>([
  ['its number', pod({ readinessProbe: get() }), ['https://127.0.0.1:10259/readyz']],
  [
    'the name of a port, as kubeadm writes it since 1.33',
    pod({
      readinessProbe: get({ port: 'probe-port' }),
      ports: [{ name: 'probe-port', containerPort: 6443 }],
    }),
    ['https://127.0.0.1:6443/readyz'],
  ],
  ['a name that no port has', pod({ readinessProbe: get({ port: 'other' }) }), undefined],
  ['no scheme', pod({ readinessProbe: get({ scheme: undefined }) }), ['http://127.0.0.1:10259/readyz']],
  ['no path', pod({ readinessProbe: get({ path: undefined }) }), ['https://127.0.0.1:10259/']],
  ['no host', pod({ readinessProbe: get({ host: undefined }) }), ['https://10.0.0.1:10259/readyz']],
  ['an IPv6 host', pod({ readinessProbe: get({ host: '::1' }) }), ['https://[::1]:10259/readyz']],
  ['headers', pod({ readinessProbe: get({ httpHeaders: [{ name: 'a', value: 'b' }] }) }), undefined],
  ['a command', pod({ readinessProbe: { exec: { command: ['true'] } } }), undefined],
  [
    'a startup probe besides',
    pod({ readinessProbe: get(), startupProbe: get({ path: '/livez' }) }),
    ['https://127.0.0.1:10259/readyz'],
  ],
  ['only a startup probe', pod({ startupProbe: get({ path: '/livez' }) }), ['https://127.0.0.1:10259/livez']],
  ['a second container without one', pod({ readinessProbe: get() }, {}), undefined],
  [
    'two containers',
    pod({ readinessProbe: get() }, { readinessProbe: get({ port: 1 }) }),
    ['https://127.0.0.1:10259/readyz', 'https://127.0.0.1:1/readyz'],
  ],
])('the URLs of a pod whose probe has %s', (_what, one, urls) => {
  expect(probesOf(one)).toEqual(urls);
});
