import type { AlertGroup } from '../../alerts/rule.ts';
import { pipeline } from '../constructs/synthesis.ts';

/** Rules as Prometheus loads them. */
export type RuleGroup = Pick<AlertGroup, 'name'> & {
  readonly rules: readonly Pick<AlertGroup['rules'][number], 'alert' | 'expr'>[];
};

/** Fires always, as in most installations: whoever waits for it to arrive knows that alerts do. */
export const watchdog: RuleGroup = { name: 'Watchdog', rules: [{ alert: 'Watchdog', expr: 'vector(1)' }] };

/** A second of the test is ten minutes of the rules, as in the lab's settings. */
const compression = 600;
/** However short the original, in seconds: a busy machine misses a few scrapes in a row, and all series are gone meanwhile. */
const floor = { duration: 2, absence: 8, age: 6 };

const unitSeconds = { s: 1, m: 60, h: 3600 } as const;

/** `30m` → `3s`, but no shorter than `least` seconds. @throws Error for what is no plain duration. */
function shorter(duration: string, least: number): string {
  const { amount, unit } = /^(?<amount>\d+)(?<unit>[smh])$/.exec(duration)?.groups ?? {};
  if (amount === undefined || unit === undefined) throw new Error(`no duration: ${duration}`);
  const seconds = Number(amount) * unitSeconds[unit as keyof typeof unitSeconds];
  return `${Math.round(Math.max(seconds / compression, least))}s`;
}

/** Ages that a rule compares with, in seconds: `time() - x > 1800`. The windows of `increase` stay what they are. */
const shorterAges = (expr: string): string =>
  expr.replace(
    /([<>] )(\d{4,})\b/g,
    (_, sign: string, seconds: string) => `${sign}${Math.max(Number(seconds) / compression, floor.age)}`,
  );

/** The groups of the synthesized PrometheusRule, so that what takes an hour in them takes six seconds. */
export function compressedRules(): AlertGroup[] {
  const { spec } = pipeline().manifest<{ spec: { groups: AlertGroup[] } }>('PrometheusRule');
  return spec.groups.map((group) => ({
    ...group,
    rules: group.rules.map((rule) => ({
      ...rule,
      for: shorter(rule.for, rule.expr.includes('absent(') ? floor.absence : floor.duration),
      expr: shorterAges(rule.expr),
    })),
  }));
}
