import type { ClusterWriter } from '../cluster/writer.ts';
import type { DetectContext } from '../detect/detect.ts';
import { PackageRepository } from '../detect/repository.ts';
import { openNodeShell } from '../nodes/open-shell.ts';
import type { Session } from './options.ts';

/**
 * What detection works with: the cluster, one node's package list and the package repository.
 *
 * @param readOnly nothing in the cluster is to change, not even the remembered host keys.
 */
export async function detectContext(
  session: Session,
  writer: ClusterWriter,
  readOnly: boolean,
): Promise<DetectContext> {
  const { settings, client, cluster, logger, signals } = session;
  const shell = await openNodeShell(client, settings, {
    readOnly,
    signal: signals.stop,
    onLine: (node, script, line) => logger.debug(`${node} ${script}: ${line}`),
    onNotice: (notice) => logger.warn(notice),
    mayWrite: async () => {},
  });
  await cluster.serverRelease();
  const repository = new PackageRepository(settings.packages, signals.stop);
  return { settings, client, cluster, writer, shell, repository, logger, signal: signals.stop };
}
