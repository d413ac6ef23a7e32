import { basename } from 'node:path';
import { ConfigMapV1 } from '@cdktf/provider-kubernetes/lib/config-map-v1/index.js';
import { Construct } from 'constructs';
import { stringify } from 'yaml';
import { mountPaths, objectNames } from '../runtime/src/names.ts';
import { parseSettings, type SettingsInput } from '../runtime/src/settings/settings.ts';
import { checked } from './checked.ts';
import { labelsOf } from './labels.ts';
import { literal } from './terraform-text.ts';

export interface SettingsFileProps {
  readonly namespace: string;
  /** As written, checked by the runtime's schema; the runtime fills in its defaults. Never secret: secrets are files of their own. */
  readonly settings: SettingsInput;
}

/** The ConfigMap with `settings.yaml`, which every program reads. */
export class SettingsFile extends Construct {
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
