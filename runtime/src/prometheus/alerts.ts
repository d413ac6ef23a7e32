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

/** An alert whose expression is true, but not yet for as long as its rule asks for. */
export interface PendingAlert extends Alert {
  /** Since when it is true, epoch milliseconds by this machine's clock; undefined when unknown. */
  readonly activeAt: number | undefined;
  /** How long it must be true until it fires: the rule's `for`, milliseconds. */
  readonly holdsFor: number;
}

/** The alerts of the gating rule groups. */
export interface AlertState {
  /** Those that fire. */
  readonly firing: readonly Alert[];
  /** Those that will fire unless they clear before. */
  readonly pending: readonly PendingAlert[];
}

/** Where the gates read alerts from. */
export interface AlertSource {
  /**
   * The alerts of the gating rule groups, all as of the same moment.
   *
   * @throws UpgradeError when they are unknown: no answer, a group that is not loaded, or a rule that
   *   Prometheus cannot evaluate (F31).
   */
  read(): Promise<AlertState>;
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
            /** `for` in seconds. */
            duration: z.number().default(0),
            /** Pending and firing instances of the alert. */
            alerts: z
              .array(
                z.object({
                  /** `pending` or `firing`. */
                  state: z.string(),
                  /** Label name → value. */
                  labels: z.record(z.string(), z.string()),
                  /** RFC 3339: since when its expression is true. */
                  activeAt: z.string().optional(),
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
type Rules = RuleGroups[number]['rules'];

/** Reads `/api/v1/rules`, which unlike `/api/v1/alerts` also shows whether rules are loaded and evaluated. */
export class PrometheusAlerts implements AlertSource {
  readonly #settings: Settings['prometheus'];
  readonly #signal: AbortSignal;

  constructor(settings: Settings['prometheus'], signal: AbortSignal) {
    this.#settings = settings;
    this.#signal = signal;
  }

  async read(): Promise<AlertState> {
    const query = new URLSearchParams({ type: 'alert' });
    for (const group of this.#settings.ruleGroups) query.append('rule_group[]', group);
    const { answer, clockOffset } = await queryPrometheus(
      this.#settings,
      'rules',
      query,
      rulesSchema,
      this.#signal,
    );
    return stateOf(this.#gating(answer.data.groups), clockOffset);
  }

  /** The rules of the gating groups. @throws UpgradeError when one is not loaded or cannot be evaluated. */
  #gating(answered: RuleGroups): Rules {
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
    return rules;
  }
}

function stateOf(rules: Rules, clockOffset: number): AlertState {
  const inState = (state: string) =>
    rules.flatMap((rule) => rule.alerts.filter((a) => a.state === state).map((a) => ({ rule, ...a })));
  return {
    firing: inState('firing').map(({ rule, labels }) => ({ name: rule.name, labels })),
    pending: inState('pending').map(({ rule, labels, activeAt }) => ({
      name: rule.name,
      labels,
      activeAt: timeOf(activeAt, clockOffset),
      holdsFor: rule.duration * 1000,
    })),
  };
}

/** Time by this machine's clock. Go writes a time that is not set as one in the year 1. */
function timeOf(text: string | undefined, clockOffset: number): number | undefined {
  const time = Date.parse(text ?? '');
  return time > 0 ? time + clockOffset : undefined;
}
