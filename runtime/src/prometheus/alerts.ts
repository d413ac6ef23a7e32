import { z } from 'zod';
import { UpgradeError } from '../errors.ts';
import type { Settings } from '../settings/settings.ts';
import { queryPrometheus, startOfPrometheus, timeBy } from './client.ts';

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

/** A rule of the gating groups. */
export interface AlertRule {
  /** Name of its alert. */
  readonly name: string;
  /** How long its expression must be true until the alert fires: its `for`, milliseconds. */
  readonly holdsFor: number;
  /** Prometheus evaluates it. False before the first time, and when the last time is too long ago. */
  readonly evaluated: boolean;
}

/** The alerts of the gating rule groups. */
export interface AlertState {
  /** The rules of these groups; at least one. */
  readonly rules: readonly AlertRule[];
  /**
   * When Prometheus started, epoch milliseconds by this machine's clock: each `for` starts again then.
   * Undefined when the server does not say.
   */
  readonly startedAt: number | undefined;
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
        /** Seconds between two evaluations. */
        interval: z.number().default(60),
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
            /** RFC 3339. */
            lastEvaluation: z.string().optional(),
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

/** The health of a rule that was just loaded, until its first evaluation. */
const notEvaluated = 'unknown';

/** Whether the last evaluation of the rule is so long ago that its answer is old. @param interval seconds. */
function isStale(
  { lastEvaluation }: RuleGroups[number]['rules'][number],
  interval: number,
  clockOffset: number,
): boolean {
  const last = timeBy(lastEvaluation, clockOffset);
  return last !== undefined && Date.now() - last > 5 * interval * 1000 + 120_000;
}

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
    const groups = this.#gating(answer.data.groups);
    // Asked last: a Prometheus that has restarted in between counts as young.
    const startedAt = await startOfPrometheus(this.#settings, this.#signal);
    return { ...stateOf(groups, clockOffset), startedAt };
  }

  /** The gating groups. @throws UpgradeError when one is not loaded, or a rule cannot be evaluated. */
  #gating(answered: RuleGroups): RuleGroups {
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
    const broken = rules.filter((rule) => rule.health !== 'ok' && rule.health !== notEvaluated);
    if (broken.length > 0) {
      const each = broken.map((rule) => `${rule.name} (${rule.lastError || rule.health})`);
      throw new UpgradeError('blocked', `Prometheus cannot evaluate rules: ${each.join(', ')}`);
    }
    return groups;
  }
}

function stateOf(groups: RuleGroups, clockOffset: number): Omit<AlertState, 'startedAt'> {
  const rules = groups.flatMap(({ interval, rules }) =>
    rules.map((rule) => ({ ...rule, isStale: isStale(rule, interval, clockOffset) })),
  );
  const inState = (state: string) =>
    rules.flatMap((rule) => rule.alerts.filter((a) => a.state === state).map((a) => ({ rule, ...a })));
  return {
    rules: rules.map(({ name, duration, health, isStale }) => ({
      name,
      holdsFor: duration * 1000,
      evaluated: health !== notEvaluated && !isStale,
    })),
    firing: inState('firing').map(({ rule, labels }) => ({ name: rule.name, labels })),
    pending: inState('pending').map(({ rule, labels, activeAt }) => ({
      name: rule.name,
      labels,
      activeAt: timeBy(activeAt, clockOffset),
      holdsFor: rule.duration * 1000,
    })),
  };
}
