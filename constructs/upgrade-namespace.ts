import { NamespaceV1 } from '@cdktf/provider-kubernetes/lib/namespace-v1/index.js';
import { Construct } from 'constructs';
import { commonLabels } from './labels.ts';

/** The name of the namespace. */
export interface UpgradeNamespaceProps {
  /** `namespace` of the settings. */
  readonly name: string;
}

/** The pipeline's namespace, with Pod Security `restricted` enforced. */
export class UpgradeNamespace extends Construct {
  /** The namespace, for other resources to depend on. */
  readonly resource: NamespaceV1;

  constructor(scope: Construct, id: string, props: UpgradeNamespaceProps) {
    super(scope, id);
    this.resource = new NamespaceV1(this, 'namespace', {
      metadata: {
        name: props.name,
        labels: {
          ...commonLabels,
          'pod-security.kubernetes.io/enforce': 'restricted',
          'pod-security.kubernetes.io/audit': 'restricted',
          'pod-security.kubernetes.io/warn': 'restricted',
        },
      },
      // These hold the state of a rollout: an apply must not erase it.
      lifecycle: { ignoreChanges: ['metadata[0].annotations'] },
    });
  }
}
