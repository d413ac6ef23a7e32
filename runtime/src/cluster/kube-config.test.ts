import { tmpdir } from 'node:os';
import { describe, expect, it, test, vi } from 'vitest';
import { temporaryFile } from '../testing/files.ts';
import { loadKubeConfig } from './kube-config.ts';

describe('a kubeconfig', () => {
  test.each([
    ['is not YAML', '{', 'a readable kubeconfig'],
    [
      'has no context',
      'apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n',
      'a kubeconfig with a current context',
    ],
  ])('that %s is bad input', (_what, text, message) => {
    const file = temporaryFile(text);
    expect(() => loadKubeConfig(file)).toThrow(
      `--kubeconfig: ${JSON.stringify(file)} is not allowed; expected ${message}`,
    );
  });

  it('that does not exist is bad input', () => {
    expect(() => loadKubeConfig('/nonexistent')).toThrow('--kubeconfig: "/nonexistent" is not allowed');
  });

  it('that is in none of the default places is bad input', () => {
    vi.stubEnv('KUBECONFIG', '');
    vi.stubEnv('HOME', tmpdir());
    try {
      expect(() => loadKubeConfig(undefined)).toThrow('none in $KUBECONFIG or ~/.kube/config');
    } finally {
      vi.unstubAllEnvs();
    }
  });
});
