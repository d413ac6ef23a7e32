import type { Mode } from './detector.ts';
import type { Course } from './lab.ts';
import { round } from './round.ts';

/** How many calls of one program are hit. */
export interface Portion {
  /** A course of the executor, or the detector's way of dispatching. */
  readonly of: Course['name'] | Mode;
  /** Kill points, spread over the calls. */
  readonly kills: number;
  /** How many calls fail, in one way each; or `each` call in every way. */
  readonly faults: number | 'each';
}

/** What a round consists of. */
export interface Plan {
  /** Hits at single calls. */
  readonly portions: readonly Portion[];
  /** Connections that are cut while a script is being sent, and disturbances of a whole run. */
  readonly beyond: readonly ('brokenTransfers' | 'disturbances')[];
}

const every = Number.POSITIVE_INFINITY;
const programs: readonly Portion['of'][] = ['patch', 'minor', 'ha', 'agent-service', 'job'];
const modes: readonly Mode[] = ['agent-service', 'job'];
const kill = (of: Portion['of'], kills: number): Portion => ({ of, kills, faults: 0 });
const whole = ['brokenTransfers', 'disturbances'] as const;

/** By the value of CRASH. */
const plans: Readonly<Record<string, Plan>> = {
  '': {
    portions: [
      { of: 'patch', kills: round.patch, faults: round.faults },
      kill('minor', round.minor),
      kill('ha', round.ha),
      ...modes.map((mode) => kill(mode, round.detector)),
    ],
    beyond: whole,
  },
  all: { portions: programs.map((of) => ({ of, kills: every, faults: 'each' })), beyond: whole },
  patch: { portions: [kill('patch', every)], beyond: [] },
  minor: { portions: [kill('minor', every)], beyond: [] },
  ha: { portions: [kill('ha', every)], beyond: [] },
  detector: { portions: modes.map((mode) => kill(mode, every)), beyond: [] },
  faults: { portions: [{ of: 'patch', kills: 0, faults: 40 }], beyond: [] },
  'faults-all': { portions: programs.map((of) => ({ of, kills: 0, faults: 'each' })), beyond: [] },
  disturbances: { portions: [], beyond: ['disturbances'] },
};

/** @returns undefined when `wanted` names no plan: single points, or an invalid value. */
export function planOf(wanted: string): Plan | undefined {
  if (/^\d+$/.test(wanted)) return { portions: [kill('patch', Number(wanted))], beyond: [] };
  return Object.hasOwn(plans, wanted) ? plans[wanted] : undefined;
}
