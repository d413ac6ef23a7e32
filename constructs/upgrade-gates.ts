import { Release } from '@cdktf/provider-helm/lib/release/index.js';
import { Manifest } from '@cdktf/provider-kubernetes/lib/manifest/index.js';
import { TerraformOutput } from 'cdktf';
import { Construct } from 'constructs';
import { stringify } from 'yaml';
import { type AlertOptions, alertGroups } from '../alerts/index.ts';
import type { AlertGroup } from '../alerts/rule.ts';
import { ruleGroups } from '../runtime/src/names.ts';
import { checked, notAllowed } from './checked.ts';
import { labelsOf } from './labels.ts';
import { literal } from './terraform-text.ts';

/** How the rules get into Prometheus. */
export type RuleTarget =
  /** For the Prometheus operator. `labels` are those that its `ruleSelector` selects. */
  | { readonly kind: 'prometheus-rule'; readonly labels?: Readonly<Record<string, string>> }
  /** For a release of the chart `prometheus` that this stack owns. */
  | { readonly kind: 'helm-release'; readonly release: PrometheusRelease }
  /** For a release of that chart that another stack owns: the values become an output of this stack. */
  | { readonly kind: 'helm-values' };

/** A release of the chart `prometheus`. */
export interface PrometheusRelease {
  /** Version of the chart. */
  readonly version: string;
  /** Name of the release. @default 'prometheus' */
  readonly name?: string;
  /** Namespace of the release. @default 'monitoring' */
  readonly namespace?: string;
  /** URL of the chart's repository. @default 'https://prometheus-community.github.io/helm-charts' */
  readonly repository?: string;
  /**
   * The release's other values, as YAML documents; the rules are merged over them. They must hold no secrets:
   * values end up in Terraform's state as plain text. Let the chart refer to a Secret by name instead.
   * @default - none
   */
  readonly values?: readonly string[];
}

/** What the alerts depend on, and where they are deployed. */
export interface UpgradeGatesProps extends AlertOptions {
  /** How the rules get into Prometheus. */
  readonly target: RuleTarget;
  /** The groups in `settings.prometheus.ruleGroups`. @default - the group `Upgrade Gates` */
  readonly gatedBy?: readonly string[];
  /** Other deployed groups of rules that `gatedBy` may name. @default - none */
  readonly otherGroups?: readonly string[];
}

/** The alerts that gate a rollout, and those about the pipeline itself. */
export class UpgradeGates extends Construct {
  /** Both groups, as Prometheus loads them. */
  readonly groups: readonly AlertGroup[];

  constructor(scope: Construct, id: string, props: UpgradeGatesProps) {
    super(scope, id);
    this.groups = alertGroups(props);
    checked(this, () => gatesExist(props), undefined);

    const { target } = props;
    if (target.kind === 'prometheus-rule') this.prometheusRule(props.namespace, target.labels);
    else if (target.kind === 'helm-release') this.release(target.release);
    else this.output();
  }

  /**
   * The rules as values of the chart `prometheus`. They are not in `alerting_rules.yml`, which holds the
   * release's own groups: Helm merges maps and replaces lists, so they would be lost. The chart loads
   * `alerts` as well, and writes a value that has `groups` unchanged.
   */
  get helmValues(): string {
    return stringify({ serverFiles: { alerts: { groups: this.groups } } }, { lineWidth: 0 });
  }

  private output(): void {
    const output = new TerraformOutput(this, 'values', {
      value: literal(this.helmValues),
      description:
        'Values of the chart prometheus with the upgrade gates, to merge over those of its release.',
    });
    // Another stack reads the output by this name.
    output.overrideLogicalId('upgrade_gates_values');
  }

  private prometheusRule(namespace: string, labels: Readonly<Record<string, string>> = {}): void {
    new Manifest(this, 'rule', {
      manifest: {
        apiVersion: 'monitoring.coreos.com/v1',
        kind: 'PrometheusRule',
        metadata: { name: 'upgrade-gates', namespace, labels: { ...labelsOf('alerts'), ...labels } },
        spec: { groups: this.groups },
      },
    });
  }

  private release(release: PrometheusRelease): void {
    new Release(this, 'release', {
      name: release.name ?? 'prometheus',
      namespace: release.namespace ?? 'monitoring',
      repository: release.repository ?? 'https://prometheus-community.github.io/helm-charts',
      chart: 'prometheus',
      version: release.version,
      values: [...(release.values ?? []), literal(this.helmValues)],
      atomic: true,
    });
  }
}

/** Throws when a gating group is not deployed: its gate would never change. */
function gatesExist({ gatedBy = [ruleGroups.gates], otherGroups = [] }: UpgradeGatesProps): void {
  const allowed: string[] = [ruleGroups.gates, ...otherGroups];
  for (const group of gatedBy.filter((g) => !allowed.includes(g))) {
    throw notAllowed('settings.prometheus.ruleGroups', group, `one of ${allowed.join(', ')}`);
  }
}
