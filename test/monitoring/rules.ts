import type { AlertGroup } from '../../alerts/rule.ts';
import { alertNames } from '../../runtime/src/names.ts';
import { pipeline } from '../constructs/synthesis.ts';

/** A rule group as Prometheus loads it. */
export type RuleGroup = Pick<AlertGroup, 'name'> & {
  readonly rules: readonly Pick<AlertGroup['rules'][number], 'alert' | 'expr'>[];
};

/** Always fires, as in most installations; its notification shows that alerts are delivered. */
export const watchdog: RuleGroup = { name: 'Watchdog', rules: [{ alert: 'Watchdog', expr: 'vector(1)' }] };

/** One second of the test stands for ten minutes of the rules, as in the lab's settings. */
const compression = 600;
/**
 * Lower limits in seconds: a busy machine may miss several scrapes in a row, during which all series are
 * absent.
 */
const floor = { duration: 2, absence: 8, age: 6 };

const unitSeconds = { s: 1, m: 60, h: 3600 } as const;

/** `30m` → `3s`, but at least `least` seconds. @throws Error for anything but a plain duration */
function shorter(duration: string, least: number): string {
  const { amount, unit } = /^(?<amount>\d+)(?<unit>[smh])$/.exec(duration)?.groups ?? {};
  if (amount === undefined || unit === undefined) throw new Error(`no duration: ${duration}`);
  const seconds = Number(amount) * unitSeconds[unit as keyof typeof unitSeconds];
  return `${Math.round(Math.max(seconds / compression, least))}s`;
}

/** Compresses ages in comparisons such as `time() - x > 1800`, but not the windows of `increase`. */
const shorterAges = (expr: string): string =>
  expr.replace(
    /([<>] )(\d{4,})\b/g,
    (_, sign: string, seconds: string) => `${sign}${Math.max(Number(seconds) / compression, floor.age)}`,
  );

/** The groups of the synthesized PrometheusRule, compressed so that an hour takes six seconds. */
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

/**
 * The groups of the synthesized PrometheusRule, as on a cluster whose nodes have been up for more than an
 * hour: a reboot counts as recent for `seconds` instead.
 */
export function rulesOfAnOldCluster(seconds = 5): AlertGroup[] {
  const { spec } = pipeline().manifest<{ spec: { groups: AlertGroup[] } }>('PrometheusRule');
  const shortened = (rule: AlertGroup['rules'][number]) =>
    rule.alert === alertNames.recentNodeReboot
      ? { ...rule, expr: rule.expr.replace('< 3600', `< ${seconds}`) }
      : rule;
  return spec.groups.map((group) => ({ ...group, rules: group.rules.map(shortened) }));
}
