import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { onTestFinished } from 'vitest';
import { issueServerIdentity } from '../../../test/lab/api/auth/pki.ts';
import type { UserRef } from '../../../test/lab/api/auth/tokens.ts';
import { namespace, startTestLab, type TestLab, testNode } from '../../../test/lab/api/testing.ts';
import { clientConfig } from '../../../test/lab/api/testing-client.ts';
import type { KubeObject } from '../../../test/lab/api/types.ts';
import { type ClientOptions, KubernetesClient } from '../cluster/client.ts';

/** A lab API with the namespaces `k8s-upgrade` and `apps` and the nodes `one` and `two`. */
export async function startLab(): Promise<TestLab> {
  const lab = await startTestLab();
  lab.api.apply([namespace('k8s-upgrade'), namespace('apps'), testNode('one'), testNode('two')]);
  return lab;
}

/** A client with short time limits. It stops when its test ends. */
export function connect(lab: TestLab, options: Partial<ClientOptions> = {}, user: UserRef = 'admin') {
  const end = new AbortController();
  onTestFinished(() => end.abort(new Error('the test has ended')));
  const config = clientConfig(lab.api, user);
  return new KubernetesClient(config, {
    requestTimeout: 2_000,
    outage: 5_000,
    signal: end.signal,
    ...options,
  });
}

/** Starts an HTTPS server that answers with `answer`, and a client of it. Call `stop` at the end. */
export async function serve(
  answer: RequestListener,
  options: Partial<ClientOptions> = {},
  skipTLSVerify = true,
) {
  const { keyPem: key, certPem: cert } = await issueServerIdentity();
  const server = createServer({ key, cert }, answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    { name: 'c', server: `https://127.0.0.1:${port}`, skipTLSVerify },
    { name: 'u', token: 'x' },
  );
  const signal = new AbortController().signal;
  const client = new KubernetesClient(config, { requestTimeout: 2_000, outage: 3_000, signal, ...options });
  return { client, stop: () => new Promise((resolve) => server.close(resolve).closeAllConnections()) };
}

/**
 * A pod in the namespace `apps`, bound to a node, with the label `app=<name>` for the selectors of budgets.
 */
export function runningPod(
  name: string,
  node: string,
  change: { labels?: object; spec?: object; metadata?: object } = {},
): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'apps', labels: { app: name, ...change.labels }, ...change.metadata },
    spec: { nodeName: node, containers: [{ name: 'main', image: 'any:1' }], ...change.spec },
  } as KubeObject;
}

/** A budget in the namespace `apps` for the pods with the label `app=<app>`. */
export const disruptionBudget = (name: string, app: string, spec: object): KubeObject =>
  ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name, namespace: 'apps' },
    spec: { ...spec, selector: { matchLabels: { app } } },
  }) as KubeObject;
