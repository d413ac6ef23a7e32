import { InputError } from '../../errors.ts';
import { ConfigMapKillSwitch } from '../../rollout/kill-switch.ts';
import { type CommonOptions, openSession } from '../session.ts';

export interface HaltOptions extends CommonOptions {
  readonly reason: string;
}

export async function haltCommand(options: HaltOptions): Promise<void> {
  const reason = options.reason.trim();
  if (reason === '') throw new InputError('--reason', options.reason, 'a few words for whoever finds it');
  const { settings, client, logger } = openSession(options);
  await new ConfigMapKillSwitch(client, settings.namespace).set(reason);
  logger.info(`halted: ${reason}. Nothing new starts; a run under way stops before its next node.`);
}

export async function resumeCommand(options: CommonOptions): Promise<void> {
  const { settings, client, logger } = openSession(options);
  const wasSet = await new ConfigMapKillSwitch(client, settings.namespace).lift();
  logger.info(
    wasSet
      ? 'resumed: the kill switch is lifted'
      : 'upgrades were not halted; to continue a rollout, dispatch it again: k8s-upgrade submit',
  );
}
