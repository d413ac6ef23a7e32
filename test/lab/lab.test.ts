import { existsSync } from 'node:fs';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { expect, it } from 'vitest';
import { objectNames } from '../../runtime/src/names.ts';
import { Lab } from './lab.ts';

const { namespace, detectorServiceAccount: serviceAccount } = objectNames;

it('fails when a program is refused a request while the lab stops (F30)', async () => {
  const lab = await Lab.start();
  const config = new KubeConfig();
  config.loadFromString(lab.api.kubeconfig({ namespace, serviceAccount }));
  const stop = lab.api.stop.bind(lab.api);
  lab.api.stop = async () => {
    await config
      .makeApiClient(CoreV1Api)
      .deleteNode({ name: 'k8s-node1' })
      .catch(() => undefined);
    await stop();
  };
  await expect(lab.stop()).rejects.toThrow(`${serviceAccount} may not delete nodes/k8s-node1`);
});

it('stops everything even if its requests cannot be read', async () => {
  const lab = await Lab.start();
  lab.api.requestLog = () => {
    throw new Error('no request log');
  };
  await expect(lab.stop()).rejects.toThrow('no request log');
  expect(existsSync(lab.dir)).toBe(false);
  await expect(fetch(lab.prometheus.url)).rejects.toThrow();
});
