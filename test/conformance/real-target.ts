import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Rest } from '../lab/api/contract/rest.ts';
import type { Target } from '../lab/api/contract/target.ts';
import { nodeObject } from '../lab/cluster.ts';
import { HollowNodes } from './hollow-nodes.ts';
import { PodSources } from './pod-sources.ts';
import { RealCluster } from './real-cluster.ts';

/** The real control plane as one that the contract is asked of. */
export async function startRealTarget(): Promise<Target> {
  const cluster = await RealCluster.start();
  const { url, caPem } = cluster;
  const rest = new Rest({ url, caPem, token: await cluster.token('admin') });
  const sources = new PodSources(cluster, rest, { 'lab/sh': ['/bin/bash', '-c'] });
  const nodes = new HollowNodes(rest, sources);
  const dir = join(cluster.dir, 'contract');
  await mkdir(dir);
  let added = 0;
  return {
    dir,
    rest,
    as: async (user) => {
      if (user === 'nobody') return new Rest({ url, caPem });
      const given = typeof user === 'object' && 'token' in user;
      return new Rest({ url, caPem, token: given ? user.token : await cluster.token(user) });
    },
    kubeconfig: async (user) => {
      const path = join(dir, `${user === 'admin' ? user : user.serviceAccount}.kubeconfig`);
      await writeFile(path, await cluster.kubeconfig(user), { mode: 0o600 });
      return path;
    },
    addNode: (name) => {
      added += 1;
      const spec = { name, role: 'worker', address: `127.0.1.${added}` } as const;
      return nodes.add(nodeObject(spec, added, { version: '1.34.2' }));
    },
    killForMemory: (pod) => void sources.runner.kill(pod, 'SIGKILL', { oom: true }),
    // Its watch cache has nothing from before its start.
    compact: () => cluster.restartServer(),
    stop: async () => {
      nodes.stop();
      await sources.runner.stop();
      await cluster.stop();
    },
  };
}
