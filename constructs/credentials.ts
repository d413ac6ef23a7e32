import { Manifest } from '@cdktf/provider-kubernetes/lib/manifest/index.js';
import { Policy } from '@cdktf/provider-vault/lib/policy/index.js';
import { Construct } from 'constructs';
import { credentialKeys, objectNames } from '../runtime/src/names.ts';
import { checked, notAllowed } from './checked.ts';
import { labelsOf } from './labels.ts';

export interface CredentialsProps {
  readonly namespace: string;
  /** Where `ssh_key`, `ssh_key_pub` and `slack_webhook` are: mount and path, as `vault kv get` takes them. @default 'secret/k8s-upgrade' */
  readonly vaultPath?: string;
  /**
   * Where the agent service's `api_bearer_token` is, in the mount of `vaultPath`; `false` when nothing is dispatched to it.
   * @default 'secret/claude-agent-service'
   */
  readonly agentTokenPath?: string | false;
  /**
   * Whether the programs write to Slack, and so need the webhook.
   * @default true
   */
  readonly usesSlack?: boolean;
  /** The ClusterSecretStore in front of the mount. @default 'vault-kv' */
  readonly secretStore?: string;
  /** The API version that the External Secrets operator of the cluster serves. @default 'external-secrets.io/v1' */
  readonly apiVersion?: 'external-secrets.io/v1' | 'external-secrets.io/v1beta1';
  /** Vault policy to create, for the role of the ClusterSecretStore. @default 'k8s-upgrade-read' */
  readonly policyName?: string;
}

interface KvPath {
  readonly mount: string;
  readonly path: string;
}

/** Stands in for a path that is wrong. */
const invalid: KvPath = { mount: 'invalid', path: 'invalid' };

/**
 * The Secret with the pipeline's credentials, made by the External Secrets operator from Vault every 15 minutes.
 *
 * Terraform sees names and paths only. The values never pass through it, so that none is in its state.
 */
export class Credentials extends Construct {
  /** The operator makes the Secret once this is there. */
  readonly externalSecret: Manifest;

  constructor(scope: Construct, id: string, props: CredentialsProps) {
    super(scope, id);
    const own = this.kvPath('vaultPath', props.vaultPath ?? 'secret/k8s-upgrade');
    const agentTokenPath = props.agentTokenPath ?? 'secret/claude-agent-service';
    const agent = agentTokenPath === false ? undefined : this.kvPath('agentTokenPath', agentTokenPath);
    checked(this, () => sameMount(own, agentTokenPath, agent), undefined);
    const sources = agent === undefined || samePath(own, agent) ? [own] : [own, agent];

    new Policy(this, 'policy', {
      name: props.policyName ?? 'k8s-upgrade-read',
      policy: sources.map(readOnly).join('\n'),
    });

    const entry = (key: string, { path }: KvPath) => ({
      secretKey: key,
      remoteRef: { key: path, property: key },
    });
    this.externalSecret = new Manifest(this, 'external-secret', {
      manifest: {
        apiVersion: props.apiVersion ?? 'external-secrets.io/v1',
        kind: 'ExternalSecret',
        metadata: {
          name: objectNames.credentials,
          namespace: props.namespace,
          labels: labelsOf('credentials'),
        },
        spec: {
          // As the operator writes it back; `15m` would be another change at every plan.
          refreshInterval: '15m0s',
          secretStoreRef: { kind: 'ClusterSecretStore', name: props.secretStore ?? 'vault-kv' },
          target: { name: objectNames.credentials, creationPolicy: 'Owner', deletionPolicy: 'Retain' },
          data: [
            entry(credentialKeys.sshKey, own),
            // For people: what belongs into authorized_keys. No program reads it.
            entry(credentialKeys.sshKeyPub, own),
            ...((props.usesSlack ?? true) ? [entry(credentialKeys.slackWebhook, own)] : []),
            ...(agent === undefined ? [] : [entry(credentialKeys.agentToken, agent)]),
          ],
        },
      },
    });
  }

  private kvPath(prop: string, text: string): KvPath {
    return checked(this, () => parseKvPath(prop, text), invalid);
  }
}

const pathPattern = /^(?<mount>[A-Za-z0-9_-]+)\/(?<path>[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+)*)$/;

/** `secret/k8s-upgrade`, never `secret/data/k8s-upgrade`: the API's `data/` is added where it belongs. */
function parseKvPath(prop: string, text: string): KvPath {
  const { mount, path } = pathPattern.exec(text)?.groups ?? {};
  if (mount === undefined || path === undefined || /^(data|metadata)(\/|$)/.test(path)) {
    throw notAllowed(prop, text, 'mount/path without "data/", such as secret/k8s-upgrade');
  }
  return { mount, path };
}

/** One store, one mount: the operator would look for another mount's path in this one. */
function sameMount(own: KvPath, text: string | false, agent: KvPath | undefined): void {
  const wellFormed = own !== invalid && agent !== invalid;
  if (agent !== undefined && wellFormed && agent.mount !== own.mount) {
    throw notAllowed('agentTokenPath', text, `the mount of vaultPath, ${own.mount}/…`);
  }
}

const samePath = (a: KvPath, b: KvPath): boolean => a.mount === b.mount && a.path === b.path;

const readOnly = ({ mount, path }: KvPath): string =>
  `path "${mount}/data/${path}" {\n  capabilities = ["read"]\n}\n`;
