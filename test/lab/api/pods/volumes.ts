import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Store } from '../store.ts';
import type { KeyToPath, Pod, Volume } from '../types.ts';

/** A mount of a container, without a mount namespace. */
export interface Mount {
  /** Path in the container. */
  readonly inside: string;
  /** Path on this machine. */
  readonly real: string;
}

interface VolumeFile {
  readonly path: string;
  readonly content: Buffer;
  readonly mode: number;
}

/** What volumes are written from. */
export interface VolumeContext {
  readonly store: Pick<Store, 'get'>;
  readonly pod: Pod;
  readonly caPem: string;
  readonly token: string;
}

/** A ConfigMap or Secret that a pod mounts does not exist (yet). */
export class MissingVolumeSource extends Error {}

/**
 * Writes the pod's volumes below `directory` and returns the mounts of `container`. May be called again.
 * @throws MissingVolumeSource
 */
export async function writeVolumes(
  context: VolumeContext,
  directory: string,
  container: string,
): Promise<Mount[]> {
  const { pod } = context;
  const mounts = (pod.spec?.containers.find((c) => c.name === container)?.volumeMounts ?? [])
    .map((m) => ({
      volume: m.name,
      inside: m.mountPath.replace(/\/$/, ''),
      real: join(directory, m.name, m.subPath ?? ''),
    }))
    .sort((a, b) => b.inside.length - a.inside.length);
  for (const volume of pod.spec?.volumes ?? []) {
    const base = join(directory, volume.name);
    if (volume.hostPath !== undefined) continue;
    if (volume.emptyDir === undefined) await rm(base, { recursive: true, force: true });
    await mkdir(base, { recursive: true });
    for (const file of volumeFiles(context, volume, mounts)) {
      const path = join(base, file.path);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, file.content, { mode: file.mode });
    }
  }
  const hostPaths = new Map((pod.spec?.volumes ?? []).map((v) => [v.name, v.hostPath?.path]));
  return mounts.map(({ volume, inside, real }) => ({ inside, real: hostPaths.get(volume) ?? real }));
}

/** Replaces the paths of mounts in a text with the real ones. */
export function realPaths(text: string, mounts: readonly Mount[]): string {
  return mounts.reduce((result, { inside, real }) => {
    const escaped = inside.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return result.replace(new RegExp(`(?<![\\w.-])${escaped}(?![\\w.-])`, 'g'), () => real);
  }, text);
}

type Data = Readonly<Record<string, Buffer>>;

function volumeFiles(context: VolumeContext, volume: Volume, mounts: readonly Mount[]): VolumeFile[] {
  const { configMap, secret, projected } = volume;
  if (configMap !== undefined) {
    const data = configMapData(context, configMap.name ?? '', configMap.optional, mounts);
    return chosenFiles(data, configMap.items, configMap.defaultMode);
  }
  if (secret !== undefined) {
    const data = secretData(context, secret.secretName ?? '', secret.optional);
    return chosenFiles(data, secret.items, secret.defaultMode);
  }
  return (projected?.sources ?? []).flatMap((source) => {
    const mode = projected?.defaultMode;
    if (source.configMap !== undefined) {
      const data = configMapData(context, source.configMap.name ?? '', source.configMap.optional, mounts);
      return chosenFiles(data, source.configMap.items, mode);
    }
    if (source.secret !== undefined) {
      const data = secretData(context, source.secret.name ?? '', source.secret.optional);
      return chosenFiles(data, source.secret.items, mode);
    }
    if (source.serviceAccountToken !== undefined) {
      return [{ path: source.serviceAccountToken.path, content: Buffer.from(context.token), mode: 0o600 }];
    }
    return (source.downwardAPI?.items ?? []).map((item) => ({
      path: item.path,
      content: Buffer.from(podField(context.pod, item.fieldRef?.fieldPath ?? '')),
      mode: item.mode ?? mode ?? 0o644,
    }));
  });
}

function chosenFiles(data: Data, items: readonly KeyToPath[] | undefined, mode = 0o644): VolumeFile[] {
  if (items === undefined) {
    return Object.entries(data).map(([path, content]) => ({ path, content, mode }));
  }
  return items.flatMap((item) => {
    const content = data[item.key];
    if (content === undefined)
      throw new MissingVolumeSource(`references non-existent config key: ${item.key}`);
    return [{ path: item.path, content, mode: item.mode ?? mode }];
  });
}

function configMapData(
  { store, pod }: VolumeContext,
  name: string,
  optional: boolean | undefined,
  mounts: readonly Mount[],
): Data {
  const found = store.get('configmaps', pod.metadata.namespace, name);
  if (found === undefined && optional !== true)
    throw new MissingVolumeSource(`configmap "${name}" not found`);
  const text = Object.entries(found?.data ?? {}).map(([k, v]) => [k, Buffer.from(realPaths(v, mounts))]);
  const binary = Object.entries(found?.binaryData ?? {}).map(([k, v]) => [k, Buffer.from(v, 'base64')]);
  return Object.fromEntries([...text, ...binary]) as Data;
}

function secretData({ store, pod }: VolumeContext, name: string, optional: boolean | undefined): Data {
  const found = store.get('secrets', pod.metadata.namespace, name);
  if (found === undefined && optional !== true) throw new MissingVolumeSource(`secret "${name}" not found`);
  return Object.fromEntries(Object.entries(found?.data ?? {}).map(([k, v]) => [k, Buffer.from(v, 'base64')]));
}

/** The value of a downward API field, such as `metadata.name`; empty when it is not set. */
export function podField(pod: Pod, path: string): string {
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (keyed !== null) return pod.metadata[keyed[1] as 'labels' | 'annotations']?.[keyed[2] ?? ''] ?? '';
  const value = path
    .split('.')
    .reduce<unknown>((o, k) => (typeof o === 'object' && o !== null ? Reflect.get(o, k) : undefined), pod);
  return value === undefined ? '' : String(value);
}
