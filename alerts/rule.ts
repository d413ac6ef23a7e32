/** An alerting rule as Prometheus loads it. */
export interface AlertRule {
  /** Name of the alert. */
  readonly alert: string;
  /** PromQL expression, on one line. */
  readonly expr: string;
  /** How long `expr` must hold before the alert fires, as a Prometheus duration. */
  readonly for: string;
  /** Labels for routing. */
  readonly labels: { readonly severity: Severity };
  /** Texts of the notification, and the link to the alert's section of the runbook. */
  readonly annotations: {
    readonly summary: string;
    readonly description: string;
    readonly runbook_url: string;
  };
}

/** A group of rules as Prometheus loads it. */
export interface AlertGroup {
  /** Name of the group, which gates refer to. */
  readonly name: string;
  /** The rules of the group. */
  readonly rules: readonly AlertRule[];
}

/** Critical wakes somebody; warning waits for the morning. */
export type Severity = 'critical' | 'warning';

/** A rule without the link to its runbook. */
export interface AlertDefinition {
  /** Name of the alert. */
  readonly alert: string;
  /** PromQL expression; it may span several lines. */
  readonly expr: string;
  /** Prometheus duration: longer than a scrape and an evaluation, so that a single gap raises no alert. */
  readonly for: string;
  /** Severity of the alert. */
  readonly severity: Severity;
  /** One sentence: what is wrong. */
  readonly summary: string;
  /** More detail: what it means, or what to do. */
  readonly description: string;
}

/**
 * Turns a definition into the rule that Prometheus loads.
 *
 * @param runbook URL of the runbook, which has a section for every alert, under its name.
 */
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
