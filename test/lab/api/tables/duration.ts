const units = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, y: 31_536_000_000 } as const;

type Unit = keyof typeof units;

/** A duration as kubectl prints it: `5d3h`, `47m`, `2m10s`. */
export function humanDuration(ms: number): string {
  const of = (unit: Unit) => Math.floor(ms / units[unit]);
  const pair = (big: Unit, small: Unit) => {
    const rest = Math.floor((ms % units[big]) / units[small]);
    return rest === 0 ? `${of(big)}${big}` : `${of(big)}${big}${rest}${small}`;
  };
  if (ms < -1000) return '<invalid>';
  if (ms < 0) return '0s';
  if (of('s') < 120) return `${of('s')}s`;
  if (of('m') < 10) return pair('m', 's');
  if (of('m') < 180) return `${of('m')}m`;
  if (of('h') < 8) return pair('h', 'm');
  if (of('h') < 48) return `${of('h')}h`;
  if (of('d') < 8) return pair('d', 'h');
  if (of('d') < 730) return `${of('d')}d`;
  return of('y') < 8 ? pair('y', 'd') : `${of('y')}y`;
}

/** The time since a timestamp, as kubectl prints it; `<unknown>` without one. */
export const age = (timestamp: string | undefined | null): string =>
  timestamp === undefined || timestamp === null
    ? '<unknown>'
    : humanDuration(Date.now() - Date.parse(timestamp));
