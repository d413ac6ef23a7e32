import { KubeConfig } from '@kubernetes/client-node';
import { InputError } from '../errors.ts';

/** The client's default server when it finds no kubeconfig. */
const nothingFound = 'http://localhost:8080';

/**
 * Loads the kubeconfig: `file` or, without one, `$KUBECONFIG`, `~/.kube/config` or the pod's service account.
 *
 * @throws InputError when the file is not a readable kubeconfig, or there is none.
 */
export function loadKubeConfig(file: string | undefined): KubeConfig {
  const config = new KubeConfig();
  const shown = file ?? 'the default';
  try {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
  } catch (error) {
    throw new InputError('--kubeconfig', shown, `a readable kubeconfig (${(error as Error).message})`);
  }
  const cluster = config.getCurrentCluster();
  if (!cluster) throw new InputError('--kubeconfig', shown, 'a kubeconfig with a current context');
  if (file === undefined && cluster.server === nothingFound) {
    const places = 'there is none in $KUBECONFIG or ~/.kube/config, and this is not a pod';
    throw new InputError('--kubeconfig', 'nothing', `a kubeconfig: ${places}`);
  }
  return config;
}
