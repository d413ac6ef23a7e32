import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('build.sh', import.meta.url));

/** What a real apply needs; undefined where it cannot be had on this machine. */
export interface Parts {
  /** The directory of the Vault CLI, which is its server, too. */
  readonly vault?: string;
  /** Of the program of a provider. @param release `kubernetes_v2.38.0` */
  readonly provider: (release: string) => string | undefined;
  /** Paths of the custom resource definitions. */
  readonly definitions?: readonly string[];
}

/** Builds what is missing, which takes many minutes the first time. */
export function parts(): Parts {
  const directory = execFileSync(script, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
  const there = (...names: string[]) => {
    const path = join(directory, ...names);
    return existsSync(path) ? path : undefined;
  };
  const definitions = [
    'external-secrets.io_externalsecrets.yaml',
    'monitoring.coreos.com_prometheusrules.yaml',
  ].flatMap((name) => there('crds', name) ?? []);
  return {
    vault: there('vault') && directory,
    provider: (release) => there('providers', `terraform-provider-${release}`),
    definitions: definitions.length === 2 ? definitions : undefined,
  };
}
