/** An alerting rule as Prometheus loads it. */
export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: Severity };
  readonly annotations: {
    readonly summary: string;
    readonly description: string;
    readonly runbook_url: string;
  };
}

export interface AlertGroup {
  readonly name: string;
  readonly rules: readonly AlertRule[];
}

/** Critical wakes somebody; warning waits for the morning. */
export type Severity = 'critical' | 'warning';

/** A rule before it knows where its runbook is. */
export interface AlertDefinition {
  readonly alert: string;
  readonly expr: string;
  /** Prometheus duration, at least one scrape and one evaluation long, so that a gap of either is no alert. */
  readonly for: string;
  readonly severity: Severity;
  readonly summary: string;
  readonly description: string;
}

/** @param runbook URL of the runbook; every alert has a section of its own name in it. */
export function toRule(definition: AlertDefinition, runbook: string): AlertRule {
  const { alert, expr, severity, summary, description } = definition;
  return {
    alert,
    expr: expr.replace(/\s+/g, ' ').trim(),
    for: definition.for,
    labels: { severity },
    annotations: { summary, description, runbook_url: `${runbook}#${alert.toLowerCase()}` },
  };
}
