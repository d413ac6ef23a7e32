import { isConflict, isNotFound } from '../../cluster/api-error.ts';
import { mergePatch } from '../../cluster/client.ts';
import { InputError } from '../../errors.ts';
import { objectNames } from '../../names.ts';
import { type CommonOptions, openSession } from '../session.ts';

export interface HaltOptions extends CommonOptions {
  readonly reason: string;
}

export async function haltCommand(options: HaltOptions): Promise<void> {
  const reason = options.reason.trim();
  if (reason === '') throw new InputError('--reason', options.reason, 'a few words for whoever finds it');
  const { settings, client, logger } = openSession(options);
  const { namespace } = settings;
  const name = objectNames.killSwitch;
  const body = { metadata: { name, namespace }, data: { reason } };
  await client
    .call('create the kill switch', () => client.core.createNamespacedConfigMap({ namespace, body }))
    .catch((error) => {
      if (!isConflict(error)) throw error;
      return client.call('update the kill switch', () =>
        client.core.patchNamespacedConfigMap({ name, namespace, body }, mergePatch),
      );
    });
  logger.info(`halted: ${reason}. Nothing new starts; a run under way stops before its next node.`);
}

export async function resumeCommand(options: CommonOptions): Promise<void> {
  const { settings, client, logger } = openSession(options);
  const request = { name: objectNames.killSwitch, namespace: settings.namespace };
  try {
    await client.call('delete the kill switch', () => client.core.deleteNamespacedConfigMap(request));
    logger.info('resumed: the kill switch is lifted');
  } catch (error) {
    if (!isNotFound(error)) throw error;
    logger.info('upgrades were not halted; to go on with a rollout, dispatch it again: k8s-upgrade submit');
  }
}
