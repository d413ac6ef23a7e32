import type { ClusterWriter } from '../cluster/writer.ts';
import type { DetectContext } from '../detect/detect.ts';
import { PackageRepository } from '../detect/repository.ts';
import { loadHostKeys } from '../nodes/host-keys.ts';
import { SshNodeShell } from '../nodes/node-shell.ts';
import { readSecret } from '../secret-file.ts';
import type { Session } from './options.ts';

/** What detection works with: the cluster, one node's package list and the package repository. */
export async function detectContext(session: Session, writer: ClusterWriter): Promise<DetectContext> {
  const { settings, client, cluster, logger, signals } = session;
  const { user, port, connectTimeout, reconnectTimeout, privateKeyFile } = settings.ssh;
  const privateKey = Buffer.from(`${readSecret('ssh.privateKeyFile', privateKeyFile)}\n`);
  await cluster.serverRelease();
  const shell = new SshNodeShell({
    user,
    port,
    privateKey,
    connectTimeout,
    reconnectTimeout,
    hostKeys: await loadHostKeys(client, settings, false),
    signal: signals.stop,
    onLine: (node, script, line) => logger.debug(`${node} ${script}: ${line}`),
    onNotice: (notice) => logger.warn(notice),
    mayWrite: async () => {},
  });
  const repository = new PackageRepository(settings.packages, signals.stop);
  return { settings, client, cluster, writer, shell, repository, logger, signal: signals.stop };
}
