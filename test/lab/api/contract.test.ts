import { join } from 'node:path';
import { describe } from 'vitest';
import { describeContract } from './contract/index.ts';
import { Rest } from './contract/rest.ts';
import type { Target } from './contract/target.ts';
import { startTestLab, testNode } from './testing.ts';

async function startLabTarget(): Promise<Target> {
  const { api, dir, stop } = await startTestLab();
  const { url, caPem } = api;
  const tokenOf = (user: Parameters<Target['as']>[0]) => {
    if (user === 'nobody') return {};
    return { token: typeof user === 'object' && 'token' in user ? user.token : api.token(user) };
  };
  return {
    dir,
    rest: new Rest({ url, caPem, token: api.token('admin') }),
    as: async (user) => new Rest({ url, caPem, ...tokenOf(user) }),
    kubeconfig: async (user) => {
      const path = join(dir, `${user === 'admin' ? user : user.serviceAccount}.kubeconfig`);
      await api.writeKubeconfig(path, user);
      return path;
    },
    addNode: async (name) => api.apply([testNode(name)]),
    killForMemory: (pod) => void api.runner.kill(pod, 'SIGKILL', { oom: true }),
    compact: async () => api.store.compact(),
    stop,
  };
}

describe("the lab's API server", () => describeContract(startLabTarget));
