import { basename } from 'node:path';
import { ConfigMapV1 } from '@cdktf/provider-kubernetes/lib/config-map-v1/index.js';
import { Construct } from 'constructs';
import { stringify } from 'yaml';
import { mountPaths, objectNames } from '../runtime/src/names.ts';
import { parseSettings, type SettingsInput } from '../runtime/src/settings/settings.ts';
import { checked } from './checked.ts';
import { labelsOf } from './labels.ts';
import { literal } from './terraform-text.ts';

/** The content of the settings file. */
export interface SettingsFileProps {
  /** The pipeline's namespace. */
  readonly namespace: string;
  /**
   * The settings as written, checked by the runtime's schema; the runtime fills in the defaults. They hold no
   * secrets.
   */
  readonly settings: SettingsInput;
}

/** The ConfigMap with `settings.yaml`, which every program reads. */
export class SettingsFile extends Construct {
  /** The ConfigMap, for pods to depend on. */
  readonly configMap: ConfigMapV1;

  constructor(scope: Construct, id: string, props: SettingsFileProps) {
    super(scope, id);
    checked(this, () => parseSettings('settings', props.settings), undefined);
    this.configMap = new ConfigMapV1(this, 'config-map', {
      metadata: { name: objectNames.settings, namespace: props.namespace, labels: labelsOf('settings') },
      data: { [basename(mountPaths.settingsFile)]: literal(stringify(props.settings)) },
    });
  }
}
