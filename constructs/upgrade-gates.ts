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

/** How Prometheus gets the rules. */
export type RuleTarget =
  /** For the Prometheus operator. `labels` are what its `ruleSelector` asks for. */
  | { readonly kind: 'prometheus-rule'; readonly labels?: Readonly<Record<string, string>> }
  /** For a release of the chart `prometheus` that this stack owns. */
  | { readonly kind: 'helm-release'; readonly release: PrometheusRelease }
  /** For a release of that chart that another stack owns: the values are an output of this one. */
  | { readonly kind: 'helm-values' };

export interface PrometheusRelease {
  /** Of the chart; pinned. */
  readonly version: string;
  /** @default 'prometheus' */
  readonly name?: string;
  /** @default 'monitoring' */
  readonly namespace?: string;
  /** @default 'https://prometheus-community.github.io/helm-charts' */
  readonly repository?: string;
  /**
   * The release's other values, as YAML documents; the rules are merged over them. No secret: values end in Terraform's
   * state as plain text. A Secret that the chart refers to by its name does not.
   * @default - none
   */
  readonly values?: readonly string[];
}

export interface UpgradeGatesProps extends AlertOptions {
  readonly target: RuleTarget;
  /** The groups that `settings.prometheus.ruleGroups` names. @default - the gates */
  readonly gatedBy?: readonly string[];
  /** Groups of rules that others deploy and that gate an upgrade, too. @default - none */
  readonly otherGroups?: readonly string[];
}

/** The alerts that gate a rollout, and those about the pipeline itself. */
export class UpgradeGates extends Construct {
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
   * The rules as values of the chart `prometheus`. Not in `alerting_rules.yml`, where the release has its own groups: Helm
   * merges maps and replaces lists. The chart loads `alerts` as well, and writes a value that has `groups` as it is.
   */
  get helmValues(): string {
    return stringify({ serverFiles: { alerts: { groups: this.groups } } }, { lineWidth: 0 });
  }

  private output(): void {
    const output = new TerraformOutput(this, 'values', {
      value: literal(this.helmValues),
      description: 'Values of the chart prometheus with the upgrade gates, to lay over those of its release.',
    });
    // Another stack reads it by this name.
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

/** A gate on a group that nobody deploys would be open for ever, or closed for ever. */
function gatesExist({ gatedBy = [ruleGroups.gates], otherGroups = [] }: UpgradeGatesProps): void {
  const allowed: string[] = [ruleGroups.gates, ...otherGroups];
  for (const group of gatedBy.filter((g) => !allowed.includes(g))) {
    throw notAllowed('settings.prometheus.ruleGroups', group, `one of ${allowed.join(', ')}`);
  }
}
