import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('build.sh', import.meta.url));
let directory: string | undefined;

/** The release of kube-apiserver in go.mod. `build.sh` also builds it labelled with other releases. */
export const builtRelease = releaseOf('k8s.io/kubernetes');

function releaseOf(module: string): string {
  const text = readFileSync(new URL('../programs/kubernetes-1.34/go.mod', import.meta.url), 'utf8');
  const [, release] = new RegExp(`^\\s*(?:require )?${module} v(\\S+)`, 'm').exec(text) ?? [];
  if (release === undefined) throw new Error(`go.mod requires no ${module}`);
  return release;
}

/**
 * The directory of kube-apiserver, kube-controller-manager, kube-scheduler, etcd, etcdctl and etcdutl. Builds
 * those that are missing, which takes many minutes the first time.
 *
 * @throws Error with one line, which names what this machine lacks.
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
