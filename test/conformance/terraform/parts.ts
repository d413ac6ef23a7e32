import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('build.sh', import.meta.url));

/** What a real apply needs. A part is undefined when it is not available on this machine. */
export interface Parts {
  /** The directory of the program `vault`, which is both CLI and server. */
  readonly vault?: string;
  /** The path of a provider's program. @param release such as `kubernetes_v2.38.0` */
  readonly provider: (release: string) => string | undefined;
  /** Paths of the custom resource definitions. */
  readonly definitions?: readonly string[];
}

/** Builds the parts that are missing, which takes many minutes the first time. */
export function parts(): Parts {
  const directory = execFileSync(script, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
  const pathIfPresent = (...names: string[]) => {
    const path = join(directory, ...names);
    return existsSync(path) ? path : undefined;
  };
  const definitions = [
    'external-secrets.io_externalsecrets.yaml',
    'monitoring.coreos.com_prometheusrules.yaml',
  ].flatMap((name) => pathIfPresent('crds', name) ?? []);
  return {
    vault: pathIfPresent('vault') && directory,
    provider: (release) => pathIfPresent('providers', `terraform-provider-${release}`),
    definitions: definitions.length === 2 ? definitions : undefined,
  };
}
