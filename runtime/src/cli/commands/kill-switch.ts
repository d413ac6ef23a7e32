import { InputError } from '../../errors.ts';
import { ConfigMapKillSwitch } from '../../rollout/kill-switch.ts';
import { type CommonOptions, openSession } from '../session.ts';

/** Options of `halt`. */
export interface HaltOptions extends CommonOptions {
  /** Why upgrades are halted; not empty. */
  readonly reason: string;
}

/**
 * `k8s-upgrade halt`: sets the kill switch, or replaces its reason.
 *
 * @throws InputError for an empty reason.
 */
export async function haltCommand(options: HaltOptions): Promise<void> {
  const reason = options.reason.trim();
  if (reason === '') throw new InputError('--reason', options.reason, 'why upgrades are halted');
  const { settings, client, logger } = openSession(options);
  await new ConfigMapKillSwitch(client, settings.namespace).set(reason);
  logger.info(`halted: ${reason}. Nothing new starts; a run in progress stops before its next drain.`);
}

/** `k8s-upgrade resume`: lifts the kill switch. May be called when it is not set. Starts no run. */
export async function resumeCommand(options: CommonOptions): Promise<void> {
  const { settings, client, logger } = openSession(options);
  const wasSet = await new ConfigMapKillSwitch(client, settings.namespace).lift();
  logger.info(
    wasSet
      ? 'resumed: the kill switch is lifted'
      : 'upgrades were not halted; to continue a rollout, dispatch it again: k8s-upgrade submit',
  );
}
