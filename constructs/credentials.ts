import { Manifest } from '@cdktf/provider-kubernetes/lib/manifest/index.js';
import { Policy } from '@cdktf/provider-vault/lib/policy/index.js';
import { Construct } from 'constructs';
import { credentialKeys, objectNames } from '../runtime/src/names.ts';
import { checked, notAllowed } from './checked.ts';
import { labelsOf } from './labels.ts';

/** Where the credentials are in Vault, and which of them the programs need. */
export interface CredentialsProps {
  /** The pipeline's namespace, where the Secret is created. */
  readonly namespace: string;
  /**
   * Mount and path of `ssh_key`, `ssh_key_pub` and `slack_webhook`, as for `vault kv get`.
   * @default 'secret/k8s-upgrade'
   */
  readonly vaultPath?: string;
  /**
   * Mount and path of the agent service's `api_bearer_token`; the mount must be that of `vaultPath`. `false`
   * when nothing is dispatched to that service.
   * @default 'secret/claude-agent-service'
   */
  readonly agentTokenPath?: string | false;
  /**
   * Whether the programs post to Slack, and so need the webhook.
   * @default true
   */
  readonly usesSlack?: boolean;
  /** The ClusterSecretStore that reads from the mount. @default 'vault-kv' */
  readonly secretStore?: string;
  /**
   * The API version that the cluster's External Secrets operator serves.
   * @default 'external-secrets.io/v1'
   */
  readonly apiVersion?: 'external-secrets.io/v1' | 'external-secrets.io/v1beta1';
  /**
   * Name of the Vault policy to create, for the role of the ClusterSecretStore.
   * @default 'k8s-upgrade-read'
   */
  readonly policyName?: string;
}

interface KvPath {
  readonly mount: string;
  readonly path: string;
}

/** Used instead of a path that is wrong. */
const invalid: KvPath = { mount: 'invalid', path: 'invalid' };

/**
 * The Secret with the pipeline's credentials. The External Secrets operator updates it from Vault every 15
 * minutes.
 *
 * Terraform sees names and paths only. The values never pass through it, so its state holds none.
 */
export class Credentials extends Construct {
  /** The object from which the operator makes the Secret; pods depend on it. */
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
          // As the operator writes it back; `15m` would show as a change in every plan.
          refreshInterval: '15m0s',
          secretStoreRef: { kind: 'ClusterSecretStore', name: props.secretStore ?? 'vault-kv' },
          target: { name: objectNames.credentials, creationPolicy: 'Owner', deletionPolicy: 'Retain' },
          data: [
            entry(credentialKeys.sshKey, own),
            // For people, who add it to authorized_keys. No program reads it.
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

/** Parses `secret/k8s-upgrade`. Throws for `secret/data/k8s-upgrade`: the API's `data/` is added later. */
function parseKvPath(prop: string, text: string): KvPath {
  const { mount, path } = pathPattern.exec(text)?.groups ?? {};
  if (mount === undefined || path === undefined || /^(data|metadata)(\/|$)/.test(path)) {
    throw notAllowed(prop, text, 'mount/path without "data/", such as secret/k8s-upgrade');
  }
  return { mount, path };
}

/** Throws when the paths have different mounts: a ClusterSecretStore reads from one mount only. */
function sameMount(own: KvPath, text: string | false, agent: KvPath | undefined): void {
  const wellFormed = own !== invalid && agent !== invalid;
  if (agent !== undefined && wellFormed && agent.mount !== own.mount) {
    throw notAllowed('agentTokenPath', text, `the mount of vaultPath, ${own.mount}/…`);
  }
}

const samePath = (a: KvPath, b: KvPath): boolean => a.mount === b.mount && a.path === b.path;

const readOnly = ({ mount, path }: KvPath): string =>
  `path "${mount}/data/${path}" {\n  capabilities = ["read"]\n}\n`;
