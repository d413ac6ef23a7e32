import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from '../hosts/shell.ts';
import type { Programs } from './programs.ts';

const script = join(import.meta.dirname, 'images.sh');

const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'k8s-version-upgrade/images');

/** The images of one release of a cluster, as archives of `docker save`. */
export interface Images {
  /** Those that every node runs: kube-proxy, CoreDNS, pause, the tests' workload. */
  readonly every: readonly string[];
  /** Those that only control-plane nodes run besides. */
  readonly controlPlane: readonly string[];
}

const onEveryNode = ['kube-proxy.tar', 'coredns.tar', 'pause.tar', 'web.tar'];

/** Writes the images once into the user's cache. */
export async function imagesOf(programs: Programs, release: string, base: string): Promise<Images> {
  const archives: string[] = [];
  for (const { kind, programs: directory, suffix } of programs.imagesOf(release)) {
    const key = createHash('sha256')
      .update(readFileSync(script))
      .update([kind, directory, base, suffix].join());
    const target = join(cache, `${kind}-${key.digest('hex').slice(0, 12)}`);
    if (!existsSync(target)) await make(target, [kind, directory, base], suffix);
    archives.push(...(await readdir(target)).map((name) => join(target, name)));
  }
  const isOnEvery = (path: string) => onEveryNode.some((name) => path.endsWith(`/${name}`));
  return {
    every: archives.filter(isOnEvery),
    controlPlane: archives.filter((path) => !isOnEvery(path)),
  };
}

async function make(target: string, args: readonly string[], suffix: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  const making = await mkdtemp(join(cache, 'new-'));
  try {
    await run(script, [...args, making, suffix]);
    await rename(making, target);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}
