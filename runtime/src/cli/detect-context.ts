import type { ClusterWriter } from '../cluster/writer.ts';
import type { DetectContext } from '../detect/detection.ts';
import { PackageRepository } from '../releases/repository.ts';
import { openNodeShell } from '../ssh/open-shell.ts';
import type { Session } from './session.ts';

/**
 * Opens what detection needs: cluster, package repository, and a shell for the package list of a node.
 *
 * @param readOnly opens no shell, as reading the package list refreshes it and may remember a host key.
 * @throws UpgradeError when the SSH key is unusable or the API server does not answer.
 */
export async function detectContext(
  session: Session,
  writer: ClusterWriter,
  readOnly: boolean,
): Promise<DetectContext> {
  const { settings, client, cluster, logger, signals } = session;
  const open = () =>
    openNodeShell(client, settings, {
      readOnly,
      signal: signals.stop,
      onLine: (node, script, line) => logger.debug(`${node} ${script}: ${line}`),
      onNotice: (notice) => logger.warn(notice),
      mayWrite: async () => {},
    });
  const shell = readOnly ? undefined : await open();
  await cluster.serverRelease();
  const repository = new PackageRepository(settings.packages, signals.stop);
  return {
    settings,
    client,
    cluster,
    writer,
    shell,
    repository,
    logger,
    signal: signals.stop,
    processName: session.processName,
  };
}
