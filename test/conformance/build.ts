import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('build.sh', import.meta.url));
let directory: string | undefined;

/**
 * The directory of kube-apiserver, kube-controller-manager, kube-scheduler, etcd, etcdctl and etcdutl. Builds what is
 * missing, which takes many minutes the first time.
 *
 * @throws Error with the one line that says what is missing on this machine.
 */
export function realPrograms(): string {
  if (directory !== undefined) return directory;
  try {
    directory = execFileSync(script, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new Error(stderr.trim().split('\n').at(-1) ?? String(error));
  }
  return directory;
}
