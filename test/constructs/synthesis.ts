import { HelmProvider } from '@cdktf/provider-helm/lib/provider/index.js';
import { KubernetesProvider } from '@cdktf/provider-kubernetes/lib/provider/index.js';
import { VaultProvider } from '@cdktf/provider-vault/lib/provider/index.js';
import type { TerraformStack } from 'cdktf';
import { UpgradePipeline, type UpgradePipelineProps } from '../../constructs/index.ts';
import { synthesize } from '../lab/stack.ts';

export const settings = {
  prometheus: { url: 'http://prometheus-server.monitoring' },
  pushgateway: { url: 'http://prometheus-prometheus-pushgateway.monitoring:9091' },
};

/** The least that a pipeline asks for. */
export const leastProps: UpgradePipelineProps = {
  image: 'registry.example/k8s-version-upgrade:0.1.0',
  settings,
  alerts: { runbook: 'https://runbook.example/k8s-version-upgrade.md' },
};

type Body = Record<string, unknown>;

/** A stack that was synthesized, and the questions that tests ask it. */
export class Synthesized {
  readonly text: string;
  readonly #stack: { resource?: Record<string, Record<string, Body>>; output?: Record<string, Body> };

  constructor(text: string) {
    this.text = text;
    this.#stack = JSON.parse(text);
  }

  resources(type: string): Body[] {
    return Object.values(this.#stack.resource?.[type] ?? {});
  }

  /** The one resource of a type with this name. */
  named(type: string, name: string): Body {
    const found = this.resources(type).filter(
      (body) => (body.metadata as { name?: string } | undefined)?.name === name || body.name === name,
    );
    const [only] = found;
    if (only === undefined || found.length > 1) throw new Error(`${found.length} of ${type} ${name}`);
    return only;
  }

  manifest<T = Record<string, never>>(kind: string): T {
    const found = this.resources('kubernetes_manifest').find((b) => (b.manifest as Body).kind === kind);
    if (found === undefined) throw new Error(`no ${kind}`);
    return found.manifest as T;
  }

  get types(): string[] {
    return Object.keys(this.#stack.resource ?? {}).sort();
  }

  get all(): Body[] {
    return this.types.flatMap((type) => this.resources(type));
  }

  output(name: string): unknown {
    return this.#stack.output?.[name]?.value;
  }
}

/** Synthesizes what `fill` puts into a stack, validations included. */
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

/** The pipeline with these props; the one with none is synthesized once, as nobody changes it. */
export function pipeline(props?: Partial<UpgradePipelineProps>): Synthesized {
  if (props !== undefined) return build(props);
  standard ??= build({});
  return standard;
}
