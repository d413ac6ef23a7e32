import { z } from 'zod';
import { UpgradeError } from '../errors.ts';
import type { Release } from '../release.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeShell } from './node-shell.ts';
import { ScriptError } from './node-shell.ts';
import { logOf } from './scripts.ts';
import type { SshTarget } from './session.ts';

/** The file's path, and what `etcdutl snapshot status` prints of it. */
const snapshotSchema = z.object({
  /** Absolute path on the node. */
  path: z.string().min(1),
  /** Hash of the snapshot. */
  hash: z.union([z.number(), z.string()]).transform(String),
  /** Revision of etcd's store. */
  revision: z.number().int().positive(),
  /** Number of keys. */
  totalKey: z.number().int().positive(),
  /** Bytes. */
  totalSize: z.number().int().positive(),
});

/** A verified etcd snapshot. */
export type Snapshot = z.output<typeof snapshotSchema>;

/** Takes and verifies etcd snapshots on a control-plane node. */
export interface Snapshots {
  /**
   * Takes a snapshot before the upgrade to `release` and verifies it. Each call makes another file.
   *
   * @returns undefined in a dry-run.
   * @throws ScriptError when taking it failed; UpgradeError when the result is not a valid snapshot.
   */
  take(node: SshTarget, release: Release): Promise<Snapshot | undefined>;
  /** Whether the file exists and is unchanged. @throws ConnectionError when the node cannot be reached. */
  verify(node: SshTarget, path: string): Promise<boolean>;
}

/**
 * Snapshots with the node script snapshot_etcd.
 *
 * @param timeout of one script, milliseconds.
 */
export function etcdSnapshots(
  shell: NodeShell,
  { directory, keep }: Settings['snapshot'],
  timeout: number,
): Snapshots {
  return {
    async take(node, release) {
      const result = await shell.script(
        node,
        'snapshot_etcd',
        ['--save', directory, '--release', release, '--keep', String(keep), '--node', node.name],
        timeout,
      );
      const snapshot = snapshotSchema.safeParse(result);
      if (snapshot.success) return snapshot.data;
      throw new UpgradeError(
        'failed',
        `the etcd snapshot on ${node.name} did not verify: ${snapshot.error.issues[0]?.message}`,
        {
          hint: `Its log is on ${node.name} in ${logOf('snapshot_etcd')}. Nothing was changed.`,
        },
      );
    },
    async verify(node, path) {
      try {
        await shell.script(node, 'snapshot_etcd', ['--verify', path, '--node', node.name], timeout);
        return true;
      } catch (error) {
        if (error instanceof ScriptError) return false;
        throw error;
      }
    },
  };
}
