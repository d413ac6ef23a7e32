import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseSettings } from '../runtime/src/settings/settings.ts';
import { pipeline, settings } from '../test/constructs/synthesis.ts';

describe('the settings', () => {
  it('are read by the runtime with the values that were written', () => {
    const written = { ...settings, timing: { soak: '7m' }, dispatch: { mode: 'job' } } as const;
    const synth = pipeline({ settings: written, detectionDryRun: true });
    const map = synth.named('kubernetes_config_map_v1', 'k8s-upgrade-settings') as {
      data: Record<string, string>;
    };
    const read = parseSettings('settings.yaml', parse(map.data['settings.yaml'] ?? ''));
    expect(read.timing.soak).toBe(420_000);
    expect(read.dispatch).toMatchObject({ mode: 'job', dryRun: true });
  });

  it('reach the cluster unchanged, even when they contain Terraform’s template syntax', () => {
    const deny = [{ version: '1.35.0', reason: `breaks on \${KUBELET_KUBEADM_ARGS} and 5%{x}` }];
    const map = pipeline({ settings: { ...settings, policy: { deny } } }).named(
      'kubernetes_config_map_v1',
      'k8s-upgrade-settings',
    ) as { data: Record<string, string> };
    expect(map.data['settings.yaml']).toContain(`$\${KUBELET_KUBEADM_ARGS} and 5%%{x}`);
  });
});
