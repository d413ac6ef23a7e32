import { HelmProvider } from '@cdktf/provider-helm/lib/provider/index.js';
import { KubernetesProvider } from '@cdktf/provider-kubernetes/lib/provider/index.js';
import { VaultProvider } from '@cdktf/provider-vault/lib/provider/index.js';
import type { TerraformStack } from 'cdktf';
import { UpgradePipeline, type UpgradePipelineProps } from '../../constructs/index.ts';
import { synthesize } from '../lab/stack.ts';

/** The least settings that the runtime accepts. */
export const settings = {
  prometheus: { url: 'http://prometheus-server.monitoring' },
  pushgateway: { url: 'http://prometheus-prometheus-pushgateway.monitoring:9091' },
};

/** The required props of a pipeline, and no others. */
export const leastProps: UpgradePipelineProps = {
  image: 'registry.example/k8s-version-upgrade:0.1.0',
  settings,
  alerts: { runbook: 'https://runbook.example/k8s-version-upgrade.md' },
};

type Body = Record<string, unknown>;

/** A synthesized stack, and the queries that tests make. */
export class Synthesized {
  /** The stack's Terraform, as JSON. */
  readonly text: string;
  readonly #stack: { resource?: Record<string, Record<string, Body>>; output?: Record<string, Body> };

  constructor(text: string) {
    this.text = text;
    this.#stack = JSON.parse(text);
  }

  /** All resources of a Terraform type, such as `kubernetes_role_v1`. */
  resources(type: string): Body[] {
    return Object.values(this.#stack.resource?.[type] ?? {});
  }

  /** The resource of a type with this name. Throws unless there is exactly one. */
  named(type: string, name: string): Body {
    const found = this.resources(type).filter(
      (body) => (body.metadata as { name?: string } | undefined)?.name === name || body.name === name,
    );
    const [only] = found;
    if (only === undefined || found.length > 1) throw new Error(`${found.length} of ${type} ${name}`);
    return only;
  }

  /** The first manifest of a Kubernetes kind. Throws when there is none. */
  manifest<T = Record<string, never>>(kind: string): T {
    const found = this.resources('kubernetes_manifest').find((b) => (b.manifest as Body).kind === kind);
    if (found === undefined) throw new Error(`no ${kind}`);
    return found.manifest as T;
  }

  /** The Terraform types of all resources, sorted. */
  get types(): string[] {
    return Object.keys(this.#stack.resource ?? {}).sort();
  }

  /** All resources. */
  get all(): Body[] {
    return this.types.flatMap((type) => this.resources(type));
  }

  /** The value of an output; undefined when there is none. */
  output(name: string): unknown {
    return this.#stack.output?.[name]?.value;
  }
}

/** Synthesizes what `fill` puts into a stack. Throws when a validation fails. */
export function synthesized(fill: (stack: TerraformStack) => void): Synthesized {
  const text = synthesize('stack', (stack) => {
    new KubernetesProvider(stack, 'kubernetes');
    new VaultProvider(stack, 'vault');
    new HelmProvider(stack, 'helm');
    fill(stack);
  });
  return new Synthesized(text);
}

const build = (props: Partial<UpgradePipelineProps>): Synthesized =>
  synthesized((stack) => {
    new UpgradePipeline(stack, 'pipeline', { ...leastProps, ...props });
  });

let standard: Synthesized | undefined;

/** The pipeline with these props. Without props it is synthesized once and shared, as no test changes it. */
export function pipeline(props?: Partial<UpgradePipelineProps>): Synthesized {
  if (props !== undefined) return build(props);
  standard ??= build({});
  return standard;
}
