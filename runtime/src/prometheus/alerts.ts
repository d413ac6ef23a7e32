import { z } from 'zod';
import { UpgradeError } from '../errors.ts';
import type { Settings } from '../settings/settings.ts';
import { askPrometheus } from './client.ts';

/** One firing alert. */
export interface Alert {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface AlertSource {
  /**
   * The firing alerts of the gating rule groups.
   *
   * @throws when that cannot be told: no answer, a group that is not loaded, a rule that does not evaluate (F31).
   */
  firing(): Promise<Alert[]>;
}

const rulesSchema = z.object({
  status: z.literal('success'),
  data: z.object({
    groups: z.array(
      z.object({
        name: z.string(),
        rules: z.array(
          z.object({
            name: z.string(),
            type: z.string(),
            health: z.string(),
            lastError: z.string().optional(),
            alerts: z
              .array(z.object({ state: z.string(), labels: z.record(z.string(), z.string()) }))
              .default([]),
          }),
        ),
      }),
    ),
  }),
});

type RuleGroups = z.output<typeof rulesSchema>['data']['groups'];

/** Reads `/api/v1/rules`, which also tells whether the rules are there and evaluate; `/api/v1/alerts` does not. */
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
    const { data } = await askPrometheus(this.#settings, 'rules', query, rulesSchema, this.#signal);
    return this.#read(data.groups);
  }

  #read(answered: RuleGroups): Alert[] {
    // Older servers do not know the parameter `rule_group[]`, and answer with every group they have.
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
    // A rule that has just been loaded is `unknown` until its first evaluation.
    const broken = rules.filter((rule) => rule.health !== 'ok');
    if (broken.length > 0) {
      const each = broken.map((rule) => `${rule.name} (${rule.lastError || rule.health})`);
      throw new UpgradeError('blocked', `rules that do not evaluate: ${each.join(', ')}`);
    }
    return rules.flatMap((rule) =>
      rule.alerts.filter((a) => a.state === 'firing').map((a) => ({ name: rule.name, labels: a.labels })),
    );
  }
}
