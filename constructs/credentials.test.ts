import { describe, expect, it } from 'vitest';
import { pipeline, settings } from '../test/constructs/synthesis.ts';

interface ExternalSecret {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly refreshInterval: string;
    readonly secretStoreRef: unknown;
    readonly data: readonly { readonly secretKey: string; readonly remoteRef: unknown }[];
  };
}

describe('the credentials', () => {
  it('come from Vault every 15 minutes, each from its own path', () => {
    const secret = pipeline().manifest<ExternalSecret>('ExternalSecret');
    expect(secret.metadata).toMatchObject({ name: 'k8s-upgrade-creds', namespace: 'k8s-upgrade' });
    expect(secret.spec).toMatchObject({
      refreshInterval: '15m0s',
      secretStoreRef: { kind: 'ClusterSecretStore', name: 'vault-kv' },
    });
    const own = (property: string) => ({
      secretKey: property,
      remoteRef: { key: 'k8s-upgrade', property },
    });
    expect(secret.spec.data).toEqual([
      own('ssh_key'),
      own('ssh_key_pub'),
      own('slack_webhook'),
      {
        secretKey: 'api_bearer_token',
        remoteRef: { key: 'claude-agent-service', property: 'api_bearer_token' },
      },
    ]);
  });

  it('are read-only by the Vault policy', () => {
    expect(pipeline().named('vault_policy', 'k8s-upgrade-read').policy).toBe(
      [
        'path "secret/data/k8s-upgrade" {\n  capabilities = ["read"]\n}\n',
        'path "secret/data/claude-agent-service" {\n  capabilities = ["read"]\n}\n',
      ].join('\n'),
    );
  });

  it('do not include the token without the agent service', () => {
    const direct = pipeline({ settings: { ...settings, dispatch: { mode: 'job' } } });
    expect(direct.manifest<ExternalSecret>('ExternalSecret').spec.data).toHaveLength(3);
    expect(direct.text).not.toContain('claude-agent-service/');
    expect(direct.named('vault_policy', 'k8s-upgrade-read').policy).not.toContain('claude-agent-service');
  });

  it('never pass through Terraform: no resource or data source holds a value', () => {
    const { text, types } = pipeline();
    expect(types.filter((type) => /secret|vault/.test(type))).toEqual(['vault_policy']);
    expect(JSON.parse(text).data).toBeUndefined();
  });

  it('may be created by something else', () => {
    expect(pipeline({ credentials: false }).types).not.toContain('vault_policy');
  });

  it('may have other paths, another store and another policy', () => {
    const other = pipeline({
      credentials: {
        vaultPath: 'kv/infra/upgrade',
        agentTokenPath: 'kv/claude',
        secretStore: 'vault',
        policyName: 'upgrade-reader',
        apiVersion: 'external-secrets.io/v1beta1',
      },
    });
    const secret = other.manifest<ExternalSecret & { apiVersion: string }>('ExternalSecret');
    expect(secret.apiVersion).toBe('external-secrets.io/v1beta1');
    expect(secret.spec.secretStoreRef).toEqual({ kind: 'ClusterSecretStore', name: 'vault' });
    expect(secret.spec.data[0]?.remoteRef).toEqual({ key: 'infra/upgrade', property: 'ssh_key' });
    expect(other.resources('vault_policy')).toHaveLength(1);
    const { policy } = other.named('vault_policy', 'upgrade-reader');
    expect(policy).toContain('"kv/data/infra/upgrade"');
    expect(policy).toContain('"kv/data/claude"');
  });
});
