import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubernetesProvider } from '@cdktf/provider-kubernetes/lib/provider/index.js';
import { VaultProvider } from '@cdktf/provider-vault/lib/provider/index.js';
import type { KubernetesObject } from '@kubernetes/client-node';
import { TerraformStack, Testing } from 'cdktf';
import { UpgradePipeline } from '../../constructs/upgrade-pipeline.ts';
import type { SettingsInput } from '../../runtime/src/settings/settings.ts';
import { isServed } from './api/served.ts';
import { kubernetesObjects } from './terraform.ts';

/** The Terraform of the constructs that `fill` adds to a stack, as JSON text. Leaves no files behind. */
export function synthesize(name: string, fill: (stack: TerraformStack) => void): string {
  const outdir = mkdtempSync(join(tmpdir(), 'cdktf-'));
  try {
    const stack = new TerraformStack(Testing.app({ stackTraces: false, outdir }), name);
    fill(stack);
    return Testing.synth(stack, true);
  } finally {
    rmSync(outdir, { recursive: true });
  }
}

/** Nothing can be pulled from there. */
const noImage = 'registry.invalid/k8s-version-upgrade:0.1.0';

/** Every object that `scripts/tg apply` creates in a cluster with these settings. */
export function deployedObjects(settings: SettingsInput, image: string = noImage): KubernetesObject[] {
  const text = synthesize('lab', (stack) => {
    new KubernetesProvider(stack, 'kubernetes');
    new VaultProvider(stack, 'vault');
    new UpgradePipeline(stack, 'pipeline', {
      image,
      settings,
      alerts: { runbook: 'https://runbook.invalid' },
    });
  });
  return kubernetesObjects(text);
}

/**
 * {@link deployedObjects} of the kinds that the lab serves: namespace, settings, roles, CronJobs and so on.
 * Without the ExternalSecret, and without the Secret that its operator creates from it.
 */
export function labObjects(settings: SettingsInput): KubernetesObject[] {
  return deployedObjects(settings).filter(isServed);
}
