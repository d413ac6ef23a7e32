import { KubeConfig } from '@kubernetes/client-node';
import { InputError } from '../errors.ts';

/** What the client takes when it finds nothing at all. */
const nothingFound = 'http://localhost:8080';

/**
 * Finds the cluster: an explicit file, `$KUBECONFIG`, `~/.kube/config`, or the pod's service account.
 *
 * @throws InputError when the file cannot be read as a kubeconfig, or there is none.
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
    const places = 'there is none in $KUBECONFIG and ~/.kube/config, and this is no pod';
    throw new InputError('--kubeconfig', 'nothing', `a kubeconfig: ${places}`);
  }
  return config;
}
