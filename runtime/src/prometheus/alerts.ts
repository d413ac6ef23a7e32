import { z } from 'zod';
import { UpgradeError } from '../errors.ts';
import type { Settings } from '../settings/settings.ts';
import { queryPrometheus } from './client.ts';

/** One firing alert. */
export interface Alert {
  /** `alertname`. */
  readonly name: string;
  /** Label name → value. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Where the gates read alerts from. */
export interface AlertSource {
  /**
   * The firing alerts of the gating rule groups.
   *
   * @throws UpgradeError when they are unknown: no answer, a group that is not loaded, or a rule that
   *   Prometheus cannot evaluate (F31).
   */
  firing(): Promise<Alert[]>;
}

/** The answer of `/api/v1/rules`. */
const rulesSchema = z.object({
  /** Anything but `success` is an error. */
  status: z.literal('success'),
  /** The document. */
  data: z.object({
    /** Rule groups of all rule files. */
    groups: z.array(
      z.object({
        /** Name of the group. */
        name: z.string(),
        /** Its rules. */
        rules: z.array(
          z.object({
            /** Name of the alert. */
            name: z.string(),
            /** `alerting` or `recording`. */
            type: z.string(),
            /** `ok`, `err`, or `unknown` before the first evaluation. */
            health: z.string(),
            /** Error of the last evaluation. */
            lastError: z.string().optional(),
            /** Pending and firing instances of the alert. */
            alerts: z
              .array(
                z.object({
                  /** `pending` or `firing`. */
                  state: z.string(),
                  /** Label name → value. */
                  labels: z.record(z.string(), z.string()),
                }),
              )
              .default([]),
          }),
        ),
      }),
    ),
  }),
});

type RuleGroups = z.output<typeof rulesSchema>['data']['groups'];

/** Reads `/api/v1/rules`, which unlike `/api/v1/alerts` also shows whether rules are loaded and evaluated. */
export class PrometheusAlerts implements AlertSource {
  readonly #settings: Settings['prometheus'];
  readonly #signal: AbortSignal;

  constructor(settings: Settings['prometheus'], signal: AbortSignal) {
    this.#settings = settings;
    this.#signal = signal;
  }

  async firing(): Promise<Alert[]> {
    const query = new URLSearchParams({ type: 'alert' });
    for (const group of this.#settings.ruleGroups) query.append('rule_group[]', group);
    const { data } = await queryPrometheus(this.#settings, 'rules', query, rulesSchema, this.#signal);
    return this.#read(data.groups);
  }

  #read(answered: RuleGroups): Alert[] {
    // Older servers ignore the parameter `rule_group[]` and return every group.
    const groups = answered.filter(({ name }) => this.#settings.ruleGroups.includes(name));
    const missing = this.#settings.ruleGroups.filter(
      (name) => !groups.some((g) => g.name === name && g.rules.length > 0),
    );
    if (missing.length > 0) {
      throw new UpgradeError(
        'blocked',
        `Prometheus has no rule group ${missing.map((n) => JSON.stringify(n)).join(', ')}`,
      );
    }
    const rules = groups.flatMap((group) => group.rules);
    // A rule that was just loaded is `unknown` until its first evaluation.
    const broken = rules.filter((rule) => rule.health !== 'ok');
    if (broken.length > 0) {
      const each = broken.map((rule) => `${rule.name} (${rule.lastError || rule.health})`);
      throw new UpgradeError('blocked', `Prometheus cannot evaluate rules: ${each.join(', ')}`);
    }
    return rules.flatMap((rule) =>
      rule.alerts.filter((a) => a.state === 'firing').map((a) => ({ name: rule.name, labels: a.labels })),
    );
  }
}
