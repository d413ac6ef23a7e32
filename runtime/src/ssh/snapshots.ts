import { z } from 'zod';
import { UpgradeError } from '../errors.ts';
import type { Release } from '../release.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeShell } from './node-shell.ts';
import { ScriptError } from './node-shell.ts';
import { logOf } from './scripts.ts';
import type { SshTarget } from './session.ts';

const snapshotSchema = z.object({
  path: z.string().min(1),
  /** Of etcdutl's status. */
  hash: z.union([z.number(), z.string()]).transform(String),
  revision: z.number().int().positive(),
  totalKey: z.number().int().positive(),
  /** Bytes. */
  totalSize: z.number().int().positive(),
});

export type Snapshot = z.output<typeof snapshotSchema>;

/** etcd snapshots on a control-plane node. */
export interface Snapshots {
  /**
   * @returns undefined in a dry-run. @throws ScriptError when it could not be taken; UpgradeError when what was taken is
   *   not a snapshot.
   */
  take(node: SshTarget, release: Release): Promise<Snapshot | undefined>;
  /** Whether the file is there and still what was taken. */
  verify(node: SshTarget, path: string): Promise<boolean>;
}

/** @param timeout of one script, milliseconds. */
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
        ['--save', directory, '--release', release, '--keep', String(keep)],
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
        await shell.script(node, 'snapshot_etcd', ['--verify', path], timeout);
        return true;
      } catch (error) {
        if (error instanceof ScriptError) return false;
        throw error;
      }
    },
  };
}
